"""Every record is accounted for, or it is told which is not: each fault is made by hand and must be found, and its healing too."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping

import psycopg
import pytest

from recon_stream.avro import decode
from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.settings import Settings
from recon_stream.storage import accounting
from recon_stream.storage.accounting import Finding, Place, Span
from recon_stream.storage.dead_letters import dead_letter
from recon_stream.storage.pool import Pool, connection_pool
from recon_stream.storage.store import DeadLetterStore, RawEventStore, VerdictStore
from tests.storage.events import Batch, Record, encode_event, encode_letter, event, letter, result, said_break
from tests.storage.test_store import asked, incoming, results, rows_of

pytestmark = pytest.mark.stack

NOW_MS = int(time.time() * 1000)


@pytest.fixture
async def pool(database: Settings) -> AsyncIterator[Pool]:
    async with connection_pool(database.database_url, database, "test", size=2) as opened:
        yield opened


@pytest.fixture
async def filled(database: Settings, pool: Pool) -> Settings:
    """Events of one partition of each source, verdicts with and without breaks, a dead letter."""
    for topic in SOURCE_TOPICS:
        batch = Batch(topic, 1, [Record(n, encode_event(event(event_id=f"E{n}"))) for n in range(5, 25)])
        await RawEventStore(pool).write(rows_of(batch), [batch])
    said = [
        result(f"T{n}", decided_at=NOW_MS, breaks=[said_break(break_id=f"b{n}")] if n % 2 else []) for n in range(6)
    ]
    batch = results(*said)
    await VerdictStore(pool).write(incoming(batch), [batch])
    told = letter(7, failed_at=NOW_MS) | {"partition": 1}
    letters = Batch("recon_dead_letters", 0, [Record(0, encode_letter(told))])
    value = letters.records[0].value
    assert value is not None
    row = dead_letter(*letters.tp, letters.records[0], decode("dead_letter", value))
    await DeadLetterStore(pool).write([row], [letters])
    return database


async def checked(settings: Settings, pool: Pool, spans: Mapping[Place, Span] | None = None) -> dict[str, Finding]:
    """A check, as if the last one were a minute ago."""
    by_hand(settings, "UPDATE accounting SET checked_at = checked_at - interval '1 minute'")

    async def told() -> Mapping[Place, Span] | None:
        return spans

    found = await accounting.check(pool, SOURCE_TOPICS, told)
    assert found is not None
    return {finding.name: finding for finding in found}


def by_hand(settings: Settings, *statements: str) -> None:
    """What only the owner can do, evidence being append-only for all others."""
    with psycopg.connect(settings.database_owner_url) as connection:
        for statement in statements:
            connection.execute(statement)


def wrong(found: Mapping[str, Finding]) -> dict[str, int]:
    """Checks that do not hold, with their violations."""
    return {name: finding.violations for name, finding in found.items() if finding.violations}


async def test_what_is_well_is_found_well_and_only_what_is_new_is_looked_at(filled: Settings, pool: Pool) -> None:
    """From where the archive begins; the second check goes on from the first."""
    first = await checked(filled, pool)
    assert wrong(first) == {}
    assert {name: finding.examined for name, finding in first.items()} == {
        "flow": 5, "archive-core_txns": 20, "archive-gateway_txns": 20, "archive-mobile_txns": 20,
        "results": 6, "verdict-counts": 6, "break-counts": 3, "dead-letters": 1, "conflicts": 0,
    }  # fmt: skip
    second = await checked(filled, pool)
    assert (wrong(second), second["archive-core_txns"].examined) == ({}, 0)
    stored = asked(filled, "SELECT name FROM accounting WHERE violations = 0 AND held_at = checked_at ORDER BY name")
    assert stored == sorted((name,) for name in first)


async def test_a_record_that_is_missing_is_told_until_it_is_there(filled: Settings, pool: Pool) -> None:
    """The span is named, remembered while later checks look elsewhere, and gone once the record is stored."""
    kept = "CREATE TABLE kept AS SELECT * FROM raw_events WHERE topic = 'core_txns' AND kafka_offset IN (9, 10)"
    by_hand(filled, kept, "DELETE FROM raw_events WHERE topic = 'core_txns' AND kafka_offset IN (9, 10)")
    for _ in range(2):
        found = await checked(filled, pool)
        assert wrong(found) == {"archive-core_txns": 2}
        assert found["archive-core_txns"].detail["examples"] == ["core_txns[1]@9: 2 missing"]
    by_hand(filled, "INSERT INTO raw_events SELECT * FROM kept WHERE kafka_offset = 9")
    assert wrong(await checked(filled, pool)) == {"archive-core_txns": 1}
    by_hand(filled, "INSERT INTO raw_events SELECT * FROM kept WHERE kafka_offset = 10")
    assert wrong(await checked(filled, pool)) == {}
    assert asked(filled, "SELECT count(*) FROM accounting WHERE held_at = checked_at") == [(9,)]


@pytest.mark.parametrize(
    ("fault", "healed", "name"),
    [
        (
            "UPDATE verdict_rollups SET transactions = transactions + 1 WHERE width = 3600",
            "UPDATE verdict_rollups SET transactions = transactions - 1 WHERE width = 3600",
            "verdict-counts",
        ),
        (
            "UPDATE break_rollups SET at_risk_minor = at_risk_minor - 1 WHERE width = 3600",
            "UPDATE break_rollups SET at_risk_minor = at_risk_minor + 1 WHERE width = 3600",
            "break-counts",
        ),
        (
            "UPDATE reconciliation_results SET revision = 2 WHERE txn_id = 'T0'",
            "UPDATE reconciliation_results SET revision = 1 WHERE txn_id = 'T0'",
            "results",
        ),
        (
            "UPDATE breaks SET txn_id = 'T0' WHERE break_id = 'b1'",
            "UPDATE breaks SET txn_id = 'T1' WHERE break_id = 'b1'",
            "results",
        ),
        (
            "UPDATE dead_letters SET partition = 0; INSERT INTO sink_offsets VALUES ('core_txns', 0, 8)",
            "UPDATE dead_letters SET partition = 1",
            "dead-letters",
        ),
        (
            "INSERT INTO result_conflicts VALUES ('recon_results', 0, 3, now(), 'SAME_REVISION', 'T1', 1, 1, '')",
            "DELETE FROM result_conflicts",
            "conflicts",
        ),
    ],
)
async def test_each_fault_is_found_and_so_is_its_healing(
    filled: Settings, pool: Pool, fault: str, healed: str, name: str
) -> None:
    """One check each, with an example in words; when it held last stays known."""
    assert wrong(await checked(filled, pool)) == {}
    by_hand(filled, *fault.split("; "))
    found = await checked(filled, pool)
    assert list(wrong(found)) == [name]
    assert found[name].detail["examples"]
    assert asked(filled, f"SELECT held_at < checked_at FROM accounting WHERE name = '{name}'") == [(True,)]
    by_hand(filled, healed)
    assert wrong(await checked(filled, pool)) == {}


async def test_a_check_that_takes_too_long_stands_as_it_was_and_stops_no_other(
    filled: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row keeps its time, by which it is known to be old; others are checked, and old buckets deleted."""
    assert wrong(await checked(filled, pool)) == {}
    monkeypatch.setitem(
        accounting.QUERIES, "check_verdict_rollups", "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)"
    )
    by_hand(filled, "UPDATE verdict_rollups SET bucket = bucket - interval '1 day' WHERE width = 60")
    found = await checked(filled, pool)
    assert "verdict-counts" not in found
    assert len(found) == 8
    older = asked(filled, "SELECT name FROM accounting WHERE checked_at < now() - interval '50 seconds'")
    assert older == [("verdict-counts",)]
    assert asked(filled, "SELECT count(*) FROM verdict_rollups WHERE width = 60") == [(0,)]


