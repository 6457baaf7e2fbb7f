"""What the sink counts beside verdicts and breaks is what counting the tables would give, however their results arrive."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from typing import Any

import psycopg
import pytest

from recon_stream.settings import Settings
from recon_stream.storage.pool import Pool, connection_pool
from recon_stream.storage.reading import TransactionFilter, open_breaks, transactions
from recon_stream.storage.store import VerdictStore
from recon_stream.web.periods import ages_of
from tests.storage.events import NOON_MS, Batch, Record, encode_result, result, said_break
from tests.storage.test_store import asked, incoming, results

pytestmark = pytest.mark.stack

MINUTE_MS = 60_000
AGES = "(VALUES (60, interval '3 hours'), (600, interval '3 days'), (3600, NULL)) AS w (width, kept)"
BUCKET = "date_bin(w.width * interval '1 second', {at}, 'epoch')"
YOUNG = f"(w.kept IS NULL OR {BUCKET} > now() - w.kept)"
VERDICTS_COUNTED = f"""
    SELECT width, {BUCKET.format(at="decided_at")}, partition, verdict, coalesce(currency, ''), count(*), coalesce(sum(amount_minor), 0)
    FROM reconciliation_results, {AGES} WHERE {YOUNG.format(at="decided_at")} GROUP BY 1, 2, 3, 4, 5
"""
BREAKS_COUNTED = f"""
    SELECT
        width, {BUCKET.format(at="opened_at")}, r.partition, class, subject, severity, state, coalesce(b.currency, ''), count(*),
        coalesce(sum(at_risk_minor), 0)
    FROM breaks b JOIN reconciliation_results r USING (txn_id), {AGES} WHERE {YOUNG.format(at="opened_at")}
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""
VERDICTS_KEPT = f"""
    SELECT width, bucket, partition, verdict, currency, transactions, amount_minor
    FROM verdict_rollups JOIN {AGES} USING (width)
    WHERE (transactions <> 0 OR amount_minor <> 0) AND (w.kept IS NULL OR bucket > now() - w.kept)
"""
BREAKS_KEPT = f"""
    SELECT width, bucket, partition, class, subject, severity, state, currency, breaks, at_risk_minor
    FROM break_rollups JOIN {AGES} USING (width)
    WHERE (breaks <> 0 OR at_risk_minor <> 0) AND (w.kept IS NULL OR bucket > now() - w.kept)
"""


@pytest.fixture
async def pool(database: Settings) -> AsyncIterator[Pool]:
    async with connection_pool(database.database_url, database, "test", size=4) as opened:
        yield opened


def differences(database: Settings) -> list[tuple[Any, ...]]:
    """Rows that only one of counting and rollups has."""
    found = []
    for kept, counted in ((VERDICTS_KEPT, VERDICTS_COUNTED), (BREAKS_KEPT, BREAKS_COUNTED)):
        found += asked(database, f"({kept} EXCEPT ALL {counted}) UNION ALL ({counted} EXCEPT ALL {kept})")
    return found


def history(chance: random.Random, txn_id: str, now_ms: int) -> list[dict[str, Any]]:
    """Revisions of one transaction: breaks come, change, go and come back, amounts and currencies are corrected."""
    said = []
    at = now_ms - chance.choice((0, 20, 400, 20_000)) * MINUTE_MS - chance.randrange(MINUTE_MS)
    known: dict[str, str] = {}
    for revision in range(1, chance.randint(2, 6)):
        at += chance.randrange(3 * MINUTE_MS)
        for name in chance.sample(("a", "b", "c"), chance.randint(0, 2)):
            known[name] = "OPEN" if chance.random() < 0.5 else "RESOLVED"
        breaks = [
            said_break(
                state,
                break_id=f"{txn_id}-{name}",
                subject=chance.choice(("CORE", "MOBILE")),
                severity=chance.choice(("HIGH", "LOW")),
                delta_minor=chance.choice((-45, 45, 7)),
                **({} if name != "c" else {"class": "STATUS_MISMATCH"}),
            )
            for name, state in sorted(known.items())
        ]
        amount = chance.choice((None, 0, 1, 2**62))
        currency = None if amount is None else chance.choice(("EUR", "JPY"))
        said.append(
            result(txn_id, revision, breaks, decided_at=min(at, now_ms), amount_minor=amount, currency=currency)
        )
    return said


def cut(chance: random.Random, partition: int, histories: list[list[dict[str, Any]]]) -> Iterator[Batch]:
    """The same results in an order of their own, cut into batches anywhere, parts of it read twice."""
    queues = [list(each) for each in histories]
    order = []
    while any(queues):
        order.append(chance.choice([queue for queue in queues if queue]).pop(0))
    records = [Record(n, encode_result(each)) for n, each in enumerate(order)]
    first = 0
    while first < len(records):
        end = min(len(records), first + chance.randint(1, 12))
        yield Batch("recon_results", partition, records[first:end])
        first = max(0, end - chance.choice((0, 0, 5))) if end < len(records) else end


