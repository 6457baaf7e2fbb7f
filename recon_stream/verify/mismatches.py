"""`recon-stream mismatches`: recon_mismatches as a subscriber reads it."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import click
import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from recon_stream.avro import decode
from recon_stream.domain.breaks import SUBJECTS, BreakClass
from recon_stream.domain.severity import LEVELS
from recon_stream.errors import TransientFailure
from recon_stream.process.output import ensure_reader
from recon_stream.settings import Settings, load_settings
from recon_stream.storage.verdicts import Move
from recon_stream.topics import MISMATCHES
from recon_stream.transport.reach import kafka_away
from recon_stream.verify.moves import BreakMove, Moves, evidence, major, money, printable

logger = logging.getLogger(__name__)

_START_TIMEOUT = 15.0
_POLL_MS = 500
_POLL_RECORDS = 500
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MOVE_COLOURS = {Move.OPENED: "red", Move.REOPENED: "red", Move.CHANGED: "yellow", Move.RESOLVED: "green"}
_SEVERITY_COLOURS = {"CRITICAL": "red", "HIGH": "red", "MEDIUM": "yellow", "LOW": "cyan"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which moves a subscriber wants to see; empty and None want all."""

    classes: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
    severity: str | None = None
    """The lowest severity."""
    amount: Decimal | None = None
    """The smallest amount, in major units of the transaction's own currency."""

    def wants(self, move: BreakMove) -> bool:
        """Whether the move is among them."""
        if self.classes and move.break_class not in self.classes:
            return False
        if self.subjects and move.subject not in self.subjects:
            return False
        if self.severity is not None and _level(move.severity) < LEVELS.index(self.severity):
            return False
        if self.amount is not None:
            text = major(move.amount_minor, move.currency)
            return text is not None and Decimal(text) >= self.amount
        return True


class Since(click.ParamType):
    """beginning, end, an instant (ISO 8601, UTC without a zone) or a time ago (90s, 15m, 2h, 1d) -> str | epoch ms."""

    name = "beginning|end|instant|ago"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """See above; fails with the forms that are understood."""
        if value in ("beginning", "end") or isinstance(value, int):
            return str(value) if isinstance(value, str) else value
        ago = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if ago:
            return int(time.time() * 1000) - int(ago[1]) * _UNITS_MS[ago[2]]
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is none of beginning, end, 2026-11-22T18:00:00, 90s, 15m, 2h, 1d", param, ctx)
        aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        return int(aware.timestamp() * 1000)


