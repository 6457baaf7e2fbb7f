"""Source records as the API shows them: they are evidence, so to the last digit."""

from __future__ import annotations

import json

from recon_stream.web.api.transactions import event_in
from tests.storage.events import encode_event, event


def test_longs_of_an_event_are_strings_and_so_exact_in_a_browser() -> None:
    """Its JSON has no other number than floats: behind 2^53 it rounds integers."""
    said = event(amount_minor=2**53 + 1, occurred_at=1_790_000_000_123, revision=2)
    shown = event_in(encode_event(said))
    assert json.loads(json.dumps(shown), parse_int=float) == said | {
        "amount_minor": "9007199254740993", "occurred_at": "1790000000123", "revision": 2.0,
    }  # fmt: skip


def test_an_event_that_cannot_be_read_is_none() -> None:
    """Its bytes are shown all the same."""
    assert event_in(b"\x00\x00\x00\x00\x01\x02") is None
