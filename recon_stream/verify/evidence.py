"""What one partition number holds in Kafka: the records of the three sources and what was published about them.

Transactions never leave their partition number, so one at a time is enough, and memory holds one at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from recon_stream.avro import FRAME_BYTES, MAGIC, Schema, SchemaRegistry
from recon_stream.domain.deadlines import NEVER, event_time
from recon_stream.domain.event import Event
from recon_stream.pipeline.decoding import VALUE_BYTES_MAX, Read, reader_for
from recon_stream.storage.raw_events import schema_id_of
from recon_stream.transport.log import Entry

Body = dict[str, Any]
"""A decoded ReconciliationResult."""


class SourceRecord(NamedTuple):
    """A readable record of a case. `watermark` is that of its partition before it, epoch milliseconds."""

    source: int
    offset: int
    timestamp: int
    value: bytes
    watermark: int


class Published(NamedTuple):
    """A record of recon_results or recon_mismatches."""

    offset: int
    timestamp: int
    value: bytes | None


@dataclass(slots=True)
class PartitionEvidence:
    """Everything of one partition number, keyed by the Kafka key of the case."""

    number: int
    cases: dict[bytes, list[SourceRecord]] = field(default_factory=lambda: defaultdict(list))
    """Readable records with a key that names a case, of each source in order of offset."""
    by_place: dict[tuple[int, int], tuple[bytes, int]] = field(default_factory=dict)
    """(source, offset) -> (key, position in its list)."""
    watermarks: list[int] = field(default_factory=lambda: [NEVER, NEVER, NEVER])
    results: dict[bytes, list[Published]] = field(default_factory=lambda: defaultdict(list))
    mismatches: dict[bytes, list[Published]] = field(default_factory=lambda: defaultdict(list))
    reasons: dict[tuple[str, int], str] = field(default_factory=dict)
    """(topic, offset) -> why the record is a dead letter."""
    moving: set[bytes] = field(default_factory=set)
    """Cases of which records came after this verification began."""
    waiting: set[bytes] = field(default_factory=set)
    """Cases that a deadline is still ahead of, so that more may be said of them."""

    def add(self, source: int, entry: Entry, event: Event | None) -> None:
        """Take the next record of a source; `event` is None where it is unreadable."""
        if event is None or entry.value is None:
            return
        before = self.watermarks[source]
        self.watermarks[source] = max(before, event_time(event.occurred_at, entry.timestamp))
        if is_case_key(entry.key):
            assert entry.key is not None
            of_case = self.cases[entry.key]
            self.by_place[source, entry.offset] = (entry.key, len(of_case))
            of_case.append(SourceRecord(source, entry.offset, entry.timestamp, entry.value, before))

    def record_at(self, source: int, offset: int, key: bytes) -> SourceRecord | None:
        """The readable record of that case there."""
        found = self.by_place.get((source, offset))
        return self.cases[key][found[1]] if found is not None and found[0] == key else None


def is_case_key(key: bytes | None) -> bool:
    """Whether a record's key names a case: not null, not empty, not too long, UTF-8."""
    if not key or len(key) > VALUE_BYTES_MAX:
        return False
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


class Reader:
    """Reads source records; asks the registry once for each schema id."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._readers: dict[int, Callable[[bytes], Read] | None] = {}

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """Learn the schemas of these values. Raises TransientFailure where the registry does not answer."""
        for schema_id in {schema_id_of(value) for value in values} - self._readers.keys():
            if schema_id is not None:
                schema: Schema | None = await self._registry.schema(schema_id)
                self._readers[schema_id] = None if schema is None else reader_for(schema)

    def read(self, value: bytes | None) -> Event | None:
        """The event in a value; None where it is unreadable."""
        if value is None or not FRAME_BYTES < len(value) <= VALUE_BYTES_MAX or value[:1] != MAGIC:
            return None
        reader = self._readers.get(schema_id_of(value) or 0)
        if reader is None:
            return None
        try:
            return reader(value)[0]
        except Exception:
            return None  # whatever a decoder raises on foreign bytes: the record is unreadable
