"""The sink's transactions on a real PostgreSQL: once each, in order, exact, whatever is repeated."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from recon_stream.avro import decode
from recon_stream.domain.event import Direction, Event, Source
from recon_stream.settings import Settings
from recon_stream.storage.dead_letters import dead_letter
from recon_stream.storage.pool import Pool, connection_pool
from recon_stream.storage.raw_events import RawEvent, raw_event
from recon_stream.storage.store import DeadLetterStore, RawEventStore, TopicDiffers, VerdictStore
from recon_stream.storage.verdicts import Incoming
from tests.storage.events import (
    NOON_MS,
    Batch,
    Record,
    encode_event,
    encode_letter,
    encode_result,
    event,
    letter,
    result,
    said_break,
)

pytestmark = pytest.mark.stack


@pytest.fixture
async def pool(database: Settings) -> AsyncIterator[Pool]:
    async with connection_pool(database.database_url, database, "test", size=4) as opened:
        yield opened


def rows_of(batch: Batch) -> list[RawEvent]:
    """Rows as agents.archive builds them."""
    made = []
    for record in batch.records:
        read = None
        if record.value and record.value[:1] == b"\0" and len(record.value) > 5:
            fields = decode("transaction_event", record.value)
            fields |= {"source": Source[fields["source"]], "direction": Direction[fields["direction"]]}
            read = Event(**fields), record.value[5:]
        made.append(raw_event(*batch.tp, record, read))
    return made


def incoming(batch: Batch) -> list[Incoming]:
    """Results as agents.persist hands them over."""
    return [
        Incoming(
            *batch.tp, r.offset, r.timestamp, r.value, decode("reconciliation_result", r.value) if r.value else None
        )
        for r in batch.records
    ]


def results(*said: dict[str, Any], offset: int = 0) -> Batch:
    """A batch of results in recon_results, partition 0."""
    return Batch("recon_results", 0, [Record(offset + n, encode_result(one)) for n, one in enumerate(said)])


def asked(database: Settings, query: str) -> list[tuple[Any, ...]]:
    """Rows, as the reader sees them."""
    with psycopg.connect(database.database_reader_url, options="-c timezone=UTC") as connection:
        return connection.execute(query).fetchall()


async def test_a_record_is_stored_once_however_often_it_is_read(database: Settings, pool: Pool) -> None:
    """The same batch twice, overlapping batches, a batch read from further back: one row a record, and the bookkeeping moves on only."""
    store = RawEventStore(pool)
    records = [Record(n, encode_event(event(event_id=f"E{n}"))) for n in range(30)]
    for first, last in ((0, 10), (0, 10), (5, 20), (15, 30), (0, 30), (3, 7)):
        batch = Batch("core_txns", 2, records[first:last])
        await store.write(rows_of(batch), [batch])
    assert asked(database, "SELECT array_agg(kafka_offset ORDER BY kafka_offset) FROM raw_events") == [
        (list(range(30)),)
    ]
    assert asked(database, "SELECT topic, partition, next_offset FROM sink_offsets") == [("core_txns", 2, 30)]
    again = Batch("core_txns", 2, records)
    written = await store.write(rows_of(again), [again])
    assert (written.rows, written.skipped) == ({"raw_events": 0}, 30)


async def test_records_that_were_skipped_before_are_stored_when_they_are_read(database: Settings, pool: Pool) -> None:
    """A consumer that was set forward and back again leaves no hole behind."""
    store = RawEventStore(pool)
    records = [Record(n, encode_event(event(event_id=f"E{n}"))) for n in range(20)]
    for first, last in ((10, 20), (0, 20)):
        batch = Batch("core_txns", 0, records[first:last])
        await store.write(rows_of(batch), [batch])
    assert asked(database, "SELECT count(*), min(kafka_offset) FROM raw_events") == [(20, 0)]


async def test_another_record_at_stored_coordinates_stops_the_sink(database: Settings, pool: Pool) -> None:
    """A topic that was made anew is noticed, not taken for a re-read and dropped."""
    store = RawEventStore(pool)
    batch = Batch("core_txns", 0, [Record(0, encode_event(event()))])
    await store.write(rows_of(batch), [batch])
    other = Batch("core_txns", 0, [Record(0, encode_event(event(txn_id="T2")))])
    with pytest.raises(TopicDiffers, match=r"core_txns\[0\] offset 0"):
        await store.write(rows_of(other), [other])


async def test_writers_that_both_think_they_own_the_partitions_store_each_record_once(
    database: Settings, pool: Pool
) -> None:
    """Four writers, the same partitions in different orders and merges, at once: no duplicate, no hole, no deadlock."""
    batches = [
        Batch(topic, partition, [Record(n, encode_event(event(event_id=f"E{n}"))) for n in range(first, first + 20)])
        for topic in ("core_txns", "gateway_txns")
        for partition in range(3)
        for first in range(0, 100, 20)
    ]

    async def writer(seed: int) -> None:
        chance, store = random.Random(seed), RawEventStore(pool)
        queues: dict[tuple[str, int], list[Batch]] = {}
        for batch in batches:
            queues.setdefault(batch.tp, []).append(batch)
        while queues:
            merged = []
            for place in chance.sample(sorted(queues), k=min(3, len(queues))):
                merged.append(queues[place].pop(0))
                if not queues[place]:
                    del queues[place]
            await store.write([row for batch in merged for row in rows_of(batch)], merged)

    await asyncio.gather(*[writer(seed) for seed in range(4)])
    assert asked(database, "SELECT count(*), count(DISTINCT (topic, partition, kafka_offset)) FROM raw_events") == [
        (600, 600)
    ]
    assert asked(database, "SELECT DISTINCT next_offset FROM sink_offsets") == [(100,)]


async def test_every_value_is_kept_to_the_byte_and_money_to_the_unit(database: Settings, pool: Pool) -> None:
    """Poison of all kinds, NUL in texts, null and foreign keys, the largest amounts, endless identifiers, odd timestamps."""
    values: list[bytes | None] = [
        None,
        b"",
        b"\0",
        b"\0\xff\xff\xff\xff",
        b"\x01garbage",
        random.Random(1).randbytes(10_000).lstrip(b"\0"),
        encode_event(event(event_id="largest", amount_minor=2**63 - 1, revision=2**31 - 1)),
        encode_event(event(event_id="smallest", amount_minor=-(2**63))),
        encode_event(event(event_id="nul\0inside", txn_id="T\0", currency="\0")),
        encode_event(event(event_id="long", txn_id="é" * 20_000)),
    ]
    odd_timestamps = (-1, 0, 2**62, -(2**62), NOON_MS)
    records = [Record(n, value, key=(b"T1", None, b"\xff\xfe", b"")[n % 4]) for n, value in enumerate(values)]
    records += [Record(10 + n, encode_event(event()), timestamp=at) for n, at in enumerate(odd_timestamps)]
    batch = Batch("core_txns", 0, records)
    await RawEventStore(pool).write(rows_of(batch), [batch])
    stored = asked(database, "SELECT key, value, status FROM raw_events ORDER BY kafka_offset")
    assert [(key, value) for key, value, _ in stored] == [(record.key, record.value) for record in records]
    assert [status for _, _, status in stored] == ["UNREADABLE"] * 6 + ["READABLE"] * 9
    columns = "SELECT txn_id, amount_minor, revision FROM raw_events WHERE event_id = '{}'"
    assert asked(database, columns.format("largest")) == [("T1", 2**63 - 1, 2**31 - 1)]
    assert asked(database, columns.format("smallest")) == [("T1", -(2**63), 0)]
    assert asked(database, columns.format("nul\u24000inside")) == [("T\u24000", 12345, 0)]
    assert asked(database, "SELECT kafka_timestamp FROM raw_events ORDER BY kafka_offset OFFSET 10") == [
        (datetime(1969, 12, 31, 23, 59, 59, 999000, UTC),),
        (datetime(1970, 1, 1, tzinfo=UTC),),
        (datetime(9999, 12, 31, 23, 59, 59, 999000, UTC),),
        (datetime(1, 1, 1, tzinfo=UTC),),
        (datetime(2025, 11, 22, 12, 0, 0, 123000, UTC),),
    ]


async def test_days_get_partitions_and_no_row_is_lost_when_a_day_gets_one_late(
    database: Settings, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    """Days far off go to the default partition with a warning; when such a day gets its own, its rows move there."""
    today = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=90), today, today + timedelta(days=6), today + timedelta(days=30)]
    at = [int(day.timestamp()) * 1000 for day in days]
    batch = Batch("core_txns", 0, [Record(n, encode_event(event()), timestamp=ms) for n, ms in enumerate(at)])
    await RawEventStore(pool).write(rows_of(batch), [batch])
    placed = "SELECT tableoid::regclass::text FROM raw_events ORDER BY kafka_offset"
    own = [f"raw_events_{day:%Y%m%d}" for day in days]
    assert asked(database, placed) == [(own[0],), (own[1],), (own[2],), ("raw_events_default",)]
    assert [record.args for record in caplog.records if "raw_events_default" in record.message] == [(days[3].date(),)]
    with psycopg.connect(database.database_owner_url) as connection:
        # the day comes near: the window of the function moves by a month
        source = connection.execute("SELECT pg_get_functiondef('ensure_raw_events_days'::regproc)").fetchone()
        assert source is not None
        connection.execute(source[0].replace("today + 7", "today + 37"))
    await RawEventStore(pool).write([], [batch])
    with psycopg.connect(database.database_url) as connection:
        connection.execute("SELECT ensure_raw_events_days(%s::date[])", ([days[3].date()],))
    assert asked(database, placed)[3] == (own[3],)
    assert asked(database, "SELECT count(*) FROM raw_events") == [(4,)]


async def test_partitions_of_a_day_are_made_by_many_at_once_without_a_deadlock(database: Settings, pool: Pool) -> None:
    """Processes that all meet a new day at the same moment make its partition once and store everything."""
    first = datetime.now(UTC).date() - timedelta(days=60)

    async def writer(partition: int) -> None:
        store = RawEventStore(pool)
        for n in range(10):
            at = int(datetime.combine(first + timedelta(days=n), datetime.min.time(), UTC).timestamp()) * 1000
            batch = Batch("core_txns", partition, [Record(n, encode_event(event()), timestamp=at)])
            await store.write(rows_of(batch), [batch])

    await asyncio.gather(*[writer(partition) for partition in range(4)])
    assert asked(database, "SELECT count(*), count(DISTINCT tableoid) FROM raw_events") == [(40, 10)]


async def test_what_became_of_each_event_is_told(database: Settings, pool: Pool) -> None:
    """Accepted, duplicate, conflict, correction, stale, rejected, unreadable: as section 4 of the design judges them."""
    said = [
        (event(), "ACCEPTED"),
        (event(), "DUPLICATE"),
        (event(amount_minor=1), "CONFLICT"),
        (event(revision=2, amount_minor=2), "ACCEPTED"),
        (event(revision=1, amount_minor=3), "STALE"),
        (event(), "STALE"),
        (event(revision=2, amount_minor=2), "DUPLICATE"),
        (event(event_id="E2"), "ACCEPTED"),
        (event(event_id="E3", amount_minor=-1), "REJECTED"),
        (event(event_id="E3", amount_minor=5), "ACCEPTED"),
        (event(event_id="E3", amount_minor=-1), "REJECTED"),
        (event(txn_id="T2"), "ACCEPTED"),
    ]
    records = [Record(n, encode_event(one)) for n, (one, _) in enumerate(said)] + [Record(len(said), b"poison")]
    batch = Batch("core_txns", 0, records)
    await RawEventStore(pool).write(rows_of(batch), [batch])
    letters = Batch("recon_dead_letters", 0, [Record(n, encode_letter(letter(at))) for n, at in enumerate((8, 10, 12))])
    rows = [dead_letter(*letters.tp, r, decode("dead_letter", r.value or b"")) for r in letters.records]
    await DeadLetterStore(pool).write(rows, [letters])
    outcomes = asked(database, "SELECT outcome FROM raw_event_outcomes ORDER BY kafka_offset")
    assert [outcome for (outcome,) in outcomes] == [*[outcome for _, outcome in said], "UNREADABLE"]


async def test_the_newest_revision_stands_and_a_re_read_changes_nothing(database: Settings, pool: Pool) -> None:
    """Revisions one by one, all in one batch, and all of them again: the same rows, and each move of the break once."""
    store = VerdictStore(pool)
    said = [
        result(revision=1, breaks=[said_break()]),
        result(revision=2, breaks=[said_break(actual="12301", delta_minor=-44)]),
        result(revision=3, breaks=[said_break("RESOLVED")]),
        result(revision=4, breaks=[said_break(actual="12299")]),
        result(revision=5, breaks=[said_break("RESOLVED", actual="12299")]),
    ]
    everything = (
        "SELECT (SELECT jsonb_agg(r ORDER BY txn_id) FROM reconciliation_results r), (SELECT jsonb_agg(b) FROM breaks b), "
        "(SELECT jsonb_agg(e ORDER BY revision) FROM break_events e), (SELECT count(*) FROM result_conflicts)"
    )
    one_by_one = [results(one, offset=n) for n, one in enumerate(said)]
    for batch in one_by_one[:3]:
        await store.write(incoming(batch), [batch])
    rest = results(*said[3:], offset=3)
    written = await store.write(incoming(rest), [rest])
    assert written.rows == {"reconciliation_results": 1, "breaks": 1, "break_events": 2, "result_conflicts": 0}
    before = asked(database, everything)
    ((rows, breaks, moves, conflicts),) = before
    assert (rows[0]["revision"], rows[0]["verdict"], rows[0]["kafka_offset"], conflicts) == (5, "MATCHED", 4, 0)
    assert [move["move"] for move in moves] == ["OPENED", "CHANGED", "RESOLVED", "REOPENED", "RESOLVED"]
    assert [move["revision"] for move in moves] == [1, 2, 3, 4, 5]
    assert (breaks[0]["reopen_count"], breaks[0]["revision"], breaks[0]["state"]) == (1, 5, "RESOLVED")
    assert breaks[0]["opened_at"] == "2025-11-22T12:00:00.124+00:00"
    assert breaks[0]["resolved_at"] == "2025-11-22T12:00:00.128+00:00"
    again = results(*said)
    written = await store.write(incoming(again), [again])
    assert (written.skipped, written.conflicts) == (5, 0)
    assert asked(database, everything) == before


async def test_another_content_of_a_known_revision_is_kept_aside(database: Settings, pool: Pool) -> None:
    """Equal or lower revision with other content, and what is no result: reported once with its bytes, the stored verdict stays."""
    store = VerdictStore(pool)
    first = results(result(revision=1), result(revision=2))
    await store.write(incoming(first), [first])
    odd = results(result(revision=2, verdict="VOID"), result(revision=1, verdict="VOID"), result(revision=0), offset=2)
    odd.records.append(Record(5, None))
    odd.next_offset = 6
    assert (await store.write(incoming(odd), [odd])).conflicts == 4
    assert (await store.write(incoming(odd), [odd])).conflicts == 0
    kept = asked(
        database,
        "SELECT kafka_offset, reason, txn_id, revision, stored_revision, value FROM result_conflicts ORDER BY 1",
    )
    assert kept == [
        (2, "SAME_REVISION", "T1", 2, 2, odd.records[0].value),
        (3, "LOWER_REVISION", "T1", 1, 2, odd.records[1].value),
        (4, "UNREADABLE", "T1", None, None, odd.records[2].value),
        (5, "UNREADABLE", None, None, None, None),
    ]
    assert asked(database, "SELECT verdict, revision FROM reconciliation_results") == [("MATCHED", 2)]


async def test_what_people_own_survives_every_move_of_the_stream(database: Settings, pool: Pool) -> None:
    """The sink updates a break and leaves assignee and work state as they are."""
    store = VerdictStore(pool)
    batch = results(result(breaks=[said_break()]))
    await store.write(incoming(batch), [batch])
    with psycopg.connect(database.database_owner_url) as connection:
        connection.execute("UPDATE breaks SET assignee = 'ann', work_state = 'IN_REVIEW'")
    batch = results(result(revision=2, breaks=[said_break("RESOLVED")]), offset=1)
    await store.write(incoming(batch), [batch])
    assert asked(database, "SELECT assignee, work_state, state FROM breaks") == [("ann", "IN_REVIEW", "RESOLVED")]


async def test_results_of_many_writers_end_in_the_newest_revision(database: Settings, pool: Pool) -> None:
    """Writers that repeat each other's batches at once: no lost revision, no conflict, each move once."""
    said = [
        result(txn_id=f"T{t}", revision=r, breaks=[said_break(("RESOLVED", "OPEN")[r % 2], break_id=f"b{t}")])
        for r in range(1, 7)
        for t in range(20)
    ]

    async def writer(size: int) -> None:
        store = VerdictStore(pool)
        for first in range(0, len(said), size):
            batch = results(*said[first : first + size], offset=first)
            await store.write(incoming(batch), [batch])

    await asyncio.gather(*[writer(size) for size in (7, 20, 33, 120)])
    assert asked(database, "SELECT count(*), min(revision), max(revision) FROM reconciliation_results") == [(20, 6, 6)]
    assert asked(database, "SELECT count(*) FROM result_conflicts") == [(0,)]
    assert asked(database, "SELECT move, count(*) FROM break_events GROUP BY 1 ORDER BY 1") == [
        ("OPENED", 20),
        ("REOPENED", 40),
        ("RESOLVED", 60),
    ]


