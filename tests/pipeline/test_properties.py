"""What must hold of a transaction however its records arrive."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon_stream.domain.event import Source
from recon_stream.domain.rules import RulesBook
from tests.judge.hand_worked_form import RULES_FILE
from tests.pipeline.driving import Bench, arrived, event_of
from tests.pipeline.strategies import SOURCES, T0, fields, records

BOOK = RulesBook.of(RULES_FILE.read_text())
FEW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Sent = tuple[str, int, dict[str, Any]]


def run(sent: list[Sent], cuts: set[int], *, keeps_cases: bool = False) -> Bench:
    """Feed (topic, Kafka timestamp, fields) in this order, a new unit of work before each place in `cuts`."""
    bench, unit, offsets = Bench(BOOK), [], dict.fromkeys(SOURCES, 0)
    bench.keeps_cases = keeps_cases
    for place, (topic, stamp, said) in enumerate(sent):
        if place in cuts and unit:
            bench.unit(unit)
            unit = []
        unit.append(arrived(Source[topic], offsets[topic], stamp, "T", event_of(said), BOOK.current))
        offsets[topic] += 1
    bench.unit(unit)
    return bench


def gist(bench: Bench) -> tuple[Any, ...] | None:
    """What must not depend on the order of arrival: the verdict, and the open breaks with their evidence."""
    last = bench.last("T")
    if last is None:
        return None
    open_breaks = [dict(one) for one in last["breaks"] if one["state"] == "OPEN"]
    legs = [{k: v for k, v in leg.items() if k != "offset"} for leg in last["legs"]]
    return last["verdict"], last["primary_class"], open_breaks, legs


@st.composite
def sound_events(draw: st.DrawFn) -> list[Sent]:
    """Valid events, one event id a source, each revision with one content."""
    found: dict[tuple[str, int], Sent] = {}
    for said in draw(st.lists(fields(sound=True), min_size=1, max_size=6)):
        found.setdefault((said["event_id"], said["revision"]), (said["source"], T0 + 1000 * len(found), dict(said)))
    return list(found.values())


@FEW
@given(sent=sound_events(), seed=st.integers(0, 2**32))
def test_any_order_any_copies_any_split_end_in_the_same_verdict_and_breaks(sent: list[Sent], seed: int) -> None:
    """Corrections and copies included, as long as an event has one content a revision."""
    chance = random.Random(seed)
    plain = gist(run(sent, set()))
    shuffled = [one for one in sent for _ in range(chance.choice([1, 1, 2, 3]))]
    chance.shuffle(shuffled)
    cuts = {place for place in range(len(shuffled)) if chance.random() < 0.5}
    assert gist(run(shuffled, cuts)) == plain


@FEW
@given(history_of=records(), seed=st.integers(0, 2**32))
def test_the_split_into_units_changes_no_byte(history_of: list[Any], seed: int) -> None:
    """The same records in the same order give the same results, byte for byte, however the fetches cut them."""
    sent = [(topic, stamp, said) for topic, _, stamp, said in history_of]
    chance = random.Random(seed)
    cuts = {place for place in range(len(sent)) if chance.random() < 0.5}
    one_by_one = run(sent, set(range(len(sent))))
    for keeps_cases in (False, True):
        bench = run(sent, cuts, keeps_cases=keeps_cases)
        assert bench.result_bytes == one_by_one.result_bytes
        assert bench.rows == one_by_one.rows


@FEW
@given(history_of=records(), data=st.data())
def test_records_that_are_read_again_publish_the_same_bytes_and_store_nothing(
    history_of: list[Any], data: st.DataObject
) -> None:
    """A crash after any unit: from some committed offset of each topic on everything comes again, in another order across topics."""
    bench = Bench(BOOK)
    taken = [
        arrived(Source[topic], offset, stamp, "T", event_of(said), BOOK.current)
        for topic, offset, stamp, said in history_of
    ]
    for record in taken:
        bench.unit([record])
    rows, first = dict(bench.rows), list(bench.result_bytes)
    bench.result_bytes.clear()
    again, begin = [], data.draw(st.booleans(), label="from the beginning")
    for source in Source:
        of_source = [record for record in taken if record.fact.source == source]
        again.append(of_source[0 if begin else data.draw(st.integers(0, len(of_source))) :])
    while any(again):
        feed = data.draw(st.sampled_from([records for records in again if records]))
        bench.unit([feed.pop(0)])
    assert bench.rows == rows
    assert set(bench.result_bytes) <= set(first)
    if begin:
        assert set(bench.result_bytes) == set(first), "a result whose sending a crash cut off would be lost"


@FEW
@given(history_of=records())
def test_no_break_without_a_differing_field_and_no_match_with_one(history_of: list[Any]) -> None:
    """Every open difference is there in the published legs; MATCHED means three legs in which nothing that counts differs."""
    bench = run([(topic, stamp, said) for topic, _, stamp, said in history_of], set())
    for result in bench.results:
        legs = result["legs"]
        for one in result["breaks"]:
            name = {"status": "canonical_status"}.get(one["field"], one["field"])
            if one["state"] == "OPEN" and name and one["subtype"] != "STUCK":
                assert len({leg[name] for leg in legs}) > 1
        if result["verdict"].startswith("MATCHED"):
            assert len(legs) == 3
            for name in ("currency", "direction", "account", "canonical_status"):
                assert len({leg[name] for leg in legs}) == 1
            assert legs[0]["canonical_status"] != "PENDING"
            assert not any(one["state"] == "OPEN" for one in result["breaks"])
            assert len({leg["reference"] for leg in legs} - {None}) < 2
            times = [leg["occurred_at"] for leg in legs]
            assert max(times) - min(times) <= BOOK.current.window_ms
            amounts = [leg["amount_minor"] for leg in legs]
            tolerance = BOOK.current.tolerance(legs[0]["currency"]).minor(min(amounts))
            assert max(amounts) - min(amounts) <= tolerance
            assert (result["verdict"] == "MATCHED") == (max(amounts) == min(amounts))


@FEW
@given(sent=sound_events())
def test_corrections_converge(sent: list[Sent]) -> None:
    """Whatever was said, a correction of every leg to one content ends in MATCHED with every break resolved."""
    words = {"CORE": "POSTED", "GATEWAY": "CAPTURED", "MOBILE": "SUCCESS"}
    agreed = {
        "txn_id": "T", "amount_minor": 500, "currency": "EUR", "direction": "DEBIT", "occurred_at": T0, "account": "A",
        "reference": None, "channel": None, "revision": 9,
    }  # fmt: skip
    corrections = [
        (source, T0, {**agreed, "source": source, "event_id": f"{source}-0", "status": words[source]})
        for source in SOURCES
    ]
    last = run(sent + corrections, set(range(10))).last("T")
    assert last is not None
    assert last["verdict"] == "MATCHED"
    assert all(one["state"] == "RESOLVED" for one in last["breaks"])
