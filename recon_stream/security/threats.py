"""Refusals in the audit trail: the first of a kind at once, a storm of them as one entry with a number. Pure: time comes in.

So an attacker can neither hide in the trail nor fill it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from recon_stream.security.addresses import counted_as
from recon_stream.security.audit import Entry

WINDOW_SECONDS = 60.0
KEYS_MAX = 1000
"""Of people who are known, and as many of nobody who is: more different ones within a window are counted together."""
MANY = "*"
"""Who, from where and under which request, where that is many."""

Key = tuple[str, ...]


@dataclass(slots=True)
class _Storm:
    until: float
    entry: Entry
    more: int = 0


class Denials:
    """Decides which refusals are written. `now` is a monotonic clock in seconds."""

    def __init__(self) -> None:
        # apart: a flood of nobody in particular leaves room for those whose names are known
        self._known: dict[Key, _Storm] = {}
        self._unknown: dict[Key, _Storm] = {}

    def note(self, entry: Entry, now: float) -> Entry | None:
        """A refusal; the entry to be written now, None where it is only counted."""
        # whoever is known has a subject, whatever the name
        storms = self._known if "subject" in entry.detail else self._unknown
        key = _key(entry)
        if key not in storms and len(storms) >= KEYS_MAX:
            entry = _of_many(entry)
            key = _key(entry)
        storm = storms.get(key)
        if storm is None:
            storms[key] = _Storm(now + WINDOW_SECONDS, entry)
            return entry
        storm.more += 1
        return None

    def over(self, now: float) -> Iterator[Entry]:
        """What came of the storms whose minute is over."""
        for storms in (self._known, self._unknown):
            for key, storm in list(storms.items()):
                if storm.until <= now:
                    del storms[key]
                    if storm.more:
                        yield replace(storm.entry, detail=storm.entry.detail | {"more_within_60_s": storm.more})


def _key(entry: Entry) -> Key:
    # not by object: whoever tries many ids makes one storm
    subject, reason = (str(entry.detail.get(name, "")) for name in ("subject", "reason"))
    return subject, entry.actor, entry.action, counted_as(entry.address), reason


def _of_many(entry: Entry) -> Entry:
    """What is true of all that are counted together: the action, and whether the people are known."""
    blank: dict[str, Any] = dict.fromkeys(("actor", "role", "object", "address", "session", "request_id"), MANY)
    return replace(entry, **blank, detail={"known": "subject" in entry.detail})
