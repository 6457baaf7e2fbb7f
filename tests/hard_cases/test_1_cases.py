"""Cases that expire, come too late, come from the future, or have names that nobody thought of: on a running system."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from recon_stream.pipeline.decoding import VALUE_BYTES_MAX
from recon_stream.storage.values import identifier
from tests.end_to_end.system import System
from tests.hard_cases.feeding import CORE, GATEWAY, MOBILE, Feeder, now_ms, payload, txn_in
from tests.hard_cases.listening import Listener

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

HOUR = 3_600_000
RETENTION = HOUR
"""As rules.toml says."""

SCRIPTS = (
    "0", " ", ".", "\t\n", '"', "'; DROP TABLE breaks; --", "\\", "%s%n{}", "$1", "a\0b", "\0", "\u24000", "␀",
    "Überweisung-ß", "e\u0301", "é", "ﬁ", "İstanbul", "Ω≠Ω", "Транзакция", "معاملة-١٢٣", "\u202eabc\u202c", "עסקה",
    "取引-一二三", "取引\U00020000", "거래", "ธุรกรรม", "लेन-देन", "👩‍👩‍👧‍👦", "🏳️‍🌈", "💶" * 20, "\ufeffbom", "\uffff", "\U0010ffff",
    "a\u200bb", "a b", "a\u00a0b", "txn_id", "NULL", "null", "-1", "1e9", "../../etc/passwd", "<script>", "A" + "\u0301" * 50,
)  # fmt: skip
LENGTHS = [
    *range(1, 40),
    63,
    64,
    127,
    128,
    129,
    255,
    256,
    257,
    511,
    512,
    513,
    1000,
    2704,
    2705,
    4096,
    8192,
    16_384,
    32_000,
]


async def test_a_case_expires_by_event_time_and_what_comes_later_is_too_late(
    system: System, feeder: Feeder, said: Listener
) -> None:
    """A closed case goes when all three feeds have passed its retention; one with an open break stays and can be corrected.
    A record from that time opens nothing any more, valid or not."""
    expired_before = await system.worker.counted("recon_deadlines_fired_total", kind="EXPIRY")
    closed, broken, later = (txn_in(0) for _ in range(3))
    base = now_ms() - 48 * HOUR
    await feeder.transaction(closed, base, base)
    for source, amount in ((CORE, 100), (GATEWAY, 100), (MOBILE, 101)):
        await feeder.send(source, broken, base, base, amount_minor=amount)
    await said.until_said("MATCHED", closed)
    await said.until_said("BROKEN", broken)
    now = base + RETENTION + 2000
    await feeder.transaction(later, now, now)
    await said.until_said("MATCHED", later)
    await system.worker.until_counted("recon_deadlines_fired_total", expired_before + 1)
    await feeder.send(CORE, closed, base, now, event_id="another")
    await feeder.send(GATEWAY, closed, base, now, event_id="", account="")
    await feeder.send(MOBILE, broken, base, now, amount_minor=100, revision=1)
    await said.until_said("MATCHED", broken)
    await said.until("a dead letter each", lambda: len(said.dead[closed.encode()]) == 2)
    assert said.reasons(closed) == {"TOO_LATE"}
    assert [body["revision"] for body in said.results[closed]] == [1, 2]
    assert {each["resolution"] for each in said.results[broken][-1]["breaks"]} == {"AUTO_CORRECTED"}
    assert await system.worker.counted("recon_deadlines_fired_total", kind="EXPIRY") == expired_before + 1


async def test_an_event_from_the_future_moves_no_watermark(feeder: Feeder, said: Listener) -> None:
    """Dated up to a day ahead it is believed, but nothing is due earlier for it; beyond that it is invalid."""
    ahead, waiting, beyond = (txn_in(1) for _ in range(3))
    now = now_ms()
    await feeder.send(CORE, waiting, now)
    await feeder.send(GATEWAY, waiting, now)
    await feeder.transaction(ahead, now + 20 * HOUR)
    await feeder.send(MOBILE, beyond, now + 24 * HOUR + 5000, now)
    await said.until_said("MATCHED", ahead)
    await said.until_said("BROKEN", beyond)
    await feeder.send(MOBILE, waiting, now)
    await said.until_said("MATCHED", waiting)
    assert said.classes(waiting) == []
    assert said.classes(beyond) == ["INVALID_RECORD"]
    assert said.reasons(beyond) == {"FUTURE_DATED"}


def longest(script: str) -> str:
    """A transaction id of the script with which GATEWAY's event, the longest of the three, is a value of just the largest
    size."""
    room = VALUE_BYTES_MAX - 5 - len(payload(GATEWAY, "", now_ms())) - 2  # of its length: three bytes instead of one
    unit = len(script.encode())
    return script * (room // unit) + "x" * (room % unit)


async def test_a_txn_id_of_any_length_and_script_comes_through_to_postgresql(
    system: System, feeder: Feeder, said: Listener
) -> None:
    """From one byte to the largest record, whatever its characters are: decided, published, stored, found again."""
    ids = [
        *SCRIPTS,
        *("L" * length for length in LENGTHS),
        *("取" * (length // 3) for length in LENGTHS if length > 39),
    ]
    ids += [longest("T"), longest("💶")]
    ids = list(dict.fromkeys(ids))
    assert max(len(payload(GATEWAY, txn_id, now_ms())) + 5 for txn_id in ids) == VALUE_BYTES_MAX
    broken = set(ids[::3])
    now = now_ms()
    sent = [
        await feeder.post(source, txn_id, now, amount_minor=1 + (source == MOBILE and txn_id in broken))
        for txn_id in ids
        for source in (CORE, GATEWAY, MOBILE)
    ]
    await asyncio.gather(*sent)
    await said.until_said("MATCHED", *(txn_id for txn_id in ids if txn_id not in broken))
    await said.until_said("BROKEN", *broken)
    assert all(said.classes(txn_id) == (["AMOUNT_MISMATCH"] if txn_id in broken else []) for txn_id in ids)
    wanted = {identifier(txn_id): "BROKEN" if txn_id in broken else "MATCHED" for txn_id in ids}
    assert len(wanted) == len(ids), "no two of them become one"
    async with asyncio.timeout(30):
        while await asyncio.to_thread(stored, system, wanted) != wanted:  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.2)
    with psycopg.connect(system.settings.database_reader_url) as connection:
        query = "SELECT txn_id FROM breaks WHERE class = 'AMOUNT_MISMATCH' AND txn_id = ANY(%s)"
        rows = connection.execute(query, [list(wanted)]).fetchall()
        query = "SELECT count(*) FROM raw_events WHERE txn_id = ANY(%s)"
        (events,) = connection.execute(query, [list(wanted)]).fetchone() or (0,)
    assert {txn_id for (txn_id,) in rows} == {identifier(txn_id) for txn_id in broken}
    assert events == 3 * len(ids)


def stored(system: System, wanted: dict[str, str]) -> dict[str, str]:
    """The verdicts of these transactions in PostgreSQL."""
    with psycopg.connect(system.settings.database_reader_url) as connection:
        query = "SELECT txn_id, verdict FROM reconciliation_results WHERE txn_id = ANY(%s)"
        return dict(connection.execute(query, [list(wanted)]).fetchall())
