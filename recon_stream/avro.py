"""The Confluent wire format and the schema registry.

A value is 0x00, the schema id (4 bytes, big-endian), one Avro record. Schemas are the .avsc files of `schemas/`;
subjects are `<topic>-value`, compatibility BACKWARD.
"""

from __future__ import annotations

import json
import ssl
import struct
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from io import BytesIO
from types import TracebackType
from typing import Any, Self, cast

import aiohttp
import fastavro

from recon_stream.errors import ConfigurationError, TransientFailure
from recon_stream.settings import Settings

Schema = dict[str, Any]

MAGIC = b"\x00"
FRAME_BYTES = 5
_FRAME = struct.Struct(">BI")
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
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


class SchemaRegistry:
    """The few calls of a Confluent-compatible registry that are needed. `async with SchemaRegistry(settings) as registry`."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.schema_registry_url.rstrip("/")
        self._auth = (
            aiohttp.BasicAuth(settings.schema_registry_username, settings.schema_registry_password)
            if settings.schema_registry_username
            else None
        )
        cafile = settings.schema_registry_cafile
        self._ssl: ssl.SSLContext | bool = ssl.create_default_context(cafile=cafile) if cafile else True
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
        if status != 200:
            raise RegistryRefused(f"{subject}: {body.get('message', body)} (HTTP {status})")
        return int(body["id"])

    async def set_compatibility(self, subject: str, level: str = "BACKWARD") -> None:
        """Set the compatibility level of one subject."""
        status, body = await self._call("PUT", f"/config/{subject}", {"compatibility": level})
        if status != 200:
            raise RegistryRefused(f"{subject}: {body.get('message', body)} (HTTP {status})")

    async def compatibility(self, subject: str) -> str | None:
        """The level of one subject; None where none is set."""
        status, body = await self._call("GET", f"/config/{subject}")
        return str(body["compatibilityLevel"]) if status == 200 else None

    async def latest(self, subject: str) -> tuple[int, int] | None:
        """(schema id, version) of the newest schema of the subject; None where there is none."""
        status, body = await self._call("GET", f"/subjects/{subject}/versions/latest")
        return (int(body["id"]), int(body["version"])) if status == 200 else None

    async def lookup(self, subject: str, name: str) -> int | None:
        """The id of `schemas/<name>.avsc` under the subject; None where exactly this schema is not registered there."""
        status, body = await self._call("POST", f"/subjects/{subject}", {"schema": schema_text(name)})
        if status not in (200, 404):
            raise TransientFailure(f"schema registry: HTTP {status} for {subject}")
        return int(body["id"]) if status == 200 else None

    async def schema(self, schema_id: int) -> Schema | None:
        """The schema of that id; None where the registry says that there is none (404)."""
        status, body = await self._call("GET", f"/schemas/ids/{schema_id}")
        if status == 404:
            return None
        if status != 200:
            raise TransientFailure(f"schema registry: HTTP {status} for schema {schema_id}")
        kind = body.get("schemaType", "AVRO")
        # a schema of another kind is known, so waiting for it would be in vain; no reader takes this one
        return cast("Schema", json.loads(body["schema"]) if kind == "AVRO" else {"type": kind.lower()})

    async def _call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        assert self._session is not None, "use it in `async with`"
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": _CONTENT_TYPE},
            ) as answer:
                if answer.status >= 500 or answer.status == 429:
                    raise TransientFailure(f"schema registry {self._url}: HTTP {answer.status} for {method} {path}")
                return answer.status, await answer.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise TransientFailure(
                f"schema registry {self._url} does not answer: {error or type(error).__name__}"
            ) from error
