"""People who log in and look, and sources that report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from playwright.sync_api import Browser, Page

from recon_stream.avro import SchemaRegistry, encoder
from recon_stream.domain.event import SOURCE_TOPICS, SOURCES
from recon_stream.registration import schema_id_of
from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from tests.storage.events import event
from tests.web.serving import Desk

MILLISECONDS = 30_000
STATUS = {"CORE": "POSTED", "GATEWAY": "CAPTURED", "MOBILE": "SUCCESS"}
TOPICS = dict(zip([source.name for source in SOURCES], SOURCE_TOPICS, strict=True))


class Office:
    """A system and a browser."""

    def __init__(self, desk: Desk, browser: Browser) -> None:
        self.desk, self._browser = desk, browser
        self.base = f"{desk.base}/dashboard"

    @contextmanager
    def seat(self, who: Role, at: str = "/", **options: Any) -> Iterator[Page]:
        """A browser in which somebody has logged in by Keycloak's form. Complaints of the browser fail the test."""
        context = self._browser.new_context(locale="en-GB", **options)
        complaints: list[str] = []
        try:
            page = context.new_page()
            page.set_default_timeout(MILLISECONDS)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None
            )
            page.goto(self.base + at)
            page.fill("#username", who.value)
            page.fill("#password", f"{who.value}123")
            page.click("#kc-login")
            page.wait_for_selector("[data-page-title], [role=alert]")
            yield page
        finally:
            context.close()
        assert complaints == []

    def report(self, *events: dict[str, Any]) -> None:
        """Sources say this: as records of their topics, by a producer like theirs."""
        # the browser's own loop runs in this thread
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(_send(self.desk.settings, events))).result()


def said(txn_id: str, source: str, **changed: Any) -> dict[str, Any]:
    """What a source reports of a transaction; all agree unless something is changed."""
    usual = {
        "event_id": f"{source[0]}-{txn_id}",
        "txn_id": txn_id,
        "source": source,
        "status": STATUS[source],
        "occurred_at": time.time_ns() // 1_000_000,
        "account": "DE89370400440532013000",
        "reference": f"R-{txn_id}",
    }
    return event(**(usual | changed))


async def _send(settings: Settings, events: tuple[dict[str, Any], ...]) -> None:
    async with SchemaRegistry(settings) as registry:
        ids = {topic: await schema_id_of(registry, topic) for topic in SOURCE_TOPICS}
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, acks="all") as producer:
        for each in events:
            topic = TOPICS[each["source"]]
            value = encoder("transaction_event", ids[topic])(each)
            await producer.send_and_wait(topic, value, key=each["txn_id"].encode())
