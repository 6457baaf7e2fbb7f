"""Refusals in the audit trail: the first of a kind at once, a storm of them as one entry with a number. Pure: time comes in.

So an attacker can neither hide in the trail nor fill it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from recon_stream.security.audit import Entry

WINDOW_SECONDS = 60.0
KEYS_MAX = 1000
"""More different ones within a window are counted together."""

Key = tuple[str, ...]


@dataclass(slots=True)
class _Storm:
    until: float
    entry: Entry
    more: int = 0


class Denials:
    """Decides which refusals are written. `now` is a monotonic clock in seconds."""

    def __init__(self) -> None:
        self._storms: dict[Key, _Storm] = {}

    def note(self, entry: Entry, now: float) -> Entry | None:
        """A refusal; the entry to be written now, None where it is only counted."""
        key = self._key(entry)
        storm = self._storms.get(key)
        if storm is None:
            self._storms[key] = _Storm(now + WINDOW_SECONDS, entry)
            return entry
        storm.more += 1
        return None

    def over(self, now: float) -> Iterator[Entry]:
        """What came of the storms whose minute is over."""
        for key, storm in list(self._storms.items()):
            if storm.until <= now:
                del self._storms[key]
                if storm.more:
                    yield replace(storm.entry, detail=storm.entry.detail | {"more_within_60_s": storm.more})

    def _key(self, entry: Entry) -> Key:
        # not by object: whoever tries many ids makes one storm
        key = (entry.actor, entry.action, entry.address, str(entry.detail.get("reason", "")))
        return key if key in self._storms or len(self._storms) < KEYS_MAX else ("", entry.action, "", "others")
