"""What people do with dead letters, written so that the same request, made again, does nothing twice."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from recon_stream.storage.pool import Connection
from recon_stream.storage.queries import QUERIES


class Letter(NamedTuple):
    """A dead letter, by the place of the record that it is about."""

    topic: str
    partition: int
    offset: int


class Action(StrEnum):
    """What can be done with one."""

    REPLAY = "REPLAY"
    DISCARD = "DISCARD"


class Plan(StrEnum):
    """What a request means for its letter."""

    DO = "DO"
    """It was never asked for before."""
    REPEAT = "REPEAT"
    """It was asked for by this very request, whose outcome is not known: a copy does no harm, the worker drops it."""
    DONE = "DONE"
    """This very request has done it."""
    ALREADY = "ALREADY"
    """Another request has replayed or discarded it, or was about to."""
    KEY_TAKEN = "KEY_TAKEN"
    """The name of the request stands for another action on this letter."""
    NOTHING_TO_SEND = "NOTHING_TO_SEND"
    """The archive does not hold the record, or it has neither key nor value."""


class Request(NamedTuple):
    """What somebody asks for."""

    action: Action
    key: str
    actor: str
    again: bool = False
    """Also where it was replayed or discarded already."""
    comment: str | None = None


class Asked(NamedTuple):
    """A letter as a request finds it. `own` is the action of this request's row, `other` that of the latest other one."""

    is_sendable: bool
    own: str | None
    is_done: bool
    """The row of this request says so."""
    sent: tuple[int, int] | None
    """Partition and offset of the replayed record."""
    other: str | None

    def plan(self, request: Request) -> Plan:
        """What the request means for it."""
        if self.own is not None:
            if self.own != request.action:
                return Plan.KEY_TAKEN
            return Plan.DONE if self.is_done else Plan.REPEAT
        if self.other is not None and not request.again:
            return Plan.ALREADY
        if request.action is Action.REPLAY and not self.is_sendable:
            return Plan.NOTHING_TO_SEND
        return Plan.DO


class Due(NamedTuple):
    """A replay that has not been done, with the bytes of the record."""

    action_id: int
    key: bytes | None
    value: bytes | None


async def asked(connection: Connection, letter: Letter, request: Request) -> Asked | None:
    """The letter as it stands; None where there is no such letter."""
    rows = await _rows(connection, "asked_dead_letter", letter._asdict() | {"request_key": request.key})
    if not rows:
        return None
    (row,) = rows
    sent = None if row["sent_offset"] is None else (row["sent_partition"], row["sent_offset"])
    return Asked(row["is_sendable"], row["own_action"], row["is_done"], sent, row["other_action"])


async def enter(connection: Connection, letter: Letter, request: Request) -> tuple[Asked, Plan] | None:
    """Decide what the request means, and write down what it will do, within the caller's transaction.

    A discard is done with that; a replay is due (see `due`). Requests wait for each other until the transaction ends.
    None where there is no such letter.
    """
    await connection.execute(QUERIES["lock_dead_letter_actions"])
    found = await asked(connection, letter, request)
    if found is None:
        return None
    plan = found.plan(request)
    if plan is Plan.DO:
        values = {
            "action": request.action.value,
            "request_key": request.key,
            "actor": request.actor,
            "comment": request.comment,
        }
        await connection.execute(QUERIES["save_dead_letter_action"], letter._asdict() | values)
    return found, plan


async def due(connection: Connection, letter: Letter, request: Request) -> Due | None:
    """The replay of this request, locked until the caller's transaction ends; None where it has been done."""
    rows = await _rows(connection, "due_replay", letter._asdict() | {"request_key": request.key})
    return Due(**rows[0]) if rows else None


async def replayed(connection: Connection, action_id: int, partition: int, offset: int) -> None:
    """The record stands at that place of its topic now."""
    values = {"action_id": action_id, "sent_partition": partition, "sent_offset": offset}
    await connection.execute(QUERIES["save_replayed"], values)


async def _rows(connection: Connection, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(QUERIES[statement], values)
        return await cursor.fetchall()