async def test_texts_of_results_with_nul_and_without_end_are_stored(database: Settings, pool: Pool) -> None:
    """A transaction id that PostgreSQL could not hold, or its index, does not stop the sink, and stays one of its own."""
    odd = ["T\0", "T\u2400", "T\u24000", "T\\u0000", "x" * 50_000, "x" * 50_001]
    said = [result(txn_id=txn_id, breaks=[said_break(break_id=f"b{n}", actual="\0")]) for n, txn_id in enumerate(odd)]
    batch = results(*said)
    await VerdictStore(pool).write(incoming(batch), [batch])
    assert asked(database, "SELECT count(*) FROM reconciliation_results") == [(6,)]
    assert asked(database, "SELECT DISTINCT actual FROM breaks") == [("\u24000",)]
    bodies = asked(
        database, "SELECT body ->> 'txn_id' FROM reconciliation_results WHERE length(txn_id) < 20 ORDER BY kafka_offset"
    )
    assert bodies == [("T\u24000",), ("T\u2400\u2400",), ("T\u2400\u24000",), ("T\\u0000",)]


async def test_the_first_letter_about_a_record_stands(database: Settings, pool: Pool) -> None:
    """A record that was read again is a dead letter again, later and elsewhere: the first one is kept; a letter that is none is kept too."""
    store = DeadLetterStore(pool)

    async def write(partition: int, records: Sequence[Record]) -> int:
        batch = Batch("recon_dead_letters", partition, list(records))
        rows = [dead_letter(*batch.tp, r, decode("dead_letter", r.value) if r.value else None) for r in batch.records]
        return (await store.write(rows, [batch])).rows["dead_letters"]

    first = [
        Record(0, encode_letter(letter(7, detail="first\0"))),
        Record(1, encode_letter(letter(8, key=None, value=None))),
    ]
    again = [Record(0, encode_letter(letter(7, detail="again", failed_at=NOON_MS + 1)))]
    assert [await write(0, first), await write(0, first), await write(1, again), await write(2, [Record(0, None)])] == [
        2,
        0,
        0,
        1,
    ]
    assert asked(
        database,
        "SELECT topic, kafka_offset, key, value, detail, failed_at FROM dead_letters WHERE topic = 'core_txns' ORDER BY 2",
    ) == [
        ("core_txns", 7, b"T1", b"\x00x", "first\u24000", datetime(2025, 11, 22, 12, 0, 0, 123000, UTC)),
        ("core_txns", 8, None, None, "why", datetime(2025, 11, 22, 12, 0, 0, 123000, UTC)),
    ]
    assert asked(database, "SELECT topic, reason FROM dead_letters WHERE topic <> 'core_txns'") == [
        ("recon_dead_letters", "UNREADABLE_LETTER")
    ]
