"""Records that were refused: the list, one with its bytes, and what people do with them."""

from __future__ import annotations

import re
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal

import orjson
from pydantic import Field

from recon_stream.metrics.catalogue import DEAD_LETTER_ACTIONS
from recon_stream.redis.cache import Category
from recon_stream.security.audit import Entry, Outcome
from recon_stream.security.roles import Permission
from recon_stream.storage import dead_letter_actions, oversight
from recon_stream.storage.audit_log import append
from recon_stream.storage.dead_letter_actions import Action, Asked, Letter, Plan, Request
from recon_stream.storage.oversight import DEAD_LETTER_ORDERS, DeadLetterFilter
from recon_stream.storage.reading import Row
from recon_stream.topics import DEAD_LETTERS
from recon_stream.web.bytes_view import BytesView, bytes_view
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Answer, Parameters, Reply, endpoint
from recon_stream.web.paging import Paged, page, position
from recon_stream.web.problems import Problem, not_found
from recon_stream.web.shapes import Place, place
from recon_stream.web.times import moment

BYTES_SHOWN_MAX = 4096
"""Of key and value of one letter."""

State = Literal["OPEN", "REPLAYED", "DISCARDED"]
_ACTIONS: dict[State, str] = {"OPEN": "", "REPLAYED": "REPLAY", "DISCARDED": "DISCARD"}
_STATES: dict[str, State] = {action: state for state, action in _ACTIONS.items()}
_ID = re.compile(r"(.+):(-?\d{1,10}):(-?\d{1,19})")


class DeadLettersQuery(Paged):
    """Filters of the list; those given several times mean any of them."""

    reason: list[str] = Field([], max_length=20, description="Any of these reasons.")
    topic: list[str] = Field([], max_length=20, description="Of any of these topics.")
    state: list[State] = Field([], description="What was done last.")
    since: datetime | None = Field(None, description="Refused at or after this instant.")
    before: datetime | None = Field(None, description="Refused before this instant.")
    sort: Literal["-failed_at", "failed_at"] = "-failed_at"


class DeadLetterRow(Answer):
    """A record that was refused."""

    id: str = Field(description="topic:partition:offset of the record.")
    place: Place
    reason: str
    detail: str
    schema_id: int | None
    state: State
    kafka_timestamp: str
    failed_at: str
    key: BytesView | None
    value: BytesView | None


class DeadLetterPage(Answer):
    """A page of a list; `next` goes into `after` for the following one."""

    items: list[DeadLetterRow]
    next: str | None


class ReasonCount(Answer):
    """Letters of one reason."""

    reason: str
    open: int
    replayed: int
    discarded: int


class ReasonCounts(Answer):
    """All of them, by name."""

    items: list[ReasonCount]


class DeadLetterAction(Answer):
    """What somebody asked for."""

    action: Action
    request_key: str
    actor: str
    comment: str | None
    asked_at: str
    done_at: str | None = Field(description="Null: the outcome is not known; the same request may be made again.")
    sent: Place | None = Field(description="Where the replayed record stands.")


class DeadLetter(DeadLetterRow):
    """A record that was refused, with what was done about it."""

    letter: Place = Field(description="Where the letter itself stands.")
    is_archived: bool = Field(description="Whether the bytes are the archive's; else they are those in the letter.")
    actions: list[DeadLetterAction]


class ActionRequest(Parameters):
    """What is to be done."""

    request_key: str = Field(
        pattern=r"^[A-Za-z0-9._:-]{8,100}$", description="Name of this request: made again, it does nothing twice."
    )
    comment: str | None = Field(None, min_length=1, max_length=500)
    again: bool = Field(False, description="Also where another request has replayed or discarded it.")
    dry_run: bool = Field(False, description="Only say what would be done.")


class ActionOutcome(Answer):
    """What the request meant for the letter."""

    id: str
    action: Action
    dry_run: bool
    plan: Plan = Field(description="DO, REPEAT, DONE; a dry run also tells what would be refused, and why.")
    sent: Place | None


