"""What a client missed and the ring no longer has, read from Kafka within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from recon_stream.security.tokens import Person
from recon_stream.settings import Settings
from recon_stream.transport.log import Log
from recon_stream.web.live.channels import TOPICS, Channel
from recon_stream.web.live.items import Item
from recon_stream.web.live.protocol import Reload
from recon_stream.web.live.ring import Positions

READERS_MAX = 4
"""At a time; the others wait for their turn."""


class Lost(Exception):
    """What was missed cannot be told; `reason` says why."""

    def __init__(self, reason: Reload) -> None:
        super().__init__(reason.value)
        self.reason = reason


class History:
    """Reads parts of the topics. One for each process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turns = asyncio.Semaphore(READERS_MAX)
        self._persons: WeakValueDictionary[Person, asyncio.Lock] = WeakValueDictionary()
        """Of those who read or wait; the others' are forgotten by themselves."""

    @asynccontextmanager
    async def turn(self, person: Person) -> AsyncIterator[None]:
        """To be held while it is read; one a person, who would else take them all with as many sockets."""
        lock = self._persons.setdefault(person, asyncio.Lock())
        async with lock, self._turns:
            yield

    async def read(self, channel: Channel, spans: Mapping[int, tuple[int, int]]) -> AsyncGenerator[list[Item], None]:
        """Every record with since <= offset < before, by partition, in batches. Raises Lost, TransientFailure."""
        if sum(before - since for since, before in spans.values()) > self._settings.resume_records_max:
            raise Lost(Reload.TOO_FAR)
        topic = TOPICS[channel]
        async with Log(self._settings) as log:
            begins, _ = await log.bounds((topic, partition) for partition in spans)
            if any(since < begins[topic, partition] for partition, (since, _) in spans.items()):
                raise Lost(Reload.GONE)
            wanted = {(topic, partition): span for partition, span in spans.items()}
            async for (_, partition), entries in log.read(wanted, lambda _: None):
                yield [Item(channel, partition, entry.offset, entry.timestamp, entry.value or b"") for entry in entries]

    async def ensure_known(self, channel: Channel, positions: Positions) -> None:
        """Raise Lost where these lie behind the ends: they are of a topic that is no more."""
        topic = TOPICS[channel]
        async with Log(self._settings) as log:
            ends = await log.ends((topic, partition) for partition in positions)
        if any(position >= ends[topic, partition] for partition, position in positions.items()):
            raise Lost(Reload.UNKNOWN)
