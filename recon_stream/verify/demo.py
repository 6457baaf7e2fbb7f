"""`recon-stream demo`: everything on this machine, from nothing to a proof."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape

from producers.feed import Sent, feed
from producers.plan import ENDLESS_BASE_MS, Plan, endless_first
from producers.rules import rules_in_force
from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.settings import load_settings
from recon_stream.verify.commands import Bar, rendered
from recon_stream.verify.demo_roles import HOST, Roles, demo_environment, run_command, with_ports
from recon_stream.verify.demo_view import LiveView
from recon_stream.verify.preparing import prepare
from recon_stream.verify.report import Report
from recon_stream.verify.verification import verify

RATE = 1000.0
"""Transactions a second, of three records each: busy, and far from the limit."""
GENTLE_RATE = 5.0
VERIFY_WAIT = 120.0

T = TypeVar("T")


class Interrupted(Exception):
    """Ctrl-C before the end."""


@click.command()
@click.option(
    "--transactions", "-n", type=click.IntRange(1), default=30_000, show_default=True, help="How many to send."
)
@click.option("--rate", type=click.FloatRange(1, 10_000), default=RATE, show_default=True, help="Begun a second.")
@click.option("--seed", type=click.IntRange(0), help="Which faults befall which transactions; default: the time.")
@click.option("--once", is_flag=True, help="End after the proof, with its exit code, and stop what was started.")
@click.option("--keep", is_flag=True, help="With --once: leave the local stack running.")
def demo(transactions: int, rate: float, seed: int | None, once: bool, keep: bool) -> None:
    """Start everything, send transactions with faults, prove that each fault was found.

    Starts the local stack (the first time it downloads about 380 MB), creates topics, schemas and tables, starts worker, sink
    and web, sends transactions of which one in seven has a fault, shows what becomes of them, and verifies: every injected
    mismatch reported, nothing invented, nothing lost. Then a gentle feed goes on until Ctrl-C.

    Everything it writes lies under RECON_STATE_DIR (.recon). It works on the local stack only, whatever addresses are set, and
    with the rules recon_stream/rules/demo.toml, whose graces are short, unless RECON_RULES_FILE says otherwise. It may be
    run again; transactions are always new ones. RECON_STACK_PORTS=free picks ports that are free.

    Ctrl-C stops the roles and leaves the stack running, for the next demo or for a look at it; `recon-stream stack down` (make
    stack-down) stops it. Exit code of the proof: 0, 1 where something is wrong; 2 where the demo could not be run.
    """
    # a client's complaint would be written across the picture; what matters of it is in the error
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    code = asyncio.run(Demo(transactions, rate, seed, once=once, keep=keep).run())
    if code:
        raise SystemExit(code)


class Demo:
    """One demo, step by step."""

    def __init__(self, transactions: int, rate: float, seed: int | None, *, once: bool, keep: bool) -> None:
        self._transactions, self._rate = transactions, rate
        self._seed = int(time.time()) if seed is None else seed
        self._once, self._keep = once, keep
        self._console = Console()
        self._stop = asyncio.Event()
        self._environ = demo_environment(os.environ)

    async def run(self) -> int:
        """The whole of it; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            try:
                report = await self._prove(stack)
                self._say(f"{time.monotonic() - began:.0f} s from the start to the proof")
            except Interrupted:
                self._console.print("Stopped before the proof.")
                return 130
            if not self._once:
                await self._go_on()
            return 0 if report.ok else 1

    async def _prove(self, stack: AsyncExitStack) -> Report:
        await self._set_up(stack)
        settings = self._settings
        roles = await stack.enter_async_context(Roles(settings, self._environ))
        self._roles = roles
        with self._console.status("Starting worker, sink and web") as status:
            await self._unless_stopped(roles.until_ready(lambda text: status.update(f"Starting {escape(text)}")))
        self._done("worker, sink and web are ready")
        key = await self._send()
        with Bar(self._console) as bar:
            if not self._console.is_terminal:
                self._say("Verifying")
            try:
                report = await self._unless_stopped(verify(settings, [key], VERIFY_WAIT, bar))
            except TransientFailure as error:
                logs = ", ".join(str(log) for log in roles.logs.values())
                raise TransientFailure(f"{error.detail}; what the roles say stands in {logs}") from error
        self._console.print(rendered(report))
        self._show_where(key)
        return report

    # Setting up

    async def _set_up(self, stack: AsyncExitStack) -> None:
        before = load_settings(self._environ)
        self._environ = with_ports(self._environ, before)
        was_up = await self._unless_stopped(run_command(self._environ, "stack", "status", "--json", quiet=True)) == 0
        if not was_up and self._once and not self._keep:
            stack.push_async_callback(run_command, self._environ, "stack", "down")
        # also where it is up: the dashboard's client in Keycloak must know the port that the web role has this time
        if await self._unless_stopped(run_command(self._environ, "stack", "up")):
            raise ConfigurationError(
                "the local stack did not start, see above. Where its ports are taken: RECON_STACK_PORTS=free make demo"
            )
        self._settings = load_settings(self._environ)
        self._done("the local stack is up")
        await self._unless_stopped(prepare(self._settings))
        self._done("topics, schemas and tables are there")

    # Sending

    async def _send(self) -> Path:
        settings = self._settings
        key = settings.state_dir / "demo" / f"answer-key-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.jsonl"
        timing, tolerances = rules_in_force(settings)
        plan = Plan(
            seed=self._seed,
            base_ms=time.time_ns() // 1_000_000,
            interval_us=round(1_000_000 / self._rate),
            transactions=self._transactions,
            timing=timing,
            tolerances=tolerances,
        )
        async with LiveView(self._console, settings, self._roles.check) as view:
            sent = await self._fed(view, plan, key)
        if sent.stopped:
            raise Interrupted
        records = sum(sent.records.values())
        self._done(
            f"{sent.transactions:,} transactions in {records:,} records sent in {sent.seconds:.0f} s (seed {self._seed})"
        )
        return key

    async def _fed(self, view: LiveView, plan: Plan, key: Path | None) -> Sent:
        def progress(sent: Sent) -> None:
            records = sum(sent.records.values())
            if plan.transactions is None:
                view.headline = f"Gentle feed: {sent.transactions:,} transactions"
                return
            view.headline = f"Sent {sent.transactions:,} of {plan.transactions:,} transactions, {records:,} records"
            if sent.transactions == plan.transactions:
                view.headline += ", late ones are still due"
            view.share = sent.transactions / plan.transactions

        return await feed(self._settings, plan, key, progress, self._stop)

    async def _go_on(self) -> None:
        """A gentle feed until Ctrl-C."""
        timing, tolerances = rules_in_force(self._settings)
        interval_us = round(1_000_000 / GENTLE_RATE)
        plan = Plan(
            seed=self._seed,
            base_ms=ENDLESS_BASE_MS,
            interval_us=interval_us,
            transactions=None,
            first=endless_first(time.time_ns() // 1_000_000, interval_us),
            timing=timing,
            tolerances=tolerances,
        )
        self._say("A gentle feed goes on; the live view follows in 15 s. Ctrl-C ends.")
        await self._pause(15)
        if not self._stop.is_set():
            async with LiveView(self._console, self._settings, self._roles.check) as view:
                await self._fed(view, plan, None)
        self._say("Stopping worker, sink and web. The local stack goes on running: make stack-down stops it.")

    # Telling

    def _show_where(self, key: Path) -> None:
        settings, environ = self._settings, self._environ
        shown = {
            name: environ[name]
            for name in ("RECON_STATE_DIR", "RECON_RULES_FILE", "RECON_OPERATIONS_PORT")
            if environ.get(name)
        }
        prefix = " ".join(f"{name}={value}" for name, value in shown.items())
        self._console.print("\n[bold]Where to look[/]")
        for what, where in (
            (
                "the dashboard",
                f"http://{HOST}:{settings.web_port}/dashboard/, as operator with operator123 (or admin, auditor, viewer)",
            ),
            (
                "the API, to be tried",
                f"http://{HOST}:{settings.web_port}/docs, with a token of `{prefix} recon-stream tokens`",
            ),
            ("health", f"http://{HOST}:{settings.web_port}/health"),
            ("metrics of the worker", f"http://{HOST}:{settings.operations_port}/metrics"),
            ("metrics of the sink", f"http://{HOST}:{settings.operations_port + 20}/metrics"),
            ("PostgreSQL, read only", f"RECON_DATABASE_READER_URL in {settings.state_dir / 'stack.env'}"),
            ("what was injected", str(key)),
            ("logs", ", ".join(str(log) for log in self._roles.logs.values())),
            ("live view", f"{prefix} recon-stream watch"),
            ("as a subscriber", f"{prefix} recon-stream mismatches tail"),
            ("this proof again", f"{prefix} recon-stream verify --answer-key {key}"),
        ):
            self._console.print(f"  {what:<22} {where}", markup=False, highlight=False, soft_wrap=True)

    def _done(self, text: str) -> None:
        self._console.print(f"[green]✓[/] {escape(text)}", highlight=False)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)

    # Stopping

    async def _pause(self, seconds: float) -> None:
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({stopped}, timeout=seconds)
        stopped.cancel()

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """The outcome of the work; raises Interrupted, the work cancelled, on Ctrl-C."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            raise Interrupted
        return task.result()
