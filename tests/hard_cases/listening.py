"""Everything that the worker publishes, kept by transaction, and waiting for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer

from recon_stream.avro import decode
from recon_stream.settings import Settings
from recon_stream.topics import DEAD_LETTERS, RESULTS

WAIT_SECONDS = 40.0


class Listener:
    """`async with Listener(settings) as said`."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = AIOKafkaConsumer(
            RESULTS, DEAD_LETTERS, **settings.kafka_client(), group_id=None, auto_offset_reset="earliest"
        )
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self.results: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        """Transaction -> its revisions as they were published, repeats included."""
        self.dead: defaultdict[bytes, list[dict[str, Any]]] = defaultdict(list)
        """Key -> its dead letters."""

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._consumer.stop()

    async def _listen(self) -> None:
        async for record in self._consumer:
            if record.topic == RESULTS:
                body = decode("reconciliation_result", record.value)
                self.results[body["txn_id"]].append(body)
            else:
                letter = decode("dead_letter", record.value)
                self.dead[letter["key"] or b""].append(letter)
            async with self._news:
                self._news.notify_all()

    async def until(self, what: str, holds: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        """Wait until that holds."""
        assert self._task is not None
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(holds)
        except TimeoutError:
            raise AssertionError(f"within {seconds:.0f} s not: {what}") from None

    def verdict(self, txn_id: str) -> str | None:
        """The verdict of the newest revision."""
        results = self.results[txn_id]
        return str(max(results, key=lambda body: int(body["revision"]))["verdict"]) if results else None

    async def until_said(self, verdict: str, *txn_ids: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until that is the verdict of all of these."""

        def all_say_so() -> bool:
            return all(self.verdict(txn_id) == verdict for txn_id in txn_ids)

        try:
            await self.until("", all_say_so, seconds)
        except AssertionError:
            others = {txn_id[:60]: self.verdict(txn_id) for txn_id in txn_ids if self.verdict(txn_id) != verdict}
            raise AssertionError(
                f"not {verdict} within {seconds:.0f} s: {len(others)}, {dict(list(others.items())[:5])}"
            ) from None

    def classes(self, txn_id: str) -> list[str]:
        """Class of every break that was ever listed for it."""
        return sorted({each["class"] for body in self.results[txn_id] for each in body["breaks"]})

    def reasons(self, txn_id: str) -> set[str]:
        """Reasons of its dead letters."""
        return {letter["reason"] for letter in self.dead[txn_id.encode()]}
