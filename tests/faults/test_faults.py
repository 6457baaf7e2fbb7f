"""The scenarios as tests: the quick ones always, the others with `-m faults` (or all of them, with a table: `make test-faults`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.report import Ended
from tests.faults.scenarios import Scenario, load, run
from tests.faults.stack import NotPossible, Stack, running_stack

SEED = 1


def cases() -> list[Any]:
    """Every scenario as a parameter."""
    return [pytest.param(one, id=one.name, marks=() if one.quick else (pytest.mark.faults,)) for one in load().values()]


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    """A stack of the harness's own: its broker is killed, and has a listener for a proxy."""
    with running_stack(SEED) as stack:
        yield stack


@pytest.mark.stack
@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", cases())
def test_whatever_breaks_nothing_is_lost_doubled_invented_or_wrong(own_stack: Stack, which: Scenario) -> None:
    """At least 20,000 events, a fault that really struck, and then tables, judge and `verify` that find nothing wrong; a
    spoilt copy of the product is found out."""
    try:
        row = asyncio.run(run(own_stack, which, SEED, print))
    except NotPossible as reason:
        pytest.skip(str(reason))
    assert Ended(which, row).ok, row
