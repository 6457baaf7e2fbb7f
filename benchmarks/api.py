"""`make bench-api`: milliseconds to the answers of the API in front of a million results in PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import click

from benchmarks.backlog import Backlog
from benchmarks.children import RunFailed
from benchmarks.engines import build_product
from benchmarks.kafka import Broker
from benchmarks.machine import yardstick
from benchmarks.measuring import follow
from benchmarks.roles import Role, fresh_stack
from benchmarks.session import console, in_folder, tell
from benchmarks.sink import Database, reconcile
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.security.commands import obtain
from recon_stream.security.realm import demo_users
from recon_stream.security.roles import Role as Who
from recon_stream.settings import Settings
from recon_stream.stack.ports import free_ports
from recon_stream.stack.services import SERVICES
from recon_stream.storage.migrate import migrate
from recon_stream.topics import RESULTS

CLIENTS = 4
"""Who ask at the same time, each as soon as it is answered."""
WARM_SECONDS = 1.0
READY_SECONDS = 60.0
HEADINGS = ("asked", "answers", "p50 ms", "p95 ms", "p99 ms", "most ms", "answers/s", "bar p95", "load")
BARS_MS = {"list": 50, "cached": 10, "counted": 150}

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked again and again: a path, and queries in turn; `kind` of BARS_MS, empty where no bar is set."""

    name: str
    path: str
    queries: Iterator[Query]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One question. Milliseconds from the request to the last byte of the answer, as a client on the same machine sees them."""

    name: str
    kind: str
    answers: int
    p50: float
    p95: float
    p99: float
    most: float
    answers_per_second: float
    load: float

    @property
    def is_held(self) -> bool:
        """Whether it keeps its bar."""
        return not self.kind or self.p95 < BARS_MS[self.kind]

    def cells(self) -> tuple[str, ...]:
        """A line of the table, by HEADINGS."""
        bar = f"{BARS_MS[self.kind]}, {'held' if self.is_held else 'MISSED'}" if self.kind else "-"
        return (
            self.name, f"{self.answers:,}", f"{self.p50:.1f}", f"{self.p95:.1f}", f"{self.p99:.1f}", f"{self.most:.1f}",
            f"{self.answers_per_second:,.0f}", bar, f"{self.load:.1f}",
        )  # fmt: skip


def questions(transactions: Sequence[str], breaks: Sequence[str], cursors: Mapping[str, str]) -> list[Question]:
    """The main paths. `cursors`: a place in the middle of each list."""
    now = datetime.now(UTC)
    texts = itertools.cycle([{"text": each[:-3]} for each in transactions])
    moments = ({"since": (now - timedelta(hours=20, seconds=61 * n)).isoformat()} for n in itertools.count())
    filters: list[Query] = [
        {"verdict": "BROKEN"},
        {"class": "AMOUNT_MISMATCH"},
        {"source": "GATEWAY", "severity": "HIGH"},
        {"currency": "EUR", "sort": "-amount"},
        {"currency": "USD", "amount_min": "10", "amount_max": "5000", "sort": "amount"},
        {"since": (now - timedelta(hours=1)).isoformat(), "before": now.isoformat()},
    ]
    unheard_of = {"source": "ALL", "severity": "CRITICAL"}
    return [
        Question("/transactions, first page", "/transactions", itertools.repeat({}), "list"),
        Question("/transactions, far behind", "/transactions", itertools.repeat({"after": cursors["/transactions"]}), "list"),
        Question("/transactions, filters in turn", "/transactions", itertools.cycle(filters), "list"),
        Question("/transactions, by breaks that none has", "/transactions", itertools.repeat(unheard_of)),
        Question("/transactions, by beginning of id", "/transactions", texts, "list"),
        Question("/mismatches, first page", "/mismatches", itertools.repeat({}), "list"),
        Question("/mismatches, far behind", "/mismatches", itertools.repeat({"after": cursors["/mismatches"]}), "list"),
        Question("/mismatches, of a class", "/mismatches", itertools.repeat({"class": "AMOUNT_MISMATCH"}), "list"),
        Question("/mismatches/facets, not cached", "/mismatches/facets", moments),
        Question("/transactions/{txn_id}", "/transactions/{}", ({"": each} for each in itertools.cycle(transactions))),
        Question("/mismatches/{break_id}", "/mismatches/{}", ({"": each} for each in itertools.cycle(breaks))),
        Question("/transactions/stats, cached", "/transactions/stats", itertools.repeat({}), "cached"),
        Question("/mismatches/stats, cached", "/mismatches/stats", itertools.repeat({}), "cached"),
        Question("/transactions/stats, not cached", "/transactions/stats", moments, "counted"),
        Question("/mismatches/stats, not cached", "/mismatches/stats", moments, "counted"),
        Question("/status", "/status", itertools.repeat({})),
    ]  # fmt: skip


class Api:
    """The web role, asked by somebody who may see everything."""

    def __init__(self, settings: Settings, port: int) -> None:
        self._settings, self._base = settings, f"http://127.0.0.1:{port}"
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CLIENTS))

    async def close(self) -> None:
        """The connections."""
        await self._session.close()

    async def log_in(self) -> None:
        """A fresh token: it lasts five minutes."""
        (granted,) = await obtain(self._settings, [user for user in demo_users() if user.role is Who.ADMIN])
        self._session.headers["Authorization"] = f"Bearer {granted.token}"

    async def get(self, path: str, query: Query) -> Any:
        """An answer. Raises RunFailed where it is none."""
        query = dict(query)
        path = path.format(query.pop("")) if "" in query else path
        async with self._session.get(f"{self._base}{path}", params=query) as answer:
            body = await answer.json()
        if answer.status != 200:
            raise RunFailed(f"{path} {query} answers {answer.status}: {body}")
        return body

    async def first_rows(self, path: str, pages: int) -> tuple[list[dict[str, Any]], str]:
        """Those of so many pages of a list at most, and the cursor behind them; empty where the list has but one page."""
        rows: list[dict[str, Any]] = []
        query, cursor = {"limit": "200"}, ""
        for _ in range(pages):
            page = await self.get(path, query)
            rows += page["items"]
            if page["next"] is None:
                break
            query["after"] = cursor = page["next"]
        return rows, cursor

    async def until_ready(self, role: Role) -> None:
        """Until it answers; raises RunFailed where it ends or takes too long."""
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and role.child.poll() is None:
            try:
                await self.get("/health", {})
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.2)
            else:
                return
        raise RunFailed(f"the API does not answer, see {role.log}")

    async def ask(self, question: Question, seconds: float) -> Run:
        """Ask for so many seconds after a short warm-up."""
        await self.log_in()
        took: list[float] = []
        counted_from = time.monotonic() + WARM_SECONDS
        until = counted_from + seconds

        async def one() -> None:
            while (begun := time.monotonic()) < until:
                await self.get(question.path, next(question.queries))
                if begun >= counted_from:
                    took.append((time.monotonic() - begun) * 1000)

        await asyncio.gather(*(one() for _ in range(CLIENTS)))
        cuts = statistics.quantiles(took, n=100)
        p50, p95, p99, most = (round(value, 2) for value in (cuts[49], cuts[94], cuts[98], max(took)))
        return Run(
            question.name, question.kind, len(took), p50, p95, p99, most, round(len(took) / seconds, 1),
            round(os.getloadavg()[0], 1),
        )  # fmt: skip


async def measure_all(folder: Path, transactions: int, seconds: float, seed: int) -> list[Run]:
    """Let worker and sink make the rows from events, then ask."""
    console.print("Building the product natively")
    build_product(folder)
    async with fresh_stack(folder / "stack", "api", SERVICES) as settings:
        await fill(settings, folder, transactions, seed)
        port = free_ports(1)[0]
        limits = {"RECON_WEB_PORT": str(port), "RECON_RATE_LIMITS": "", "RECON_RATE_LIMIT_DEFAULT": "1000000"}
        web, api = Role("web", settings, folder, limits), Api(settings, port)
        try:
            await api.until_ready(web)
            await api.log_in()
            runs = []
            for question in questions(*await samples(api)):
                runs.append(await api.ask(question, seconds))
                console.print("  ".join(f"{h}: {c}" for h, c in zip(HEADINGS, runs[-1].cells(), strict=True)))
            return runs
        finally:
            await api.close()
            await web.stop()


async def fill(settings: Settings, folder: Path, transactions: int, seed: int) -> None:
    """Events of so many transactions, reconciled and stored."""
    await migrate(settings.database_owner_url)
    backlog = Backlog(settings, folder, seed)
    took = await backlog.grow(transactions)
    console.print(f"{backlog.events:,} events of {transactions:,} transactions sent in {took:.0f} s")
    async with Broker.of(settings) as broker:
        await reconcile(settings, folder, broker, backlog)
        topics = (*SOURCE_TOPICS, RESULTS)
        ends = [await broker.ends(topic) for topic in topics]
    records = sum(sum(each.values()) for each in ends)
    async with Database(settings) as database:
        sink = Role("sink", settings, folder)

        async def share() -> float:
            return await database.reached(topics) / records

        try:
            await follow("the sink", sink.log, sink.process, share)
        finally:
            await sink.stop()
    console.print(f"{records:,} records stored")


async def samples(api: Api) -> tuple[list[str], list[str], dict[str, str]]:
    """Some transactions and breaks, and a cursor some thousand rows down each list."""
    transactions, far_transactions = await api.first_rows("/transactions", 25)
    breaks, far_breaks = await api.first_rows("/mismatches", 25)
    return (
        [item["txn_id"] for item in transactions],
        [item["break_id"] for item in breaks],
        {"/transactions": far_transactions, "/mismatches": far_breaks},
    )


def report(runs: Sequence[Run], transactions: int, noise: float, publishing: bool) -> int:
    """Show the table, write the results; the exit code."""
    held = all(run.is_held for run in runs)
    verdict = (
        f"{transactions:,} results, {CLIENTS} clients at a time: bars {'held' if held else 'missed'}; "
        f"yardstick {noise:.2f} us"
    )
    tell(
        "api",
        f"The API in front of {transactions:,} results",
        HEADINGS,
        [run.cells() for run in runs],
        verdict,
        {"transactions": transactions, "runs": [asdict(run) for run in runs]},
        publishing=publishing,
    )
    return 0 if held else 1


@click.command()
@click.option("--transactions", type=click.IntRange(10_000), default=1_000_000, show_default=True)
@click.option("--seconds", type=click.FloatRange(2), default=8.0, show_default=True, help="For each question.")
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True)
@click.option("--publish", "publishing", is_flag=True, help="Put the figures into docs/performance.md.")
def main(transactions: int, seconds: float, seed: int, publishing: bool) -> None:
    """Measure the API with so many TRANSACTIONS in PostgreSQL, made by worker and sink from events.

    The local services run on free ports in a folder that is deleted at the end. Exit code 1 where a bar is missed.
    """
    noise = yardstick()
    runs = in_folder(partial(measure_all, transactions=transactions, seconds=seconds, seed=seed))
    raise SystemExit(report(runs, transactions, noise, publishing))


if __name__ == "__main__":
    main()