@endpoint(
    "GET", "/dead-letters", needs=Permission.DEAD_LETTERS_READ, query=DeadLettersQuery, answers=DeadLetterPage,
    records="dead-letters.list", tag="Dead letters",
)  # fmt: skip
async def list_dead_letters(call: Call[DeadLettersQuery, None]) -> Reply:
    """Records that were refused, newest first, with the beginning of their bytes."""
    query = call.query
    order = DEAD_LETTER_ORDERS[query.sort]
    wanted = DeadLetterFilter(
        reasons=query.reason,
        topics=query.topic,
        actions=[_ACTIONS[state] for state in query.state],
        since=query.since,
        before=query.before,
    )
    after = position(query.after, query.sort, order.kinds)
    rows = await oversight.dead_letters(call.services.pool, wanted, query.sort, after, query.limit + 1)
    answer = page(rows, query.limit, order.key, query.sort)
    return Reply(answer | {"items": [_row(row) for row in answer["items"]]})


@endpoint(
    "GET", "/dead-letters/reasons", needs=Permission.DEAD_LETTERS_READ, answers=ReasonCounts, tag="Dead letters",
)  # fmt: skip
async def count_reasons(call: Call[Any, None]) -> Reply:
    """How many records were refused for which reason, and what was done about them."""
    services = call.services

    async def make() -> bytes:
        counts: dict[str, dict[str, Any]] = {}
        for row in await oversight.dead_letter_reasons(services.pool):
            count = counts.setdefault(
                row["reason"], {"reason": row["reason"], "open": 0, "replayed": 0, "discarded": 0}
            )
            count[_STATES[row["action"] or ""].lower()] = row["letters"]
        return orjson.dumps({"items": list(counts.values())})

    reached = await oversight.dead_letters_reached(services.pool, DEAD_LETTERS)
    return Reply(await services.cache.get(Category.STATS, f"dead-letters:{reached}", make))


@endpoint(
    "GET", "/dead-letters/{letter_id}", needs=Permission.DEAD_LETTERS_READ, answers=DeadLetter,
    records="dead-letters.read", tag="Dead letters",
)  # fmt: skip
async def read_dead_letter(call: Call[Any, None]) -> Reply:
    """One record that was refused, its bytes in hexadecimal and as escaped text, and what was done about it."""
    letter = _letter(call)
    row = await oversight.dead_letter(call.services.pool, *letter)
    if row is None:
        raise not_found("dead letter")
    done = await oversight.dead_letter_history(call.services.pool, *letter)
    finished = [each["action"] for each in done if each["done_at_ms"] is not None]
    shown = _row(row | {"action": finished[-1] if finished else None} | _heads(row))
    return Reply(
        shown
        | {
            "letter": place(DEAD_LETTERS, row["letter_partition"], row["letter_offset"]),
            "is_archived": row["is_archived"],
            "actions": [_done(each, letter.topic) for each in done],
        }
    )


@endpoint(
    "POST", "/dead-letters/{letter_id}/replay", needs=Permission.DEAD_LETTERS_REPLAY, body=ActionRequest, answers=ActionOutcome,
    records="dead-letters.replay", tag="Dead letters",
)  # fmt: skip
async def replay(call: Call[Any, ActionRequest]) -> Reply:
    """Send the record to its topic once more, byte for byte as it was.

    The worker decides on it anew; of an event that it has accepted since, it takes no copy. Where the answer is 503, it is
    not known whether the record was sent: make the same request again.
    """
    letter, request = _letter(call), _request(call, Action.REPLAY)
    if call.body.dry_run:
        return _outcome(call, letter, request, *await _planned(call, letter, request))
    return await call.services.replayer.carried(lambda: _replayed(call, letter, request))


async def _replayed(call: Call[Any, ActionRequest], letter: Letter, request: Request) -> Reply:
    found, plan = await _planned(call, letter, request)
    if plan in (Plan.DO, Plan.REPEAT):

        def sent(partition: int, offset: int) -> Entry:
            at = {"request_key": request.key, "partition": partition, "offset": offset}
            return _entry(call, "dead-letters.sent", letter, Outcome.ALLOWED, **at)

        failed = _entry(call, "dead-letters.sent", letter, Outcome.FAILED, request_key=request.key)
        await call.services.replayer.send(letter, request, sent, failed)
        async with call.services.pool.connection() as connection:
            found = await dead_letter_actions.asked(connection, letter, request) or found
    return _outcome(call, letter, request, found, plan)


