"""Where `watch` learns things: Kafka, the operations ports, PostgreSQL. Each part goes on without the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Final, LiteralString, Self

import aiohttp
import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families

from recon_stream.apps import OPERATIONS_OFFSET
from recon_stream.avro import decode
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.errors import ReconError, TransientFailure
from recon_stream.settings import Settings
from recon_stream.storage.pool import Connection, connection_string
from recon_stream.topics import DEAD_LETTERS, GROUPS, MISMATCHES, RESULTS, spans_seen_by, waiting
from recon_stream.transport.reach import why_away
from recon_stream.verify.watch_model import Model, Process, Sample, Totals

logger = logging.getLogger(__name__)

TOPICS: Final = (*SOURCE_TOPICS, RESULTS, MISMATCHES, DEAD_LETTERS)

PROCESSES_MAX = 20  # of a role; their operations ports are 20 apart
_HOST = "127.0.0.1"
_INTERVAL = 1.0
_SCAN_EVERY = 5  # rounds between two looks for processes on ports that did not answer
_RETRY = 2.0
_START_TIMEOUT = 5.0
_ROUND_TIMEOUT = 5.0
_PORT_TIMEOUT = 1.0
_POLL_MS = 250
_POLL_RECORDS = 1000
_BEHIND_MAX = 20_000
"""A partition's results that may wait here; more are skipped, or a view that is watched would never be up to date."""
_TOTALS_EVERY = 2.0
_TOTALS_SHARE = 10  # the database works for us at most this fraction of the time
_METRICS = ("recon_watermark_age_seconds{", "recon_deadlines_held{", "recon_dead_letters_total{")
_AWAY = (KafkaError, OSError, TimeoutError, psycopg.Error, aiohttp.ClientError, ReconError)

_VERDICTS: LiteralString = "SELECT verdict, count(*) FROM reconciliation_results GROUP BY verdict"
_OPEN_BREAKS: LiteralString = "SELECT class, count(*) FROM breaks WHERE state = 'OPEN' GROUP BY class"
_DEAD_LETTERS: LiteralString = "SELECT reason, count(*) FROM dead_letters GROUP BY reason"


