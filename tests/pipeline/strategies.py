"""Random records of one transaction: every source, every kind of trouble, few values so that they often meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from recon_stream.domain.rules import STATUS_WORDS

T0 = 1_790_000_000_000
SOURCES = ("CORE", "GATEWAY", "MOBILE")
SECONDS = st.sampled_from([0, 1, 2, 15, 29, 30, 31, 32, 61, 90, 4000])


@st.composite
def fields(draw: st.DrawFn, *, sound: bool = False) -> dict[str, Any]:
    """The fields of an event of some source; sound: valid, and one event id a source."""
    source = draw(st.sampled_from(SOURCES))
    odd = st.integers(0, 5).map(lambda n: n == 0) if not sound else st.just(False)
    words = STATUS_WORDS[SOURCES.index(source)]
    status = draw(st.sampled_from([words[1], words[1], words[1], *words]))
    return {
        "event_id": f"{source}-{0 if sound else draw(st.sampled_from([0, 0, 0, 1, 2]))}",
        "txn_id": "T",
        "source": source if not draw(odd) else draw(st.sampled_from(SOURCES)),
        "amount_minor": draw(st.sampled_from([10_000, 10_000, 10_000, 10_001, 10_100, 2_000_000])),
        "currency": draw(st.sampled_from(["EUR", "EUR", "EUR", "JPY", "USD" if sound else "XXQ"])),
        "direction": draw(st.sampled_from(["DEBIT", "DEBIT", "CREDIT"])),
        "status": status if not draw(odd) else "WHATEVER",
        "occurred_at": T0 + 1000 * draw(SECONDS),
        "account": draw(st.sampled_from(["A", "A", "B"])) if not draw(odd) else "",
        "reference": draw(st.sampled_from([None, None, "R", "R", "S", ""])),
        "channel": draw(st.sampled_from([None, None, "POS"])),
        "revision": draw(st.sampled_from([0, 0, 0, 1, 2])),
    }


@st.composite
def records(draw: st.DrawFn) -> list[tuple[str, int, int, dict[str, Any]]]:
    """(source of the topic, offset, Kafka timestamp, fields) in order of arrival, offsets counting up in each topic."""
    offsets = dict.fromkeys(SOURCES, 0)
    found = []
    for number, said in enumerate(draw(st.lists(fields(), min_size=1, max_size=9))):
        topic = said["source"] if draw(st.integers(0, 9)) else draw(st.sampled_from(SOURCES))
        copies = draw(st.sampled_from([1, 1, 1, 2]))
        for _ in range(copies):
            found.append((topic, offsets[topic], T0 + 1000 * draw(SECONDS) + number, said))
            offsets[topic] += 1
    return found
