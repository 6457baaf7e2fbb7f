"""`make screenshots`: every page of the dashboard as a picture, in light and dark, wide and narrow, empty and at work.

The system is the real one, started as the demo starts it, on free ports and in a folder of its own, and ended afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from aiokafka import AIOKafkaProducer
from playwright.sync_api import Page, ViewportSize, expect

from producers.feed import feed
from producers.plan import ENDLESS_BASE_MS, UNKNOWN_SCHEMA_ID, Frame, Plan, endless_first
from producers.rejects import encode_event
from producers.rules import rules_in_force
from producers.simulator import schedule
from recon_stream.avro import SchemaRegistry, frame
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.registration import schema_id_of
from recon_stream.security.roles import Role
from recon_stream.settings import Settings, load_settings
from recon_stream.verify.demo_roles import Roles, demo_environment, run_command, with_ports
from recon_stream.verify.preparing import prepare
from tests.dashboard.chromium import browser
from tests.dashboard.office import MILLISECONDS, Office, said
from tests.web.serving import Desk

PICTURES = Path(__file__).parent.parent.parent / "build" / "screenshots"
THEMES = ("light", "dark")
WINDOWS = {"1440": ViewportSize(width=1440, height=900), "390": ViewportSize(width=390, height=844)}
PAGES = ("overview", "exceptions", "transactions", "live", "dead-letters", "audit", "system", "settings")
README = {"overview": "dashboard-overview", "transaction": "dashboard-transaction"}
"""Pages that README shows: taken once more, in light, as a window of 1440 px shows them."""

TXN = "PAY-20261126-004217"
DAY_MS = 86_400_000
TRANSACTIONS = 20_000
"""Of the day before."""
LIVE_RATE = 1
"""Transactions a second while the pictures are taken."""
LIVE_ROWS = 14
READY_SECONDS = 180.0


async def take() -> None:
    """Start, take the pictures, end."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    shutil.rmtree(PICTURES, ignore_errors=True)
    with TemporaryDirectory(prefix="recon-screenshots-", ignore_cleanup_errors=True) as folder:
        async with AsyncExitStack() as stack:
            settings, environ = await _started(stack, Path(folder))
            desk = Desk(settings)
            overflowing = await asyncio.to_thread(_pictures, desk, "empty", {name: _address(name) for name in PAGES})
            await _send_history(settings)
            live = asyncio.create_task(_send_live(settings))
            stack.push_async_callback(_ended, live)
            pages = await asyncio.to_thread(_work, desk)
            await run_command(environ, "audit", "verify", quiet=True)
            overflowing += await asyncio.to_thread(_pictures, desk, "full", pages)
    if overflowing:
        raise SystemExit("wider than its window:\n" + "\n".join(overflowing))


async def _started(stack: AsyncExitStack, folder: Path) -> tuple[Settings, dict[str, str]]:
    """Services and roles that are ready, until the stack of contexts is left."""
    environ = demo_environment(os.environ | {"RECON_STATE_DIR": str(folder), "RECON_STACK_PORTS": "free"})
    # nobody turns pages as fast as this
    environ = with_ports(environ, load_settings(environ)) | {
        "RECON_RATE_LIMITS": "",
        "RECON_RATE_LIMIT_DEFAULT": "10000",
    }
    stack.push_async_callback(run_command, environ, "stack", "down", quiet=True)
    if await run_command(environ, "stack", "up"):
        raise SystemExit("the local stack did not start, see above")
    settings = load_settings(environ)
    await prepare(settings)
    roles = await stack.enter_async_context(Roles(settings, environ))
    await roles.until_ready(lambda _: None)
    return settings, environ


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


# What sources report


async def _send_history(settings: Settings) -> None:
    """A day with faults, each record dated as it was planned, so that charts have something to show."""
    timing, tolerances = rules_in_force(settings)
    plan = Plan(
        seed=7, base_ms=time.time_ns() // 1_000_000 - DAY_MS, interval_us=DAY_MS * 1000 // TRANSACTIONS,
        transactions=TRANSACTIONS, paced=False, timing=timing, tolerances=tolerances,
    )  # fmt: skip
    async with SchemaRegistry(settings) as registry:
        ours = {topic: frame(await schema_id_of(registry, topic)) for topic in SOURCE_TOPICS}
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers, acks="all", linger_ms=20
    ) as producer:
        for record in schedule(plan, lambda _: None, lambda: False):
            topic = SOURCE_TOPICS[record.source]
            body = record.body if record.event is None else encode_event(record.event)
            first = {Frame.OURS: ours[topic], Frame.UNKNOWN: frame(UNKNOWN_SCHEMA_ID), Frame.NONE: b""}[record.frame]
            value = None if body is None else first + body
            await producer.send(topic, value, key=record.key, timestamp_ms=plan.base_ms + record.send_ms)