class Feed:
    """Keeps a model up to date while it is open: `async with Feed(settings, model)`.

    What does not answer is named in `model.away` and asked again; nothing is raised for it.
    """

    def __init__(self, settings: Settings, model: Model) -> None:
        self._settings, self._model = settings, model
        self._tasks: list[asyncio.Task[None]] = []
        self._first: dict[str, asyncio.Event] = {}
        model.broker = settings.kafka_bootstrap_servers

    async def __aenter__(self) -> Self:
        for name, once in (
            ("Kafka", self._read_lag),
            ("recon_results", self._read_results),
            ("processes", self._read_processes),
            ("PostgreSQL", self._read_totals),
        ):
            self._first[name] = asyncio.Event()
            self._tasks.append(asyncio.create_task(self._for_ever(name, once), name=f"watch {name}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settled(self, seconds: float) -> None:
        """Wait until every part has answered or failed once, at most so many seconds."""
        waiting = [asyncio.create_task(event.wait()) for event in self._first.values()]
        await asyncio.wait(waiting, timeout=seconds)
        for task in waiting:
            task.cancel()

    async def _for_ever(self, name: str, once: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await once()
            except _AWAY as error:
                is_kafka = isinstance(error, KafkaError)
                self._model.is_away(
                    name, "; ".join(await why_away(self._settings, error)) if is_kafka else _short(error)
                )
                self._first[name].set()
            except Exception as error:
                # a view must not go on with one part silently dead
                logger.exception("watching %s", name)
                self._model.is_away(name, f"broken: {error!r}")
                self._first[name].set()
            await asyncio.sleep(_RETRY)

    def _answered(self, name: str) -> None:
        self._model.answers(name)
        self._first[name].set()

    async def _read_results(self) -> None:
        """Follow recon_results and recon_mismatches from their ends, without a group."""
        consumer = AIOKafkaConsumer(
            **self._settings.kafka_client(),
            auto_offset_reset="latest",
            enable_auto_commit=False,
            max_poll_records=_POLL_RECORDS,
            request_timeout_ms=int(_ROUND_TIMEOUT * 1000),
        )
        async with _started(consumer):
            tps = [tp for topic in (RESULTS, MISMATCHES) for tp in await _partitions(consumer, topic)]
            consumer.assign(tps)
            await asyncio.wait_for(consumer.seek_to_end(*tps), _ROUND_TIMEOUT)
            self._answered("recon_results")
            while True:
                batches = await consumer.getmany(timeout_ms=_POLL_MS)
                for tp, records in batches.items():
                    for record in records:
                        self._take(tp.topic, record.value)
                    await self._keep_up(consumer, tp)

    def _take(self, topic: str, value: bytes | None) -> None:
        try:
            result = decode("reconciliation_result", value or b"")
        except (ValueError, EOFError, IndexError, TypeError) as error:
            self._model.is_away(topic, f"a record is not a result: {error}")
            return
        if topic == RESULTS:
            self._model.saw_result(result)
        else:
            self._model.saw_mismatch(result)

    async def _keep_up(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
        end = consumer.highwater(tp)
        behind = end - await consumer.position(tp) if end is not None else 0
        if behind > _BEHIND_MAX:
            consumer.seek(tp, end)
            self._model.results_skipped += behind

    async def _read_lag(self) -> None:
        """End offsets and committed offsets, once a second."""
        consumer = AIOKafkaConsumer(**self._settings.kafka_client(), request_timeout_ms=int(_ROUND_TIMEOUT * 1000))
        admin = AIOKafkaAdminClient(**self._settings.kafka_client(), request_timeout_ms=int(_ROUND_TIMEOUT * 1000))
        async with _started(consumer), _started(admin):
            tps = [tp for topic in TOPICS for tp in await _partitions(consumer, topic)]
            while True:
                async with asyncio.timeout(_ROUND_TIMEOUT):
                    spans = await spans_seen_by(consumer, tps)
                    self._model.saw_ends(time.time(), _by_topic((tp, end) for tp, (_, end) in spans.items()))
                    for role, topics in GROUPS.items():
                        committed = await admin.list_consumer_group_offsets(f"{self._settings.app_id}-{role}")
                        self._model.lag[role] = _by_topic(waiting(spans, committed, topics).items())
                self._answered("Kafka")
                await asyncio.sleep(_INTERVAL)

    async def _read_processes(self) -> None:
        """Ask the operations ports, once a second."""
        timeout = aiohttp.ClientTimeout(total=_PORT_TIMEOUT)
        everyone = [(role, index) for role in OPERATIONS_OFFSET for index in range(PROCESSES_MAX)]
        known: set[tuple[str, int]] = set()
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=20)) as session:
            for number in range(1 << 62):
                asked = everyone if number % _SCAN_EVERY == 0 else sorted(known)
                answers = await asyncio.gather(*(self._ask(session, role, index) for role, index in asked))
                found = [answer for answer in answers if answer is not None]
                known = {(process.role, process.number) for process, _ in found}
                self._model.sample = _sample(found)
                self._answered("processes")
                await asyncio.sleep(_INTERVAL)

    async def _ask(self, session: aiohttp.ClientSession, role: str, index: int) -> tuple[Process, str] | None:
        port = self._settings.operations_port + OPERATIONS_OFFSET[role] + index
        base = f"http://{_HOST}:{port}"
        try:
            async with session.get(f"{base}/readyz") as answer:
                ready = await answer.json(content_type=None)
            async with session.get(f"{base}/metrics") as answer:
                text = await answer.text()
        except aiohttp.ClientConnectorError:
            return None  # nobody listens
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            return Process(role, index, port, (f"does not answer: {_short(error)}",)), ""
        if f'role="{role}"' not in text:
            return None  # the port is somebody else's
        reasons = ready.get("reasons", {}) if isinstance(ready, dict) else {"readyz": "unreadable"}
        return Process(role, index, port, tuple(f"{name}: {why}" for name, why in reasons.items())), text

    async def _read_totals(self) -> None:
        """Ask the database what it holds, every few seconds, and never for a large part of its time."""
        url = self._settings.database_reader_url or self._settings.database_url
        connecting = psycopg.AsyncConnection.connect(
            connection_string(url, self._settings, "watch"), autocommit=True, connect_timeout=3
        )
        async with await asyncio.wait_for(connecting, _START_TIMEOUT) as connection:
            while True:
                begun = time.monotonic()
                async with asyncio.timeout(_ROUND_TIMEOUT):
                    totals = Totals(*[await _counted(connection, q) for q in (_VERDICTS, _OPEN_BREAKS, _DEAD_LETTERS)])
                self._model.saw_totals(time.time(), totals)
                self._answered("PostgreSQL")
                await asyncio.sleep(max(_TOTALS_EVERY, _TOTALS_SHARE * (time.monotonic() - begun)))


class _started:  # noqa: N801 - reads as a verb where it is used
    """Starts an aiokafka client within a bound and stops it in any case."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def __aenter__(self) -> None:
        try:
            await asyncio.wait_for(self._client.start(), _START_TIMEOUT)
        except BaseException:
            await self._stop()
            raise

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        close = self._client.stop if hasattr(self._client, "stop") else self._client.close
        await asyncio.wait_for(close(), _START_TIMEOUT)


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    async with asyncio.timeout(_ROUND_TIMEOUT):
        while not (numbers := consumer.partitions_for_topic(topic)):
            if topic not in await consumer.topics():
                raise TransientFailure(f"topic {topic} does not exist: run `recon-stream topics create`")
            await consumer.end_offsets([TopicPartition(topic, 0)])  # has its metadata fetched
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def _by_topic(numbers: Iterable[tuple[TopicPartition, int]]) -> dict[str, int]:
    sums: defaultdict[str, int] = defaultdict(int)
    for tp, number in numbers:
        sums[tp.topic] += number
    return dict(sums)


def _sample(found: list[tuple[Process, str]]) -> Sample:
    ages: dict[str, float] = {}
    held: set[str] = set()
    letters: defaultdict[str, int] = defaultdict(int)
    for process, text in found:
        if process.role != "worker":
            continue
        wanted = "\n".join(line for line in text.splitlines() if line.startswith(_METRICS)) + "\n"
        for family in text_string_to_metric_families(wanted):
            for sample in family.samples:
                if sample.name == "recon_watermark_age_seconds":
                    topic = sample.labels["topic"]
                    ages[topic] = max(ages.get(topic, 0.0), sample.value)
                elif sample.name == "recon_deadlines_held" and sample.value:
                    held.add(sample.labels["source"])
                elif sample.name == "recon_dead_letters_total":
                    letters[sample.labels["reason"]] += int(sample.value)
    return Sample(tuple(sorted(process for process, _ in found)), ages, frozenset(held), dict(letters))


async def _counted(connection: Connection, query: LiteralString) -> dict[str, int]:
    cursor = await connection.execute(query)
    return dict(await cursor.fetchall())


def _short(error: BaseException) -> str:
    text = " ".join((error.detail if isinstance(error, ReconError) else str(error)).split())
    return (text or type(error).__name__)[:160]
