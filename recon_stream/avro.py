"""The Confluent wire format and the schema registry.

A value is 0x00, the schema id (4 bytes, big-endian), one Avro record. Schemas are the .avsc files of `schemas/`;
subjects are `<topic>-value`, compatibility BACKWARD.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from io import BytesIO
from types import TracebackType
from typing import Any, Final, Self, cast

import aiohttp
import fastavro

from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.settings import Settings
from recon_stream.tls import trusting

Schema = dict[str, Any]

MAGIC = b"\x00"
FRAME_BYTES: Final = 5
_FRAME = struct.Struct(">BI")
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_ID_MAX = 2**31 - 1
_MESSAGE_MAX = 200
_BROKEN_OFF = (aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError, ConnectionResetError)
_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3)


@cache
def schema_text(name: str) -> str:
    """The text of `schemas/<name>.avsc`."""
    return files("schemas").joinpath(f"{name}.avsc").read_text()


@cache
def parsed_schema(name: str) -> Schema:
    """`schemas/<name>.avsc`, parsed for fastavro; logical types are taken off, so timestamps are epoch milliseconds."""
    return cast("Schema", fastavro.parse_schema(without_logical_types(json.loads(schema_text(name)))))


def without_logical_types(node: Any) -> Any:
    """The same schema with plain longs where it says timestamp-millis: nobody here needs a datetime per event."""
    if isinstance(node, dict):
        return {key: without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [without_logical_types(item) for item in node]
    return node


def frame(schema_id: int) -> bytes:
    """The five bytes in front of every value of that schema."""
    return _FRAME.pack(0, schema_id)


def encoder(name: str, schema_id: int) -> Callable[[Any], bytes]:
    """A function from a record (dict in the shape of `schemas/<name>.avsc`) to its framed value."""
    schema, head = parsed_schema(name), frame(schema_id)

    def encode(record: Any) -> bytes:
        out = BytesIO()
        out.write(head)
        fastavro.schemaless_writer(out, schema, record)
        return out.getvalue()

    return encode


def decode(name: str, value: bytes) -> dict[str, Any]:
    """The record in a framed value written with our own schema; for readers of our own topics.

    Raises ValueError on anything that is not exactly one framed record.
    """
    if value[:1] != MAGIC or len(value) <= FRAME_BYTES:
        raise ValueError("not in the Confluent wire format")
    body = BytesIO(value)
    body.seek(FRAME_BYTES)
    record = fastavro.schemaless_reader(body, parsed_schema(name), None)
    if body.tell() != len(value):
        raise ValueError(f"{len(value) - body.tell()} bytes after the record")
    return cast("dict[str, Any]", record)


class RegistryRefused(ConfigurationError):
    """The schema registry refused the schema; make the change compatible (BACKWARD) or use a new subject."""


class RegistryAway(TransientFailure):
    """The schema registry did not answer; the work is tried again, nothing is lost."""

    def __init__(self, seen: str, advice: str) -> None:
        super().__init__(f"{seen}; {advice}")
        self.seen, self.advice = seen, advice


class RegistryDenied(RegistryAway):
    """Roles wait and try again, nothing is lost; waiting alone will hardly help."""


class SchemaRegistry:
    """The few calls of a Confluent-compatible registry that are needed. `async with SchemaRegistry(settings) as registry`."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.schema_registry_url.rstrip("/")
        self._user = settings.schema_registry_username
        self._auth = (
            aiohttp.BasicAuth(settings.schema_registry_username, settings.schema_registry_password)
            if settings.schema_registry_username
            else None
        )
        self._ssl = trusting(settings.schema_registry_cafile, "RECON_SCHEMA_REGISTRY_CAFILE")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            auth=self._auth, timeout=_TIMEOUT, connector=aiohttp.TCPConnector(ssl=self._ssl, limit=4)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the object is of no use afterwards."""
        if self._session is not None:
            await self._session.close()

    async def register(self, subject: str, name: str) -> int:
        """Register `schemas/<name>.avsc` under the subject and return its id; the same schema again gives the same id.

        Raises RegistryRefused where the registry finds it incompatible.
        """
        status, body = await self._call("POST", f"/subjects/{subject}/versions", {"schema": schema_text(name)})
        if status != 200 or "id" not in _said(body):
            raise RegistryRefused(f"{subject}: {_message(body)} (HTTP {status})")
        return int(body["id"])

    async def set_compatibility(self, subject: str, level: str = "BACKWARD") -> None:
        """Set the compatibility level of one subject."""
        status, body = await self._call("PUT", f"/config/{subject}", {"compatibility": level})
        if status != 200:
            raise RegistryRefused(f"{subject}: {_message(body)} (HTTP {status})")

    async def compatibility(self, subject: str) -> str | None:
        """The level of one subject; None where none is set."""
        path = f"/config/{subject}"
        body = self._found(path, *await self._call("GET", path))
        return str(body["compatibilityLevel"]) if body is not None else None

    async def latest(self, subject: str) -> tuple[int, int] | None:
        """(schema id, version) of the newest schema of the subject; None where there is none."""
        path = f"/subjects/{subject}/versions/latest"
        body = self._found(path, *await self._call("GET", path))
        return (int(body["id"]), int(body["version"])) if body is not None else None

    async def lookup(self, subject: str, name: str) -> int | None:
        """The id of `schemas/<name>.avsc` under the subject; None where exactly this schema is not registered there."""
        path = f"/subjects/{subject}"
        body = self._found(path, *await self._call("POST", path, {"schema": schema_text(name)}))
        return int(body["id"]) if body is not None else None

    async def schema(self, schema_id: int) -> Schema | None:
        """The schema of that id; None where the registry says that there is none (404)."""
        if schema_id > _ID_MAX:
            return None  # no registry can have given it: not every one answers such a question with 404
        path = f"/schemas/ids/{schema_id}"
        body = self._found(path, *await self._call("GET", path))
        if body is None:
            return None
        kind = body.get("schemaType", "AVRO")
        # a schema of another kind is known, so waiting for it would be in vain; no reader takes this one
        return cast("Schema", json.loads(body["schema"]) if kind == "AVRO" else {"type": kind.lower()})

    def _found(self, path: str, status: int, body: Any) -> Any:
        """The body of an answer; None where the registry itself, and nothing in front of it, says that there is no such thing."""
        if status == 200 and isinstance(body, dict):
            return body
        if status == 404 and str(_said(body).get("error_code", "")).startswith("404"):
            return None
        if status in (200, 404):
            seen = f"{self._url} answers HTTP {status} for {path}, and not as a schema registry does"
            raise RegistryDenied(seen, "correct SCHEMA_REGISTRY_URL, its path too")
        raise RegistryDenied(
            f"schema registry {self._url} answers HTTP {status} for {path}: {_message(body)}",
            "see its log, and whether SCHEMA_REGISTRY_URL leads to it",
        )

    def _raise_where_denied(self, status: int, method: str, path: str) -> None:
        if status == 401 and not self._user:
            seen = f"schema registry {self._url} asks for a user (HTTP 401)"
            raise RegistryDenied(seen, "set RECON_SCHEMA_REGISTRY_USERNAME and RECON_SCHEMA_REGISTRY_PASSWORD")
        if status == 401:
            seen = f"schema registry {self._url} refuses user {self._user} (HTTP 401)"
            raise RegistryDenied(seen, "check RECON_SCHEMA_REGISTRY_USERNAME and RECON_SCHEMA_REGISTRY_PASSWORD")
        if status == 403:
            who = f"user {self._user}" if self._user else "a client without RECON_SCHEMA_REGISTRY_USERNAME"
            seen = f"schema registry {self._url} does not allow {method} {path} to {who} (HTTP 403)"
            raise RegistryDenied(seen, "grant it there, or set RECON_SCHEMA_REGISTRY_USERNAME to a user who may")
        if status >= 500 or status == 429:
            seen = f"schema registry {self._url} answers HTTP {status} for {method} {path}"
            raise RegistryAway(seen, "see its log if it goes on")

    async def _call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        assert self._session is not None, "use it in `async with`"
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": _CONTENT_TYPE},
            ) as answer:
                self._raise_where_denied(answer.status, method, path)
                text = await answer.text(errors="replace")
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise self._away(error) from error
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, None

    def _away(self, error: BaseException) -> RegistryAway:
        seen = f"schema registry {self._url} does not answer: {error or type(error).__name__}"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            seen = f"the certificate of schema registry {self._url} is not trusted: {why.rstrip('.')}"
            return RegistryDenied(
                seen, "set RECON_SCHEMA_REGISTRY_CAFILE to the authority that signed it, or use the name in it"
            )
        if isinstance(error, aiohttp.ClientSSLError):
            return RegistryDenied(seen, "where it has no TLS, SCHEMA_REGISTRY_URL begins with http://")
        if self._url.startswith("http:") and isinstance(error, _BROKEN_OFF):
            return RegistryAway(seen, "see that it is well; where it has TLS, SCHEMA_REGISTRY_URL begins with https://")
        return RegistryAway(seen, "start it or correct SCHEMA_REGISTRY_URL")


def _said(body: Any) -> dict[str, Any]:
    return body if isinstance(body, dict) else {}


def _message(body: Any) -> str:
    return " ".join(str(_said(body).get("message", "no reason given")).split())[:_MESSAGE_MAX]