class Amount(click.ParamType):
    """An amount in major units -> Decimal."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """See above."""
        try:
            amount = Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount like 1000 or 12.50", param, ctx)
        if not amount.is_finite():
            self.fail(f"{value!r} is not an amount like 1000 or 12.50", param, ctx)
        return amount


@click.group()
def mismatches() -> None:
    """Follow recon_mismatches as a subscriber."""


@mismatches.command()
@click.option(
    "--from",
    "since",
    type=Since(),
    default="end",
    show_default=True,
    help="Where to begin: an instant is 2026-11-22T18:00:00 (UTC without a zone), a time ago 90s, 15m, 2h or 1d. "
    "With --group only where the group has read nothing yet.",
)
@click.option("--class", "classes", multiple=True, type=click.Choice([str(c) for c in BreakClass], case_sensitive=False),
              metavar="CLASS", help="Only breaks of this class; may be given several times.")  # fmt: skip
@click.option("--subject", "--source", "subjects", multiple=True,
              type=click.Choice(SUBJECTS, case_sensitive=False),
              help="Only breaks in which this source is the odd one; may be given several times.")  # fmt: skip
@click.option("--severity", type=click.Choice(LEVELS, case_sensitive=False), help="Only this severity and above.")
@click.option(
    "--min-amount", type=Amount(), help="Only transactions of at least this amount, in major units of each currency."
)
@click.option("--group", help="Read as this consumer group: a later call goes on where this one ended. At least once.")
@click.option(
    "-n", "--lines", type=click.IntRange(1), help="End after so many lines; moves of one result stay together."
)
@click.option("--no-follow", is_flag=True, help="End when all that was there at the start has been read.")
@click.option("--json", "as_json", is_flag=True, help="One result a line with its moves, for programs.")
def tail(
    since: str | int,
    classes: Sequence[str],
    subjects: Sequence[str],
    severity: str | None,
    min_amount: Decimal | None,
    group: str | None,
    lines: int | None,
    no_follow: bool,
    as_json: bool,
) -> None:
    """Print what happens to breaks, as it happens.

    One line a move: OPENED, CHANGED (other evidence), RESOLVED (with its resolution), REOPENED. A move is told by comparing
    with the revision seen before; of a transaction that is first seen here, open breaks are OPENED and resolved ones RESOLVED.
    Delivery is at least once: results that come again within this call are left out.

    \b
    --json prints one result a line: the record of the schema ReconciliationResult (amounts are integers in minor units,
    times epoch milliseconds) and beside it
      amount              the amount in major units, a string
      moves               [{move, break_id, class, subject, severity, delta}], delta in major units
      partition, offset   where it stands in recon_mismatches

    \b
    Examples:
      recon-stream mismatches tail --from 1h --severity HIGH
      recon-stream mismatches tail --class AMOUNT_MISMATCH --min-amount 10000 --json | jq .txn_id
      recon-stream mismatches tail --group fraud-team --from beginning

    Ctrl-C ends it, and so does the end of the program that reads it (`… | head -1`).
    """
    wanted = Wanted(frozenset(classes), frozenset(subjects), severity, min_amount)
    reader = _Reader(load_settings(), since, group, wanted, lines=lines, follow=not no_follow, as_json=as_json)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asyncio.run(reader.run())


class _Reader:
    def __init__(
        self,
        settings: Settings,
        since: str | int,
        group: str | None,
        wanted: Wanted,
        *,
        lines: int | None,
        follow: bool,
        as_json: bool,
    ) -> None:
        self._settings, self._since, self._group, self._wanted = settings, since, group, wanted
        self._lines, self._follow, self._as_json = lines, follow, as_json
        self._moves = Moves()
        self._printed = 0
        self._next: dict[TopicPartition, int] = {}
        """What has been printed and is not yet committed."""

    async def run(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        consumer = AIOKafkaConsumer(
            **self._settings.kafka_client(),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest" if self._since == "beginning" else "latest",
            max_poll_records=_POLL_RECORDS,
        )
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await consumer.start()
                await self._position(consumer)
            await self._read(consumer, stop)
        except (KafkaError, TimeoutError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise  # the reader of the pipe has what it wanted: click ends quietly
            raise await kafka_away(self._settings, error) from error
        finally:
            await consumer.stop()

    async def _position(self, consumer: AIOKafkaConsumer) -> None:
        if MISMATCHES not in await consumer.topics():
            raise TransientFailure(f"topic {MISMATCHES} does not exist: run `recon-stream topics create`")
        if self._group is not None:
            consumer.subscribe([MISMATCHES], listener=_Listener(consumer, self._since, self._next))
            return
        tps = await _partitions(consumer)
        consumer.assign(tps)
        await _seek(consumer, tps, self._since)

    async def _read(self, consumer: AIOKafkaConsumer, stop: asyncio.Event) -> None:
        ends = None if self._follow else await consumer.end_offsets(await _partitions(consumer))
        while not stop.is_set():
            ensure_reader()
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    self._take(record)
                    if self._lines is not None and self._printed >= self._lines:
                        await self._commit(consumer)
                        return
            await self._commit(consumer)
            if ends is not None and await self._is_through(consumer, ends):
                return

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """After the lines are out, so that none is lost; a kill between the two prints them again."""
        if self._group is not None and self._next:
            sys.stdout.flush()
            await consumer.commit(dict(self._next))
        self._next.clear()

    async def _is_through(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
        assigned = consumer.assignment()
        if not assigned:
            return False  # the group is still forming
        return all([await consumer.position(tp) >= ends.get(tp, 0) for tp in assigned])

    def _take(self, record: ConsumerRecord) -> None:
        self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1
        try:
            result = decode("reconciliation_result", record.value or b"")
        except (ValueError, EOFError, IndexError, TypeError) as error:
            logger.warning("%s[%d]@%d is not a result: %s", record.topic, record.partition, record.offset, error)
            return
        moves = [move for move in self._moves.of(result) if self._wanted.wants(move)]
        if not moves:
            return
        if self._as_json:
            self._print(line_of_result(result, moves, record.partition, record.offset))
            return
        for move in moves:
            self._print(line_of_move(move))

    def _print(self, line: str) -> None:
        click.echo(line)
        self._printed += 1


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Partitions of which the group has committed nothing begin where --from says."""

    def __init__(self, consumer: AIOKafkaConsumer, since: str | int, uncommitted: dict[TopicPartition, int]) -> None:
        self._consumer, self._since, self._uncommitted = consumer, since, uncommitted

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """What was printed belongs to the group before another member reads on."""
        if self._uncommitted:
            await self._consumer.commit(dict(self._uncommitted))
            self._uncommitted.clear()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """See the class."""
        fresh = [tp for tp in assigned if await self._consumer.committed(tp) is None]
        await _seek(self._consumer, fresh, self._since)


