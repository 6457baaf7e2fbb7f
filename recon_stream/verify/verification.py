"""A whole verification: one partition number after the other, then what concerns all of them.

Memory holds one partition number: its records and results as bytes, about 2 kB a transaction.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from recon_stream.avro import SchemaRegistry
from recon_stream.domain.event import SOURCE_TOPICS, Event
from recon_stream.domain.rules import RulesBook
from recon_stream.errors import ConfigurationError
from recon_stream.rulebook import load_rules
from recon_stream.settings import Settings
from recon_stream.storage.values import identifier
from recon_stream.topics import MISMATCHES, RESULTS, check_topics
from recon_stream.transport.log import Entry, Log, Partition
from recon_stream.verify.answer_key import AnswerKey, load_keys
from recon_stream.verify.archive_checks import Money, check_archive, check_money
from recon_stream.verify.catch_up import Reach, catch_up, held_sources
from recon_stream.verify.chains import (
    Revision,
    check_mismatches,
    check_missing,
    decode_chain,
    moves_of,
)
from recon_stream.verify.database import Database
from recon_stream.verify.evidence import PartitionEvidence, Published, Reader
from recon_stream.verify.replay import CLOCK_SLACK_MS, Horizon, Replay
from recon_stream.verify.report import Report
from recon_stream.verify.stored_checks import StoredVerdict, check_live_verdict, check_moves

YIELD_EVERY = 200
"""Transactions between two turns of the event loop: clients keep their connections meanwhile."""
RETRY_SECONDS = 2.0


class Progress(Protocol):
    """What a verification tells while it works."""

    def say(self, text: str) -> None:
        """What it is waiting for or looking at."""

    def expect(self, records: int) -> None:
        """How many Kafka records it will read."""

    def advance(self, records: int) -> None:
        """So many more were read."""


async def verify(settings: Settings, key_paths: Sequence[Path], wait: float, progress: Progress) -> Report:
    """Check everything that is there now. Raises ReconError where that is not possible.

    With `wait`, in seconds, it begins when worker and sink have caught up and the deadlines have passed, and begins anew
    while a deadline is overdue and there is time left.
    """
    problems = [f"{topic.name}: {problem}" for topic in await check_topics(settings) for problem in topic.problems]
    if problems:
        raise ConfigurationError("; ".join(problems))
    book = load_rules(settings)
    until = time.monotonic() + wait
    while True:
        keys = load_keys(key_paths)
        async with Log(settings) as log, SchemaRegistry(settings) as registry:
            reach = await catch_up(log, settings, book.current, max(0.0, until - time.monotonic()), progress.say)
            async with Database(settings) as database:
                run = Verification(settings, book, keys, log, Reader(registry), database, reach, progress)
                report = await run.report()
        if not run.waiting or time.monotonic() + RETRY_SECONDS > until:
            return report
        progress.say(f"{run.waiting} transactions wait for a deadline")
        await asyncio.sleep(RETRY_SECONDS)


class Verification:
    """One pass over everything inside of a reach."""

    def __init__(
        self,
        settings: Settings,
        book: RulesBook,
        keys: Sequence[AnswerKey],
        log: Log,
        reader: Reader,
        database: Database,
        reach: Reach,
        progress: Progress,
    ) -> None:
        self._settings, self._book, self._keys = settings, book, keys
        self._log, self._reader, self._database = log, reader, database
        self._reach, self._progress = reach, progress
        self._rules_by_version = {rules.version: rules for rules in book.by_digest.values()}
        self._money: Money = Counter()
        self._left_out: set[str] = set()
        self._report = Report()
        self.waiting = 0
        """Transactions whose deadline has passed by the clock and not yet in what is published."""

    async def report(self) -> Report:
        """Make every check."""
        report, reach = self._report, self._reach
        topics = (*SOURCE_TOPICS, RESULTS, MISMATCHES)
        self._progress.expect(sum(reach.ends[p] - reach.begins[p] for p in reach.ends if p[0] in topics))
        if not self._keys:
            report.i4.not_checked = "there is no answer key: give the file that `produce --answer-key` wrote"
        for number in range(self._settings.partitions):
            evidence = PartitionEvidence(number)
            evidence.reasons = await self._database.dead_letters(number)
            await self._read_sources(evidence)
            await self._read_published(evidence)
            await self._judge(evidence)
        self._progress.say("PostgreSQL as a whole")
        await self._check_whole_tables()
        for key in self._keys:
            key.check_totals(report.i4, report.i9, self._left_out)
        return report

    # Reading

    async def _read_sources(self, evidence: PartitionEvidence) -> None:
        number, reach = evidence.number, self._reach
        for source, topic in enumerate(SOURCE_TOPICS):
            partition = (topic, number)
            since, end = reach.begins[partition], reach.ends[partition]
            self._progress.say(f"{topic}[{number}]")
            async for _, entries in self._log.read({partition: (since, end)}, self._progress.advance):
                await self._reader.prepare(entry.value for entry in entries)
                decoded = [(entry, self._reader.read(entry.value)) for entry in entries]
                for entry, event in decoded:
                    evidence.add(source, entry, event)
                    if event is not None:
                        self._money[topic, identifier(event.currency)] += event.amount_minor
                        self._report.i9.examined += 1
                    for key in self._keys:
                        key.saw_record(source, entry, event, evidence.reasons.get((topic, entry.offset)))
                await self._check_archive(evidence, partition, decoded, since, entries[-1].offset + 1)
                since = entries[-1].offset + 1
            await self._check_archive(evidence, partition, [], since, end)

    async def _check_archive(
        self,
        evidence: PartitionEvidence,
        partition: Partition,
        decoded: list[tuple[Entry, Event | None]],
        since: int,
        before: int,
    ) -> None:
        if since >= before:
            return
        with self._report.i1.timed():
            rows = await self._database.raw_events(partition, since, before)
            check_archive(self._report.i1, partition, decoded, rows, evidence.reasons)

    async def _read_published(self, evidence: PartitionEvidence) -> None:
        number, reach = evidence.number, self._reach
        for topic, found in ((RESULTS, evidence.results), (MISMATCHES, evidence.mismatches)):
            partition = (topic, number)
            self._progress.say(f"{topic}[{number}]")
            span = (reach.begins[partition], reach.ends[partition])
            async for _, entries in self._log.read({partition: span}, self._progress.advance):
                for entry in entries:
                    found[entry.key or b""].append(Published(entry.offset, entry.timestamp, entry.value))
        later = {(topic, number): (reach.ends[topic, number], reach.later[topic, number]) for topic in SOURCE_TOPICS}
        async for _, entries in self._log.read(later, lambda _: None):
            evidence.moving.update(entry.key for entry in entries if entry.key)

    # Judging

    async def _judge(self, evidence: PartitionEvidence) -> None:
        """Every transaction of a partition number: those with a row, then those without."""
        self._progress.say(f"verdicts of partition {evidence.number}")
        rules = self._book.current
        core, gateway, mobile = evidence.watermarks
        horizon = Horizon(
            (core, gateway, mobile),
            self._reach.clock_ms,
            held_sources(self._reach, rules),
            CLOCK_SLACK_MS + rules.stall.after_ms,
        )
        replay = Replay(evidence, self._reader, rules, horizon)
        # a row names a transaction as an index can hold it
        keys = {identifier(key.decode("utf-8", "replace")): key for key in evidence.results}
        judged, left = set(evidence.results), set(evidence.results)
        end = self._reach.ends[RESULTS, evidence.number]
        count = 0
        async for stored in self._database.verdicts(evidence.number):
            key = keys.get(stored.txn_id)
            if key is not None:
                left.discard(key)
            self._judge_stored(evidence, replay, key, stored, has_moved_on=stored.kafka_offset >= end)
            count += 1
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        for key in left:
            self._judge_case(evidence, replay, key)
            self._report.i7.violated(f"{key.decode('utf-8', 'replace')} was published and has no live verdict")
        for key in evidence.cases.keys() - judged:
            self._judge_case(evidence, replay, key)
        self.waiting += len(evidence.waiting)
        if evidence.waiting:
            self._report.i11.notes["waiting for a deadline: more may be said"] += len(evidence.waiting)

    def _judge_stored(
        self,
        evidence: PartitionEvidence,
        replay: Replay,
        key: bytes | None,
        stored: StoredVerdict,
        *,
        has_moved_on: bool,
    ) -> None:
        report = self._report
        if key is None:
            retained = stored.kafka_offset >= self._reach.begins[RESULTS, evidence.number]
            if retained and not has_moved_on:
                report.i7.violated(f"{stored.txn_id} has a live verdict and was never published")
            elif not retained:
                report.i7.notes["older than what recon_results still holds"] += 1
            self._check_keys(stored)
            return
        chain = self._judge_case(evidence, replay, key)
        if has_moved_on or key in evidence.moving or key in evidence.waiting:
            self._left_out.add(stored.txn_id)
            report.i7.notes["moved on while this ran, or waiting for a deadline"] += 1
            return
        if chain:
            with report.i7.timed():
                check_live_verdict(report.i7, chain, stored)
            with report.i6.timed():
                check_moves(report.i6, moves_of(report.i6, chain), chain, stored)
        self._check_keys(stored)

    def _check_keys(self, stored: StoredVerdict) -> None:
        with self._report.i4.timed():
            for key in self._keys:
                key.check_verdict(self._report.i4, stored)

    def _judge_case(self, evidence: PartitionEvidence, replay: Replay, key: bytes) -> list[Revision]:
        """What needs no row: I3, I5, I7 of recon_mismatches, I11. Returns the published chain."""
        report = self._report
        chain: list[Revision] = []
        if key in evidence.results:
            with report.i3.timed():
                report.i3.examined += 1
                chain = decode_chain(report.i3, key, evidence.results.pop(key))
            with report.i5.timed():
                check_missing(report.i5, chain, evidence, self._rules_by_version)
            with report.i7.timed():
                check_mismatches(report.i7, chain, evidence.mismatches.get(key, ()))
        with report.i11.timed():
            replay.check(report.i11, key, chain[-1].body if chain else None)
        return chain

    # Whole tables

    async def _check_whole_tables(self) -> None:
        report, database, ends = self._report, self._database, self._reach.ends
        with report.i9.timed():
            archived = await database.money(self._reach.begins, ends)
            check_money(report.i9, self._money, {where: total for where, (total, _) in archived.items()})
        with report.i2.timed():
            for txn_id, source, event_id, revision, copies, place, total in await database.accepted_twice():
                report.i2.examined = total
                if txn_id is not None:
                    report.i2.violated(
                        f"{txn_id}: {source} {event_id} revision {revision} was accepted {copies} times, first at {place}"
                    )
            legs = await database.legs_of_unaccepted_records(ends)
            report.i2.examined += legs[0][3]
            for txn_id, source, place, _ in legs:
                if txn_id is not None:
                    report.i2.violated(f"{txn_id}: the {source} leg names {place}, which was not accepted for it")
        with report.i3.timed():
            for txn_id, why, _ in await database.without_verdict(ends):
                if txn_id is not None and txn_id not in self._left_out:
                    report.i3.violated(f"{txn_id} has {why} and no live verdict")
            for topic, partition, offset, reason, txn_id, revision, stored in await database.conflicts():
                report.i3.violated(
                    f"{topic}[{partition}]@{offset} was kept aside: {reason}, {txn_id} revision {revision}, stored {stored}"
                )
        with report.i6.timed():
            for text in await database.orphans():
                report.i6.violated(text)
