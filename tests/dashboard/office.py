"""People who log in and look, and sources that report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

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

    def __init__(self, serve: Callable[[], AbstractContextManager[Desk]], browser: Browser) -> None:
        self._serve, self._browser = serve, browser
        self._web = ExitStack()

    @classmethod
    @contextmanager
    def open(cls, serve: Callable[[], AbstractContextManager[Desk]], browser: Browser) -> Iterator[Office]:
        """With a web process that `serve` starts, always at the same address."""
        office = cls(serve, browser)
        with office._web:
            office._start()
            yield office

    def _start(self) -> None:
        self.desk = self._web.enter_context(self._serve())
        self.base = f"{self.desk.base}/dashboard"

    @contextmanager
    def closed(self) -> Iterator[None]:
        """The web process is gone meanwhile, and another one is there on leaving."""
        self._web.close()
        yield
        self._start()

    @contextmanager
    def seat(self, who: Role, at: str = "/", **options: Any) -> Iterator[Page]:
        """A browser in which somebody has logged in by Keycloak's form. Complaints of the browser fail the test."""
        context = self._browser.new_context(locale="en-GB", **options)
        complaints: list[str] = []
        page = context.new_page()
        page.set_default_timeout(MILLISECONDS)
        try:
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
        except (AssertionError, PlaywrightError) as error:
            error.add_note(f"{page.url} shows:\n{page.locator('body').inner_text()}\ncomplaints: {complaints}")
            raise
        finally:
            context.close()
        assert complaints == []

    def report(self, *events: dict[str, Any]) -> None:
        """Sources say this: as records of their topics, by a producer like theirs."""
        _in_thread(_send(self.desk.settings, events))

    def spoil(self) -> str:
        """A source sends what nobody can read; the id of the dead letter that it becomes. It is stored."""
        at = _in_thread(_send_unreadable(self.desk.settings))
        letter = f"{at.topic}:{at.partition}:{at.offset}"
        self.until_stored(f"/dead-letters/{letter}")
        return letter

    def until_stored(self, path: str) -> None:
        """Until the API answers for it."""
        somebody, deadline = self.desk.person(Role.ADMIN), time.monotonic() + MILLISECONDS / 1000
        while somebody.get(path).status_code != 200:
            assert time.monotonic() < deadline, path
            time.sleep(0.2)


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


T = TypeVar("T")


def _in_thread(work: Coroutine[None, None, T]) -> T:
    # the browser's own loop runs in this one
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _send_unreadable(settings: Settings) -> Any:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, acks="all") as producer:
        return await producer.send_and_wait(SOURCE_TOPICS[0], b"not a record", key=b"TX-unreadable")


async def _send(settings: Settings, events: tuple[dict[str, Any], ...]) -> None:
    async with SchemaRegistry(settings) as registry:
        ids = {topic: await schema_id_of(registry, topic) for topic in SOURCE_TOPICS}
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, acks="all") as producer:
        for each in events:
            topic = TOPICS[each["source"]]
            value = encoder("transaction_event", ids[topic])(each)
            await producer.send_and_wait(topic, value, key=each["txn_id"].encode())
