"""The source records of a transaction, as many as the reader has room for, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from recon_stream.settings import Settings
from recon_stream.storage import reading
from recon_stream.storage.pool import Pool, connection_pool
from recon_stream.storage.reading import RECORDS_BYTES_MAX, RECORDS_MAX
from recon_stream.storage.store import RawEventStore
from tests.storage.events import NOON_MS, Batch, Record, encode_event, event
from tests.storage.test_store import rows_of

pytestmark = pytest.mark.stack


@pytest.fixture
async def pool(database: Settings) -> AsyncIterator[Pool]:
    """As the API reads."""
    async with connection_pool(database.database_web_url, database, "test", size=2) as opened:
        yield opened


async def write(settings: Settings, batch: Batch) -> None:
    """As the sink writes."""
    async with connection_pool(settings.database_url, settings, "test", size=1) as pool:
        await RawEventStore(pool).write(rows_of(batch), [batch])


async def stored(settings: Settings, *sizes: int) -> list[int]:
    """Records of T1 with references of these sizes, one after the other; their sizes as they stand in Kafka."""
    values = [encode_event(event(event_id=f"E{n}", reference="x" * size)) for n, size in enumerate(sizes)]
    batch = Batch("core_txns", 0, [Record(n, value, timestamp=NOON_MS + n) for n, value in enumerate(values)])
    await write(settings, batch)
    return [len(value) + len(b"T1") for value in values]


async def offsets(pool: Pool) -> tuple[list[int], bool]:
    """(of the records that are read; whether there are more)."""
    rows, is_cut = await reading.records(pool, "T1")
    return [row["kafka_offset"] for row in rows], is_cut


async def test_large_records_are_read_up_to_a_number_of_bytes(database: Settings, pool: Pool) -> None:
    """Ten of nearly a megabyte make more than there is room for; those that are read are whole, and the answer says so."""
    sizes = await stored(database, *[990_000] * 10)
    assert sum(sizes[:8]) <= RECORDS_BYTES_MAX < sum(sizes[:9])
    rows, is_cut = await reading.records(pool, "T1")
    assert [len(row["key"]) + len(row["value"]) for row in rows] == sizes[:8]
    assert is_cut


async def test_what_fits_to_the_byte_is_all_there(
    database: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one byte less leaves the last one out; the first is read however large it is."""
    sizes = await stored(database, 100, 2000, 30)
    monkeypatch.setattr(reading, "RECORDS_BYTES_MAX", sum(sizes))
    assert await offsets(pool) == ([0, 1, 2], False)
    monkeypatch.setattr(reading, "RECORDS_BYTES_MAX", sum(sizes) - 1)
    assert await offsets(pool) == ([0, 1], True)
    monkeypatch.setattr(reading, "RECORDS_BYTES_MAX", 1)
    assert await offsets(pool) == ([0], True)


async def test_many_records_are_read_up_to_their_number(database: Settings, pool: Pool) -> None:
    """The first ones in order; with one less they are all."""
    await stored(database, *[1] * RECORDS_MAX)
    assert await offsets(pool) == (list(range(RECORDS_MAX)), False)
    batch = Batch("core_txns", 1, [Record(0, encode_event(event(event_id="one more")), timestamp=NOON_MS + 10_000)])
    await write(database, batch)
    assert await offsets(pool) == (list(range(RECORDS_MAX)), True)
    assert await reading.records(pool, "T2") == ([], False)
