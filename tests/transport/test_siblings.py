"""Partitions of one number are read side by side; nobody waits for a sibling that has nothing or does not answer."""

from __future__ import annotations

import pytest
from faust.types import TP

from recon_stream.transport.siblings import APART_MS, PATIENCE_SECONDS, Siblings

CORE, GATEWAY, MOBILE = (TP(topic, 3) for topic in ("core_txns", "gateway_txns", "mobile_txns"))
ACTIVE = (CORE, GATEWAY, MOBILE, TP("core_txns", 4))
NOW = 100.0


@pytest.fixture
def ends() -> dict[TP, int]:
    """Ends of the partitions as the last fetches showed them."""
    return {CORE: 1000, GATEWAY: 1000, MOBILE: 1000}


@pytest.fixture
def siblings(ends: dict[TP, int]) -> Siblings:
    """The core partition is a second ahead of the two others, and all have more to read."""
    siblings = Siblings(ends.get)
    siblings.note(CORE, 2000, 500, NOW)
    siblings.note(GATEWAY, 1000, 400, NOW)
    siblings.note(MOBILE, 1000, 400, NOW)
    return siblings


def test_who_is_ahead_waits_for_siblings_with_older_records(siblings: Siblings) -> None:
    """The legs of a transaction then meet in one unit of work."""
    assert siblings.is_ahead(CORE, ACTIVE, NOW)
    assert not siblings.is_ahead(GATEWAY, ACTIVE, NOW)


def test_nobody_waits_for_a_sibling_at_its_end(siblings: Siblings, ends: dict[TP, int]) -> None:
    """A feed that stands still has nothing to read: the others go on."""
    ends[GATEWAY] = ends[MOBILE] = 400
    assert not siblings.is_ahead(CORE, ACTIVE, NOW)
    del ends[GATEWAY], ends[MOBILE]
    assert not siblings.is_ahead(CORE, ACTIVE, NOW), "an end that is not known is no reason to wait"


def test_nobody_waits_for_a_sibling_that_brings_nothing(siblings: Siblings) -> None:
    """Where its end is a marker of a transaction, or its broker is away, an end alone would hold the others for ever."""
    assert siblings.is_ahead(CORE, ACTIVE, NOW + PATIENCE_SECONDS)
    assert not siblings.is_ahead(CORE, ACTIVE, NOW + PATIENCE_SECONDS + 0.1)


def test_a_little_ahead_is_side_by_side(siblings: Siblings) -> None:
    """Fetches need not alternate record by record."""
    siblings.note(GATEWAY, 2000 - APART_MS, 450, NOW)
    siblings.note(MOBILE, 2000 - APART_MS, 450, NOW)
    assert not siblings.is_ahead(CORE, ACTIVE, NOW)


def test_only_siblings_count(siblings: Siblings) -> None:
    """Another number of the same topic, an inactive sibling, an assignment of before: none of them holds anybody."""
    assert not siblings.is_ahead(CORE, (CORE, TP("core_txns", 4), TP("gateway_txns", 4)), NOW)
    siblings.reset()
    assert not siblings.is_ahead(CORE, ACTIVE, NOW)
