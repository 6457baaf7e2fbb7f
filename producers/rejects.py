"""Records that must become dead letters: values that cannot be read, keys of no case, events that cannot be true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from producers.draft import WORDS, Draft
from producers.plan import DeadLetterFamily, Frame, Record
from recon_stream.avro import parsed_schema
from recon_stream.codec import compile_writer
from recon_stream.domain.event import Event, Status

_DAY_MS = 86_400_000
_write_event = compile_writer(parsed_schema("transaction_event"))


def encode_event(event: Event) -> bytes:
    """The Avro body of an event, without the frame."""
    return _write_event(*event.fields())


def _noise(draft: Draft) -> bytes:
    return draft.rng.randbytes(draft.between(1, 60))


def _truncated(draft: Draft, body: bytes) -> bytes:
    return body[: draft.between(0, len(body) - 1)]


def _wrong_enum(body: bytes, event: Event) -> bytes:
    """The body with a source that the schema does not know: the byte behind event_id and txn_id, each with its length."""
    at = 2 + len(event.event_id) + len(event.txn_id)
    return body[:at] + b"\x0e" + body[at + 1 :]


# Each takes the draft, a good event and its body, and gives what makes the value unreadable.
_UNREADABLE: tuple[Callable[[Draft, Event, bytes], tuple[Frame, bytes | None]], ...] = (
    lambda draft, event, body: (Frame.NONE, None),
    lambda draft, event, body: (Frame.NONE, b""),
    lambda draft, event, body: (Frame.NONE, b"\x00"),
    lambda draft, event, body: (Frame.NONE, bytes((draft.between(1, 255),)) + _noise(draft)),
    lambda draft, event, body: (Frame.NONE, b"\x01\x00\x00\x00\x01" + body),
    lambda draft, event, body: (Frame.OURS, _truncated(draft, body)),
    lambda draft, event, body: (Frame.OURS, body + _noise(draft)),
    lambda draft, event, body: (Frame.OURS, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + _noise(draft)),
    lambda draft, event, body: (Frame.OURS, _wrong_enum(body, event)),
    lambda draft, event, body: (Frame.OURS, body[:1] + b"\xff\xfe" + body[3:]),
)

_BAD_KEYS = (None, b"", b"\xff\xfe\x00")


def poison(draft: Draft) -> None:
    """Beside a clean transaction: a value that cannot be read, under its key or one of no case; or a key that is none."""
    source = draft.pick()
    at = draft.begin_ms + draft.between(0, draft.plan.timing.skew_ms * 2)
    event = _event_of_no_case(draft, source)
    if draft.chance(0.2):
        # a null key and an empty one go to the partition of the empty key
        at = max(at, draft.send_ms[source])
        draft.extra.append(Record(at, source, _BAD_KEYS[draft.between(0, len(_BAD_KEYS) - 1)], event))
        draft.dead_letters.append(DeadLetterFamily.BAD_KEY)
        return
    frame, body = _UNREADABLE[draft.between(0, len(_UNREADABLE) - 1)](draft, event, encode_event(event))
    key = draft.key if draft.chance(0.6) else event.txn_id.encode()
    draft.send_raw(source, at, key, frame, body)
    draft.dead_letters.append(DeadLetterFamily.UNREADABLE)


def unknown_schema(draft: Draft) -> None:
    """Beside a clean transaction: a good event under a schema id that no registry knows."""
    source = draft.pick()
    at = draft.send_ms[source] + draft.between(1, 500)
    draft.send_raw(source, at, draft.key, Frame.UNKNOWN, encode_event(draft.events[source]))
    draft.dead_letters.append(DeadLetterFamily.UNKNOWN_SCHEMA)


def _event_of_no_case(draft: Draft, source: int) -> Event:
    return draft.events[source].replaced(
        event_id=draft.event_id(source, "-none"), txn_id=f"{draft.txn_id}-none", status=WORDS[source][Status.SUCCESS]
    )


def _falsehood(draft: Draft, event: Event) -> dict[str, Any]:
    """Fields that make an event invalid in the topic of its source, under the key of its transaction."""
    choices: tuple[dict[str, Any], ...] = (
        {"currency": "ZZZ"},
        {"currency": event.currency.lower()},
        {"status": "DONE"},
        {"status": WORDS[(event.source + 1) % 3][Status.SUCCESS]},
        {"amount_minor": -event.amount_minor},
        {"txn_id": f"{event.txn_id}-other"},
        {"txn_id": ""},
        {"source": (event.source + draft.between(1, 2)) % 3},
        {"occurred_at": event.occurred_at + 2 * _DAY_MS},
        {"event_id": ""},
        {"account": ""},
        {"revision": -1},
    )
    return choices[draft.between(0, len(choices) - 1)]


def invalid(draft: Draft) -> None:
    """A record of one source that decodes and cannot be true: before its good one, after it, instead of it, or alone."""
    source = draft.pick()
    event, at = draft.events[source], draft.send_ms[source]
    bad = event.replaced(**_falsehood(draft, event))
    draft.dead_letters.append(DeadLetterFamily.INVALID)
    draw = draft.rng.random()
    if draw < 0.25:
        draft.send(source, at, bad)
        draft.send_ms[source] = at + draft.between(50, max(50, min(1500, draft.plan.timing.grace_ms // 3)))
        draft.resolves("INVALID_RECORD", source)
        return
    draft.opens("INVALID_RECORD", source)
    if draw < 0.5:
        draft.send(source, at + draft.between(50, 1500), bad)
        return
    draft.send(source, at, bad)
    # the source is heard, so it is not missing as well; where nothing else comes there is nothing to miss it from
    for absent in [source] if draw < 0.8 else range(3):
        draft.withhold(absent)