@endpoint(
    "POST", "/dead-letters/{letter_id}/discard", needs=Permission.DEAD_LETTERS_REPLAY, body=ActionRequest, answers=ActionOutcome,
    records="dead-letters.discard", tag="Dead letters",
)  # fmt: skip
async def discard(call: Call[Any, ActionRequest]) -> Reply:
    """Mark the record as one that nothing will be done about. It stays where it is."""
    letter, request = _letter(call), _request(call, Action.DISCARD)
    found, plan = await _planned(call, letter, request)
    if not call.body.dry_run and plan is Plan.DO:
        DEAD_LETTER_ACTIONS.labels("discard").inc()
    return _outcome(call, letter, request, found, plan)


_REFUSED = {
    Plan.ALREADY: "Another request has replayed or discarded it, or is about to; `again` does it all the same.",
    Plan.KEY_TAKEN: "This request_key stands for another action on this letter; choose a new one.",
    Plan.NOTHING_TO_SEND: "The archive does not hold this record, or it has neither key nor value: there is nothing to send.",
}


async def _planned(call: Call[Any, ActionRequest], letter: Letter, request: Request) -> tuple[Asked, Plan]:
    """What the request means; entered, with its audit entry in the same transaction, unless it is a dry run. Raises Problem."""
    dry_run = call.body.dry_run
    async with call.services.pool.connection() as connection:
        if dry_run:
            asked = await dead_letter_actions.asked(connection, letter, request)
            found = None if asked is None else (asked, asked.plan(request))
        else:
            found = await dead_letter_actions.enter(connection, letter, request)
        if found is None:
            raise not_found("dead letter")
        plan = found[1]
        refused = _REFUSED.get(plan)
        entry = _entry(
            call,
            f"dead-letters.{request.action.lower()}",
            letter,
            Outcome.FAILED if refused else Outcome.ALLOWED,
            request_key=request.key,
            plan=plan.value,
            dry_run=dry_run,
        )
        await append(connection, [entry])
    if refused and not dry_run:
        raise Problem(HTTPStatus.CONFLICT, plan.lower().replace("_", "-"), refused)
    return found


def _entry(call: Call[Any, ActionRequest], action: str, letter: Letter, outcome: Outcome, **detail: Any) -> Entry:
    return call.trail.entry(call.who, action, _id(letter), outcome, **detail)


def _request(call: Call[Any, ActionRequest], action: Action) -> Request:
    return Request(action, call.body.request_key, call.who.username, call.body.again, call.body.comment)


def _outcome(call: Call[Any, ActionRequest], letter: Letter, request: Request, found: Asked, plan: Plan) -> Reply:
    return Reply(
        {
            "id": _id(letter),
            "action": request.action,
            "dry_run": call.body.dry_run,
            "plan": plan,
            "sent": None if found.sent is None else place(letter.topic, *found.sent),
        }
    )


def _letter(call: Call[Any, Any]) -> Letter:
    """The place that the path names. Raises Problem."""
    parts = _ID.fullmatch(call.path["letter_id"])
    if parts is None:
        raise not_found("dead letter")
    return Letter(parts[1], int(parts[2]), int(parts[3]))


def _id(letter: Letter) -> str:
    return f"{letter.topic}:{letter.partition}:{letter.offset}"


def _heads(row: Row) -> Row:
    """Of the bytes of one letter what is shown."""
    heads: Row = {}
    for name in ("key", "value"):
        data = row[name]
        heads[f"{name}_head"] = None if data is None else data[:BYTES_SHOWN_MAX]
        heads[f"{name}_bytes"] = None if data is None else len(data)
    return heads


def _row(row: Row) -> dict[str, Any]:
    at = (row["topic"], row["partition"], row["kafka_offset"])
    return {
        "id": _id(Letter(*at)),
        "place": place(*at),
        "reason": row["reason"],
        "detail": row["detail"],
        "schema_id": row["schema_id"],
        "state": _STATES[row["action"] or ""],
        "kafka_timestamp": moment(row["kafka_timestamp_ms"]),
        "failed_at": moment(row["failed_at_ms"]),
        "key": bytes_view(row["key_head"], row["key_bytes"]),
        "value": bytes_view(row["value_head"], row["value_bytes"]),
    }


def _done(row: Row, topic: str) -> dict[str, Any]:
    kept = ("action", "request_key", "actor", "comment")
    return {name: row[name] for name in kept} | {
        "asked_at": moment(row["asked_at_ms"]),
        "done_at": moment(row["done_at_ms"]),
        "sent": None if row["sent_offset"] is None else place(topic, row["sent_partition"], row["sent_offset"]),
    }