@pytest.mark.parametrize("seed", range(4))
async def test_rollups_are_what_counting_gives(database: Settings, pool: Pool, seed: int) -> None:
    """Two partitions at once, orders and batches by chance, re-reads: after all of it, rollups and tables agree to the unit."""
    chance, store, now_ms = random.Random(seed), VerdictStore(pool), int(time.time() * 1000)
    histories = {
        partition: [history(chance, f"T{partition}-{number}", now_ms) for number in range(20)] for partition in (0, 1)
    }

    async def write(partition: int) -> None:
        for batch in cut(random.Random(seed + partition), partition, histories[partition]):
            await store.write(incoming(batch), [batch])

    await asyncio.gather(write(0), write(1))
    assert differences(database) == []
    assert {width for (width,) in asked(database, "SELECT DISTINCT width FROM verdict_rollups")} == {60, 600, 3600}
    revisions = [(each["txn_id"], each["revision"]) for said in histories.values() for one in said for each in one]
    assert asked(database, "SELECT txn_id, revision FROM result_revisions ORDER BY 1, 2") == sorted(revisions)
    kept = [asked(database, query + " ORDER BY 1, 2, 3, 4, 5, 6") for query in (VERDICTS_KEPT, BREAKS_KEPT)]
    await asyncio.gather(write(1), write(0))
    assert [asked(database, query + " ORDER BY 1, 2, 3, 4, 5, 6") for query in (VERDICTS_KEPT, BREAKS_KEPT)] == kept


async def test_a_bucket_that_is_too_old_for_its_width_stays_as_it_is(database: Settings, pool: Pool) -> None:
    """Old results count by the hour only, and corrections of them reach no finer bucket."""
    for said in (result(breaks=[said_break()]), result(revision=2, breaks=[said_break("RESOLVED")])):
        batch = results(said, offset=said["revision"])
        await VerdictStore(pool).write(incoming(batch), [batch])
    assert asked(database, "SELECT DISTINCT width FROM verdict_rollups UNION SELECT width FROM break_rollups") == [
        (3600,)
    ]
    assert differences(database) == []


async def test_what_is_at_risk_follows_a_correction(database: Settings, pool: Pool) -> None:
    """The difference of an amount mismatch; of any other break the transaction's amount, also where the break itself does not move."""
    other = said_break(break_id="b2", **{"class": "STATUS_MISMATCH", "field": "status", "delta_minor": None})
    for revision, amount in ((1, 12_345), (2, 777)):
        batch = results(result(revision=revision, breaks=[said_break(), other], amount_minor=amount), offset=revision)
        await VerdictStore(pool).write(incoming(batch), [batch])
        assert asked(database, "SELECT break_id, currency, at_risk_minor, revision FROM breaks ORDER BY 1") == [
            ("b1", "EUR", 45, 1),
            ("b2", "EUR", amount, 1),
        ]
        assert differences(database) == []
    assert asked(database, "SELECT count(*) FROM break_events") == [(2,)]


async def test_a_transaction_is_found_by_what_its_newest_revision_says(database: Settings, pool: Pool) -> None:
    """Tags are of open breaks and of the legs; those of earlier revisions are gone."""
    leg = {
        "source": "CORE", "event_id": "E1", "revision": 0, "amount_minor": 1, "currency": "EUR", "direction": "DEBIT",
        "status": "POSTED", "canonical_status": "SUCCESS", "occurred_at": NOON_MS, "account": "A-1", "reference": "R-1",
        "topic": "core_txns", "partition": 0, "offset": 1, "schema_id": 1,
    }  # fmt: skip
    said = [
        result(legs=[leg], breaks=[said_break()]),
        result(revision=2, legs=[leg | {"reference": ""}], breaks=[said_break("RESOLVED")]),
    ]
    tags = []
    for one in said:
        batch = results(one, offset=one["revision"])
        await VerdictStore(pool).write(incoming(batch), [batch])
        tags += asked(database, "SELECT tags, open_breaks FROM reconciliation_results")
    whole = "break:AMOUNT_MISMATCH/MOBILE/HIGH"
    assert tags == [
        (["account:A-1", "id:E1", "id:R-1"], [whole, "class:AMOUNT_MISMATCH", "severity:HIGH", "subject:MOBILE"]),
        (["account:A-1", "id:E1"], None),
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"classes": ["AMOUNT_MISMATCH"], "subjects": ["MOBILE"]}, {"T1", "T2"}),
        ({"classes": ["AMOUNT_MISMATCH"], "subjects": ["GATEWAY"]}, set()),
        ({"classes": ["AMOUNT_MISMATCH", "MISSING_ENTRY"], "subjects": ["GATEWAY", "ALL"]}, {"T1"}),
        ({"subjects": ["MOBILE"], "severities": ["CRITICAL"]}, set()),
        ({"subjects": ["MOBILE"], "severities": ["HIGH", "CRITICAL"]}, {"T1", "T2"}),
        ({"classes": ["MISSING_ENTRY"], "severities": ["CRITICAL"]}, {"T1"}),
        ({"classes": ["MISSING_ENTRY"], "subjects": ["GATEWAY"], "severities": ["CRITICAL"]}, {"T1"}),
        ({"classes": ["MISSING_ENTRY"], "subjects": ["GATEWAY"], "severities": ["HIGH"]}, set()),
        ({"classes": ["STATUS_MISMATCH"], "subjects": ["CORE"]}, set()),
    ],
)
async def test_filters_of_breaks_hold_for_one_open_break_together(
    pool: Pool, wanted: dict[str, list[str]], expected: set[str]
) -> None:
    """Where a transaction has two, the class of one and the subject or severity of the other are not found; nor is what is resolved."""
    missing = said_break(break_id="b2", **{"class": "MISSING_ENTRY", "subject": "GATEWAY", "severity": "CRITICAL"})
    resolved = said_break("RESOLVED", break_id="b4", **{"class": "STATUS_MISMATCH", "subject": "CORE"})
    batch = results(
        result("T1", breaks=[said_break(), missing]),
        result("T2", breaks=[said_break(break_id="b3"), resolved]),
        result("T3"),
    )
    await VerdictStore(pool).write(incoming(batch), [batch])
    rows = await transactions(pool, TransactionFilter(**wanted), "-decided_at", None, 10)
    assert {row["txn_id"] for row in rows} == expected


