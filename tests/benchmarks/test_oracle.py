"""The benchmark's oracle must notice what a wrong engine would publish; nothing here takes the time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson

from benchmarks.backlog import Expected
from benchmarks.oracle import judge, stock_claim, stock_said

EXPECTED = {
    "T1": Expected("MATCHED", frozenset(), 3),
    "T2": Expected("BROKEN", frozenset({("AMOUNT_MISMATCH", "CORE")}), 3),
    "T3": Expected("BROKEN", frozenset({("MISSING_ENTRY", "CORE"), ("MISSING_ENTRY", "MOBILE")}), 1),
}
RIGHT = [("T1", 1, [], 2), ("T1", 2, [], 3), ("T2", 1, [], 2), ("T2", 2, ["amount_minor"], 3)]


async def published(said: list[tuple[str, int, list[str], int]]) -> AsyncIterator[bytes]:
    for txn_id, revision, differing, legs in said:
        yield orjson.dumps({"txn_id": txn_id, "revision": revision, "differing": differing, "legs": [{}] * legs})


async def wrong(said: list[tuple[str, int, list[str], int]]) -> dict[str, int]:
    return (await judge(published(said), EXPECTED, stock_said, stock_claim)).wrong


async def test_right_results_are_found_right_and_repeated_ones_are_counted() -> None:
    """A single leg needs no result of stock Faust; the same revision twice is at-least-once delivery."""
    judgement = await judge(published([*RIGHT, RIGHT[-1]]), EXPECTED, stock_said, stock_claim)
    assert judgement.ok
    assert (judgement.results, judgement.transactions, judgement.repeated) == (5, 3, 1)


async def test_every_kind_of_error_is_named() -> None:
    """Missing, differing, invented, rewritten and skipped revisions."""
    assert await wrong(RIGHT[:2]) == {"no result": 1}
    assert await wrong([*RIGHT[:3], ("T2", 2, [], 3)]) == {"last result differs from the answer key": 1}
    assert await wrong([*RIGHT, ("T9", 1, [], 2)]) == {"transaction that was never sent": 1}
    assert await wrong([*RIGHT, ("T1", 1, ["status"], 2)]) == {"same revision, other content": 1}
    assert await wrong([*RIGHT[1:]]) == {"gap in the revisions": 1}
