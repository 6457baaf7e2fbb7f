"""What the database holds in the tests of the API: sixty transactions, every third one broken, written as the sink writes them."""

from __future__ import annotations

from typing import Any

from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.settings import Settings
from recon_stream.storage import accounting
from recon_stream.storage.dead_letters import dead_letter
from recon_stream.storage.pool import connection_pool
from recon_stream.storage.store import DeadLetterStore, RawEventStore, VerdictStore
from tests.storage.events import Batch, Record, encode_event, encode_letter, event, letter, result, said_break
from tests.storage.test_store import incoming, results, rows_of

ACCOUNT = "DE02120300000000202051"
"""The canary: a number that nobody without accounts:read may ever see."""
OTHER_ACCOUNT = "DE02500105170137075030"
TRANSACTIONS = 60
MINUTE_MS = 60_000

_KINDS: tuple[dict[str, Any], ...] = (
    {},
    {
        "class": "ACCOUNT_MISMATCH", "field": "account", "subject": "ALL", "severity": "CRITICAL", "delta_minor": None,
        "expected": None, "actual": f"CORE={ACCOUNT};GATEWAY={OTHER_ACCOUNT};MOBILE={ACCOUNT}",
    },
    {
        "class": "MISSING_ENTRY", "field": "", "subject": "GATEWAY", "severity": "MEDIUM", "delta_minor": None,
        "expected": None, "actual": None,
    },
)  # fmt: skip


def said(number: int, now_ms: int) -> list[dict[str, Any]]:
    """The revisions of transaction `number`: of every third one a break opens, and of every sixth it is resolved again."""
    txn_id = f"T{number:03d}"
    facts: dict[str, Any] = {
        "amount_minor": 1000 * number + 1,
        "currency": "JPY" if number % 10 == 9 else "EUR",
        "legs": [_leg(source, number) for source in ("CORE", "MOBILE")],
    }
    at = now_ms - (TRANSACTIONS - number) * MINUTE_MS
    if number % 3:
        return [result(txn_id, 1, decided_at=at, **facts)]
    difference = _KINDS[number // 3 % len(_KINDS)] | {"break_id": f"b{number:03d}"}
    revisions = [result(txn_id, 1, [said_break(**difference)], decided_at=at, **facts)]
    if number % 2:
        revisions.append(result(txn_id, 2, [said_break("RESOLVED", **difference)], decided_at=at + 1, **facts))
    for revision in revisions:
        if revision["primary_class"]:
            revision["primary_class"] = revision["breaks"][0]["class"]
    return revisions


def _leg(source: str, number: int) -> dict[str, Any]:
    return {
        "source": source, "event_id": f"{source}-{number}", "revision": 0, "amount_minor": 1000 * number + 1,
        "currency": "EUR", "direction": "DEBIT", "status": "POSTED", "canonical_status": "SUCCESS",
        "occurred_at": 1_790_000_000_000, "account": ACCOUNT if number % 2 else OTHER_ACCOUNT, "reference": f"R-{number}",
        "topic": f"{source.lower()}_txns", "partition": 0, "offset": number, "schema_id": 1,
    }  # fmt: skip


async def fill(settings: Settings, now_ms: int) -> None:
    """Records of one transaction, a dead letter about one of them, all results, one check of the accounting."""
    everything = [revision for number in range(TRANSACTIONS) for revision in said(number, now_ms)]
    async with connection_pool(settings.database_url, settings, "fill", size=1) as pool:
        events = Batch(
            "core_txns", 0, [Record(n, encode_event(event(txn_id="T003", event_id=f"E{n}"))) for n in range(3)]
        )
        await RawEventStore(pool).write(rows_of(events), [events])
        batch = results(*everything)
        await VerdictStore(pool).write(incoming(batch), [batch])

        letters = Batch("recon_dead_letters", 0, [Record(0, encode_letter(letter(1)))])
        row = dead_letter(*letters.tp, letters.records[0], letter(1))
        await DeadLetterStore(pool).write([row], [letters])

        async def nothing_told() -> None:
            return None

        assert await accounting.check(pool, SOURCE_TOPICS, nothing_told)