async def test_what_stood_before_the_migration_is_counted_as_the_sink_counts(database: Settings, pool: Pool) -> None:
    """The end of the migrations, run once more where the sink has written, changes nothing: tags, money at risk, counts."""
    chance, store, now_ms = random.Random(7), VerdictStore(pool), int(time.time() * 1000)
    leg = {
        "source": "CORE", "event_id": "E1", "revision": 0, "amount_minor": 12345, "currency": "EUR", "direction": "DEBIT",
        "status": "POSTED", "canonical_status": "SUCCESS", "occurred_at": now_ms, "account": "DE1", "reference": "R" * 600,
        "topic": "core_txns", "partition": 0, "offset": 7, "schema_id": 1,
    }  # fmt: skip
    incomparable = said_break(break_id="null", delta_minor=None)
    histories = [history(chance, f"T{number}", now_ms) for number in range(20)]
    histories.append([result("T-long", 1, [incomparable], legs=[leg], decided_at=now_ms)])
    for batch in cut(chance, 0, histories):
        await store.write(incoming(batch), [batch])
    migration = files("recon_stream.storage").joinpath("migrations/0004_api.sql").read_text()
    ending = migration[migration.index("-- Cut as the sink cuts") :]
    migration = files("recon_stream.storage").joinpath("migrations/0005_open_breaks.sql").read_text()
    parted = migration[migration.index("UPDATE") : migration.index("-- The newest first")]
    seen = (
        "SELECT txn_id, tags, open_breaks FROM reconciliation_results ORDER BY 1",
        "SELECT break_id, currency, at_risk_minor FROM breaks ORDER BY 1",
    )
    before = [asked(database, query) for query in seen]
    with psycopg.connect(database.database_owner_url) as owner:
        owner.execute("UPDATE reconciliation_results SET tags = '{}', open_breaks = NULL")
        owner.execute("UPDATE breaks SET currency = NULL, at_risk_minor = NULL")
        owner.execute("DELETE FROM verdict_rollups")
        owner.execute("DELETE FROM break_rollups")
        owner.execute(ending.encode())
        owner.execute(parted.encode())
    assert [asked(database, query) for query in seen] == before
    assert differences(database) == []
    assert any(len(tag) < 200 and "…" in tag for _, tags, _ in before[0] for tag in tags)


async def test_open_breaks_by_age_are_what_counting_gives(database: Settings, pool: Pool) -> None:
    """Whichever buckets tell of an age: each open break is in the age that its opening lies in, and in no other."""
    chance, now_ms = random.Random(1), int(time.time() * 1000)
    said = [
        result(
            f"T{number}",
            breaks=[said_break("RESOLVED" if number % 5 == 0 else "OPEN", break_id=f"b{number}")],
            decided_at=now_ms - int(MINUTE_MS * 10 ** chance.uniform(-1, 5)),
        )
        for number in range(300)
    ]
    batch = results(*said)
    await VerdictStore(pool).write(incoming(batch), [batch])
    ages = [age.buckets() for age in ages_of(now_ms // 1000)]
    counted: Counter[int] = Counter()
    for row in await open_breaks(pool, ages, None):
        counted[row["age"]] += row["breaks"]
    for number, (_, since, before) in enumerate(ages):
        inside = f"state = 'OPEN' AND opened_at >= '{since}' AND opened_at < '{before}'"
        assert asked(database, f"SELECT count(*) FROM breaks WHERE {inside}") == [(counted[number],)]
        assert counted[number] > 5
    assert sum(counted.values()) == 240