async def test_a_topic_that_is_stored_further_than_it_goes_is_told(filled: Settings, pool: Pool) -> None:
    """It was made anew; what waits is counted for the others, without what expired before, and Kafka's silence says nothing."""
    spans = {("core_txns", 1): (5, 24), ("gateway_txns", 1): (27, 30), ("gateway_txns", 0): (0, 4)}
    spans |= {("mobile_txns", 0): (7, 7), ("mobile_txns", 1): (5, 25), ("mobile_txns", 2): (3, 5)}
    found = await checked(filled, pool, spans)
    assert wrong(found) == {"flow": 1}
    topics = found["flow"].detail["topics"]
    assert [topics[topic]["lags"] for topic in SOURCE_TOPICS] == [{"1": 0}, {"0": 4, "1": 5}, {"0": 0, "1": 0, "2": 2}]
    silent = await checked(filled, pool)
    assert (wrong(silent), silent["flow"].detail["topics"]["core_txns"]["lags"]) == ({}, None)


async def test_one_of_several_sinks_checks(filled: Settings, pool: Pool) -> None:
    """A second one that comes at once finds it done."""
    assert await checked(filled, pool)

    async def told() -> None:
        return None

    assert await accounting.check(pool, SOURCE_TOPICS, told) is None


async def test_old_buckets_go_and_those_of_an_hour_stay(filled: Settings, pool: Pool) -> None:
    """A bucket too old for its width is deleted with the next check."""
    by_hand(
        filled,
        "INSERT INTO verdict_rollups SELECT width, now() - age, 0, 'MATCHED', 'X', 0, 0 FROM (VALUES (60, interval '2 hours'),"
        " (60, interval '4 hours'), (600, interval '70 hours'), (600, interval '80 hours'), (3600, interval '1 year')) AS old (width, age)",
    )
    await checked(filled, pool)
    query = "SELECT width, count(*) FROM verdict_rollups WHERE currency = 'X' GROUP BY width ORDER BY width"
    assert asked(filled, query) == [(60, 1), (600, 1), (3600, 1)]
