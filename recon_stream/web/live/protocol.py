"""What is said over the websocket: messages of clients as they are understood, messages of ours as they are sent. Pure.

docs/live.md tells it to people, docs/live.schema.json to programs; both follow from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from recon_stream.security.tokens import TOKEN_CHARACTERS_MAX
from recon_stream.web.endpoints import Answer, Parameters
from recon_stream.web.live.channels import EVERYTHING, Channel, Filter
from recon_stream.web.live.items import DeadLetterItem, MismatchItem, ResultItem

VERSION: Final = 1
MESSAGE_BYTES_MAX: Final = 16 << 10
"""Of a client; a token has up to half of it."""
FRAME_ITEMS_MAX: Final = 500
FRAME_BYTES_MAX: Final = 256 << 10
"""Of ours; a single record may be larger than that."""


class CloseCode(IntEnum):
    """Why a socket ends."""

    GOING_AWAY = 1001
    NOT_TEXT = 1003
    TOO_MANY_MESSAGES = 1008
    TOO_SLOW = 4008
    TOKEN_EXPIRED = 4401
    SESSION_ENDED = 4403


class Reload(StrEnum):
    """Why what was missed cannot be told: read the lists anew."""

    GONE = "gone"
    """Kafka no longer has it."""
    TOO_FAR = "too_far"
    """It is more than a socket is worth."""
    UNKNOWN = "unknown"
    """The offsets are not of these topics: a partition is missing, or they lie behind its end."""


class Refusal(StrEnum):
    """Why a message of a client had no effect."""

    INVALID = "invalid"
    FORBIDDEN = "forbidden"
    TOKEN = "token"  # noqa: S105 a word for what is wrong
    UNAVAILABLE = "unavailable"


Offset = Annotated[str, Field(pattern=r"^(-1|[0-9]{1,18})$")]
Partition = Annotated[str, Field(pattern=r"^[0-9]{1,5}$")]
Position = Annotated[
    dict[Partition, Offset], Field(max_length=10_000, description="Partition -> the last offset that is known there.")
]


class Subscribe(Parameters):
    """Begin to tell a channel, or tell it by another filter from now on."""

    type: Literal["subscribe"]
    channel: Channel
    filter: Filter = EVERYTHING
    since: Position | None = Field(
        None, alias="from", description="Tell first what came behind these; for channels with offsets."
    )


class Unsubscribe(Parameters):
    """Tell no more of a channel."""

    type: Literal["unsubscribe"]
    channel: Channel


class Renew(Parameters):
    """Go on with a new access token of the same person."""

    type: Literal["renew"]
    token: str = Field(min_length=1, max_length=TOKEN_CHARACTERS_MAX)


ClientMessage = Annotated[Subscribe | Unsubscribe | Renew, Field(discriminator="type")]


class Hello(Answer):
    """The first message: who the socket belongs to, and until when."""

    type: Literal["hello"]
    protocol: int
    username: str
    channels: list[Channel] = Field(description="What the roles allow.")
    expires_at: str = Field(description="The socket ends then, unless it is renewed before.")


class Subscribed(Answer):
    """A channel is told from now on."""

    type: Literal["subscribed"]
    channel: Channel
    filter: Filter
    position: Position | None = Field(description="Where the messages that follow begin; null for stats and status.")


class Unsubscribed(Answer):
    """A channel is told no more."""

    type: Literal["unsubscribed"]
    channel: Channel


class Results(Answer):
    """What is new."""

    type: Literal["messages"]
    channel: Literal[Channel.RESULTS]
    position: Position = Field(description="To be put over what was known before.")
    items: list[ResultItem]


class Mismatches(Answer):
    """What is new."""

    type: Literal["messages"]
    channel: Literal[Channel.MISMATCHES]
    position: Position
    items: list[MismatchItem]


class DeadLetters(Answer):
    """What is new."""

    type: Literal["messages"]
    channel: Literal[Channel.DEAD_LETTERS]
    position: Position
    items: list[DeadLetterItem]


class Reloaded(Answer):
    """What was missed cannot be told. The channel is told from `position` on; what is before it, the lists have."""

    type: Literal["reload"]
    channel: Channel
    reason: Reload
    position: Position


class Latency(Answer):
    """Milliseconds from the record that caused a verdict, or the instant of its deadline, to the verdict, both as Kafka took them."""

    p50: int
    p95: int


class Stats(Answer):
    """The second that has passed."""

    type: Literal["stats"]
    at: str
    results: int = Field(description="Revisions of verdicts.")
    mismatches: int
    dead_letters: int
    verdicts: dict[str, int] = Field(description="Of the revisions, by verdict.")
    latency_ms: Latency | None = Field(description="Of the revisions; null where there was none.")


class Status(Answer):
    """How the live feed is, once a second."""

    type: Literal["status"]
    at: str
    live: bool = Field(description="Whether Kafka is read.")
    reason: str | None = Field(description="Why not.")
    behind: dict[str, int] = Field(description="Records that Kafka has and that are not told yet, by channel.")
    sockets: int = Field(description="Open at this process.")


class Renewed(Answer):
    """The socket lives longer."""

    type: Literal["renewed"]
    channels: list[Channel] = Field(description="What the roles allow now.")
    expires_at: str


class Failed(Answer):
    """A message had no effect, or a channel is told no more."""

    type: Literal["error"]
    code: Refusal
    detail: str
    channel: Channel | None


ServerMessage = Annotated[
    Hello
    | Subscribed
    | Unsubscribed
    | Annotated[Results | Mismatches | DeadLetters, Field(discriminator="channel")]
    | Reloaded
    | Stats
    | Status
    | Renewed
    | Failed,
    Field(discriminator="type"),
]

_CLIENT: Final[TypeAdapter[Subscribe | Unsubscribe | Renew]] = TypeAdapter(ClientMessage)


class NotUnderstood(Exception):
    """A message of a client that is none; the text says what is wrong, in bounds."""


def understood(text: str) -> Subscribe | Unsubscribe | Renew:
    """The message of a client. Raises NotUnderstood."""
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise NotUnderstood("is no JSON") from None
    try:
        return _CLIENT.validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"][:4])[:100]
        said = "is not known here" if first["type"] == "extra_forbidden" else str(first["msg"])[:200]
        raise NotUnderstood(f"{place}: {said}" if place else said) from None


def said(kind: str, **parts: Any) -> bytes:
    """A message of ours."""
    return orjson.dumps({"type": kind} | parts)


def position_of(positions: Mapping[int, int]) -> dict[str, str]:
    """As it is sent."""
    return {str(partition): str(offset) for partition, offset in sorted(positions.items())}


def positions_in(given: Mapping[str, str]) -> dict[int, int]:
    """As it came."""
    return {int(partition): int(offset) for partition, offset in given.items()}


def frames(channel: Channel, position: Mapping[int, int], items: Iterable[tuple[int, int, bytes]]) -> list[bytes]:
    """Messages with these items (partition, offset, JSON) in order, each within the bounds; the last one brings `position`.

    At least one: a position may be all that there is to tell.
    """
    made: list[bytes] = []
    part: list[bytes] = []
    size, told = 0, dict[int, int]()
    for partition, offset, encoded in items:
        if part and (len(part) >= FRAME_ITEMS_MAX or size + len(encoded) > FRAME_BYTES_MAX):
            made.append(_frame(channel, told, part))
            part, size, told = [], 0, {}
        part.append(encoded)
        size += len(encoded)
        told[partition] = offset
    made.append(_frame(channel, told | dict(position), part))
    return made


def _frame(channel: Channel, position: Mapping[int, int], items: list[bytes]) -> bytes:
    head = orjson.dumps({"type": "messages", "channel": channel, "position": position_of(position)})
    return b'%s,"items":[%s]}' % (head[:-1], b",".join(items))


def schema() -> str:
    """The JSON Schema of all messages, as docs/live.schema.json holds it."""
    both = TypeAdapter(ServerMessage).json_schema(mode="serialization", ref_template="#/$defs/{model}")
    theirs = TypeAdapter(ClientMessage).json_schema(mode="validation", ref_template="#/$defs/{model}")
    server, client = ({key: part[key] for key in ("oneOf", "discriminator")} for part in (both, theirs))
    return orjson.dumps(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Messages of /ws",
            "$defs": theirs["$defs"] | both["$defs"] | {"FromServer": server, "FromClient": client},
            "anyOf": [{"$ref": "#/$defs/FromServer"}, {"$ref": "#/$defs/FromClient"}],
        },
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    ).decode()
