"""Random histories of a case: any facts in any order, instants on both sides of the epoch."""

from __future__ import annotations

from hypothesis import strategies as st

from recon_stream.domain.event import Event, Source
from recon_stream.domain.facts import (
    EVERY_SOURCE,
    Conflicting,
    Deadline,
    DeadlineKind,
    Decided,
    Fact,
    Passed,
    Received,
    Rejected,
)
from recon_stream.domain.rules import STATUS_WORDS, RulesBook, parse_rules
from recon_stream.domain.validation import Reason

LONG = (-(1 << 63), (1 << 63) - 1)
EARLIER, CURRENT = 'version = "earlier"\n[tolerance.default]\nabsolute_minor = 5\n', 'version = "current"\n'
BOOK = RulesBook.of(CURRENT, (EARLIER,))
RULES = st.sampled_from(list(BOOK.by_digest.values()))
STRANGE = parse_rules('version = "nobody kept it"\n')

TXN = "T-€-\x00-1"
SOURCES = st.sampled_from([int(source) for source in Source])
OFFSETS = st.one_of(st.integers(0, 20), st.just(LONG[1]))
INSTANTS = st.one_of(
    st.sampled_from([0, 1, 30_000, 60_000, 1_790_000_000_000, 1_790_000_030_000, -1, -30_000]),
    st.integers(-(1 << 60), 1 << 60),
)
SCHEMA_IDS = st.sampled_from([1, 7, (1 << 31) - 1])
TEXTS = st.sampled_from(["E1", "E2", "ключ", "a\x00b", "x" * 300])
AMOUNTS = st.sampled_from([0, 100, 103, 200, LONG[1]])


@st.composite
def received(draw: st.DrawFn) -> Received:
    """An accepted event or correction."""
    source = draw(SOURCES)
    event = Event(
        draw(TEXTS), TXN, source, draw(AMOUNTS), draw(st.sampled_from(["EUR", "JPY"])), draw(st.integers(0, 1)),
        draw(st.sampled_from(STATUS_WORDS[source])), draw(INSTANTS), draw(st.sampled_from(["A", "Ä\x00"])),
        draw(st.none() | st.sampled_from(["", "R", "Ř"])), draw(st.none() | st.just("POS")), draw(st.integers(0, 3)),
    )  # fmt: skip
    return Received(source, draw(OFFSETS), draw(INSTANTS), draw(RULES), draw(SCHEMA_IDS), event)


@st.composite
def passed(draw: st.DrawFn) -> Passed:
    """A deadline that passed; never the expiry, which leaves no case behind."""
    kind = draw(st.sampled_from([DeadlineKind.MISSING, DeadlineKind.STATUS, DeadlineKind.PENDING]))
    return Passed(kind, draw(SOURCES), draw(INSTANTS), draw(RULES))


FACTS: st.SearchStrategy[Fact] = st.one_of(
    received(),
    received(),
    received(),
    passed(),
    st.builds(Conflicting, SOURCES, OFFSETS, INSTANTS, RULES, TEXTS, st.integers(0, 3)),
    st.builds(Rejected, SOURCES, OFFSETS, INSTANTS, RULES, st.sampled_from([reason.value for reason in Reason])),
    st.builds(Decided, st.sampled_from(["", "b" * 32]), st.sampled_from(["VOID", "WRITTEN_OFF", ""]), INSTANTS, RULES),
)
HISTORIES = st.lists(FACTS, max_size=9)

DEADLINES = st.builds(Deadline, st.integers(0, EVERY_SOURCE), st.sampled_from(list(DeadlineKind)), st.integers(*LONG))
