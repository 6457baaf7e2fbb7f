"""The unit of work: the records of one partition that one fetch brought."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import faust
from faust.types import TP, AppT, EventT, Message


class RawRecord(Protocol):
    """What aiokafka parses out of a record batch, without its per-record wrapper."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""

    @property
    def timestamp(self) -> int:
        """Kafka timestamp, epoch milliseconds."""

    @property
    def key(self) -> bytes | None:
        """The key as it was sent."""

    @property
    def value(self) -> bytes | None:
        """The value as it was sent."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """The headers as they were sent."""


class RecordBatch:
    """Raw records of ONE partition in offset order, never empty; the value of an event of a source topic.

    Whoever has made everything durable that follows from the records sets `done` and then calls `event.ack()`.
    An acknowledged batch that is not `done` is never committed: it will be read again.
    """

    __slots__ = ("done", "next_offset", "records", "tp")

    def __init__(self, tp: TP, records: Sequence[RawRecord]) -> None:
        self.tp = tp
        self.records = records
        self.next_offset = records[-1].offset + 1
        self.done = False

    def __repr__(self) -> str:
        return f"<RecordBatch {self.tp.topic}-{self.tp.partition} {self.records[0].offset}..{self.next_offset - 1} done={self.done}>"


class BatchSchema(faust.Schema[Any, Any]):
    """Hands the RecordBatch to the agent as it is: nothing here can fail on data, so nothing is acknowledged unseen."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        """The function that Faust calls for every message of the topic."""
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return create_event(None, message.value, None, message)

        return decode