async def _partitions(consumer: AIOKafkaConsumer) -> list[TopicPartition]:
    if not consumer.partitions_for_topic(MISMATCHES):
        await consumer.end_offsets([TopicPartition(MISMATCHES, 0)])  # has the metadata of the topic fetched
    return [TopicPartition(MISMATCHES, number) for number in sorted(consumer.partitions_for_topic(MISMATCHES) or ())]


async def _seek(consumer: AIOKafkaConsumer, tps: Sequence[TopicPartition], since: str | int) -> None:
    if not tps:
        return
    if since == "beginning":
        offsets = await consumer.beginning_offsets(tps)
    else:
        # taken now, not at the first fetch: what is written meanwhile is to be seen
        offsets = await consumer.end_offsets(tps)
    if isinstance(since, int):
        found = await consumer.offsets_for_times(dict.fromkeys(tps, since))
        offsets |= {tp: entry.offset for tp, entry in found.items() if entry is not None}
    for tp, offset in offsets.items():
        consumer.seek(tp, offset)


def line_of_move(move: BreakMove) -> str:
    """The line for people: instant (UTC), move, severity, class, subject, transaction, amount, what differs."""
    at = datetime.fromtimestamp(move.at // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    name = printable(move.break_class) + (f"/{printable(move.subtype)}" if move.subtype else "")
    return " ".join(
        (
            at,
            click.style(f"{move.move:<8}", fg=_MOVE_COLOURS[move.move]),
            click.style(f"{printable(move.severity):<8}", fg=_SEVERITY_COLOURS.get(move.severity)),
            f"{name:<34}",
            f"{printable(move.subject):<7}",
            f"{printable(move.txn_id):<22}",
            f"{money(move.amount_minor, move.currency):>18}",
            f" {evidence(move)}",
        )
    )


def line_of_result(result: Mapping[str, Any], moves: Sequence[BreakMove], partition: int, offset: int) -> str:
    """The line for programs: the record, its amount in major units, the moves, its place."""
    described = [
        {
            "move": str(move.move),
            "break_id": move.break_id,
            "class": move.break_class,
            "subject": move.subject,
            "severity": move.severity,
            "resolution": move.resolution,
            "delta": major(move.delta_minor, move.currency),
        }
        for move in moves
    ]
    more = {
        "amount": major(result["amount_minor"], result["currency"]),
        "moves": described,
        "partition": partition,
        "offset": offset,
    }
    return orjson.dumps({**result, **more}).decode()


def _level(severity: str) -> int:
    return LEVELS.index(severity) if severity in LEVELS else len(LEVELS)
