"""The table of endpoints: one line says where it is, who may ask, what is asked and what is answered.

It drives routing, the guard, the limiter, the audit trail, the OpenAPI document and the tests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from recon_stream.security.roles import Permission

if TYPE_CHECKING:
    from recon_stream.web.call import Call

Handler = Callable[["Call[Any, Any]"], Awaitable["Reply | web.StreamResponse"]]


class Parameters(BaseModel):
    """Base of what is asked: unknown names are refused, so that a mistyped filter never shows everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def needs_too(self) -> Permission | None:
        """What only those may ask who may more than the endpoint needs."""
        return None


class Nothing(Parameters):
    """No parameters."""


class Answer(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(frozen=True)


@dataclass(slots=True)
class Reply:
    """What a handler answers: something that orjson can write, or bytes as they are."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation."""

    method: str
    path: str
    needs: Permission | None
    """None: public."""
    handler: Handler
    query: type[Parameters] = Nothing
    body: type[Parameters] | None = None
    body_media: str = "application/json"
    """Or application/x-www-form-urlencoded, which standards of log-ins have."""
    answers: type[Answer] | None = None
    """None: `media` says what comes."""
    media: tuple[str, ...] = ("application/json",)
    status: int = 200
    records: str | None = None
    """Name of the action in the audit trail; None where nobody's data is shown."""
    records_itself: bool = False
    """The handler writes the entry, with what only it knows."""
    is_limited: bool = True
    """False: files from memory, of which a page asks for dozens, cheaper than asking the limiter; and what must not be missed."""
    tag: str = ""

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().split("\n")[0]

    @property
    def about(self) -> str:
        """All of it."""
        lines = (self.handler.__doc__ or "").strip().splitlines()
        return "\n".join([lines[0], *(line.strip() for line in lines[1:])]) if lines else ""

    @property
    def name(self) -> str:
        """Of the operation, for generated clients: get_transactions_txn_id."""
        words = self.path.strip("/").replace("{", "").replace("}", "").replace("-", "_").split("/")
        return "_".join([self.method.lower(), *words])


ENDPOINTS: list[Endpoint] = []


def endpoint(method: str, path: str, *, needs: Permission | None, **more: Any) -> Callable[[Handler], Handler]:
    """Register a handler."""

    def register(handler: Handler) -> Handler:
        ENDPOINTS.append(Endpoint(method=method, path=path, needs=needs, handler=handler, **more))
        return handler

    return register