async def _send_live(settings: Settings) -> None:
    """What goes on while people look."""
    timing, tolerances = rules_in_force(settings)
    interval_us = 1_000_000 // LIVE_RATE
    first = endless_first(time.time_ns() // 1_000_000, interval_us)
    await feed(
        settings,
        Plan(
            seed=8, base_ms=ENDLESS_BASE_MS, interval_us=interval_us, transactions=None, first=first, timing=timing,
            tolerances=tolerances,
        ),
    )  # fmt: skip


def _work(desk: Desk) -> dict[str, str]:
    """A break that is worth a picture, some letters that were dealt with, checks of all of it; the addresses to look at."""
    with browser() as chromium, Office.open(lambda: nullcontext(desk), chromium) as office:
        payment = {"amount_minor": 128_450_000, "account": "DE89370400440532013000"}
        wrong = payment | {"amount_minor": 124_850_000, "reference": "INV-2026-88142X"}
        usual = payment | {"reference": "INV-2026-88142"}
        office.report(said(TXN, "CORE", **usual), said(TXN, "MOBILE", **usual), said(TXN, "GATEWAY", **wrong))
        office.report(said(TXN, "GATEWAY", revision=1, **(wrong | {"reference": usual["reference"]})))
    person = desk.person(Role.ADMIN)

    def letters() -> list[str]:
        return [row["id"] for row in person.get("/dead-letters", state="OPEN").json().get("items", [])]

    def is_checked() -> bool:
        # a token lasts for less than this may take
        status = desk.person(Role.ADMIN).get("/status").json()
        return status["checked_at"] is not None and datetime.fromisoformat(status["checked_at"]) > began

    began = datetime.now(UTC)
    _until("the transaction was corrected", lambda: person.get(f"/transactions/{TXN}").json().get("revision", 0) >= 2)
    _until("every check was made since", is_checked)
    replayed, discarded, shown = [
        letter for letter in letters() if person.get(f"/dead-letters/{letter}").json()["is_archived"]
    ][:3]
    for letter, what in ((replayed, "replay"), (discarded, "discard")):
        comment = "The feed was corrected, ticket 4711"
        done = person.post(f"/dead-letters/{letter}/{what}", request_key=str(uuid.uuid4()), comment=comment)
        done.raise_for_status()
    transaction = f"/transactions/{TXN}"
    return {name: _address(name) for name in PAGES} | {
        "transaction": transaction,
        "transaction-history": f"{transaction}?tab=history",
        "transaction-records": f"{transaction}?tab=records",
        "dead-letter": f"/dead-letters?letter={shown}",
    }


def _until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {READY_SECONDS:.0f} s: {what}")
        time.sleep(0.5)


# Pictures


def _address(name: str) -> str:
    return "/" if name == "overview" else f"/{name}"


def _pictures(desk: Desk, state: str, pages: Mapping[str, str]) -> list[str]:
    """build/screenshots/<state>-<page>-<theme>-<width>.png for all of them; those of pages that are wider than the window."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    overflowing = []
    with browser() as chromium, Office.open(lambda: nullcontext(desk), chromium) as office:
        for theme in THEMES:
            for width, window in WINDOWS.items():
                with office.seat(Role.ADMIN, color_scheme=cast(Any, theme), viewport=window) as page:
                    for name, address in pages.items():
                        picture = PICTURES / f"{state}-{name}-{theme}-{width}.png"
                        _show(page, office.base + address, is_live=state == "full" and name == "live")
                        if (state, theme, width) == ("full", "light", "1440") and name in README:
                            page.screenshot(path=PICTURES / f"{README[name]}.png")
                        if not _take(page, picture, window):
                            overflowing.append(picture.name)
    return overflowing


def _show(page: Page, address: str, *, is_live: bool) -> None:
    """Open it and wait until all of it is there."""
    page.goto(address)
    page.wait_for_selector("[data-page-title], [role=alert]")
    expect(page.get_by_text("Live updates: Live")).to_be_attached(timeout=MILLISECONDS)
    page.wait_for_load_state("networkidle")
    for waiting in (re.compile("^Loading "), "not heard yet"):
        expect(page.get_by_text(waiting).first).not_to_be_attached(timeout=MILLISECONDS)
    if is_live:
        row = page.get_by_role("region", name="Newest lines").get_by_role("row").nth(LIVE_ROWS)
        expect(row).to_be_attached(timeout=MILLISECONDS)
    page.evaluate("document.fonts.ready")


def _take(page: Page, picture: Path, window: ViewportSize) -> bool:
    """A window as high as the page: a picture of a scrolled one has its navigation end in the middle. Whether all of it fits."""
    page.set_viewport_size({**window, "height": max(window["height"], page.evaluate("document.body.scrollHeight"))})
    page.screenshot(path=picture)
    page.set_viewport_size(window)
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


if __name__ == "__main__":
    asyncio.run(take())
