"""What can be subscribed to, who may, and which records a filter lets through. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field

from recon_stream.domain.breaks import BreakClass, Subject
from recon_stream.domain.event import Verdict
from recon_stream.security.roles import Permission
from recon_stream.storage.values import identifier
from recon_stream.topics import DEAD_LETTERS, MISMATCHES, RESULTS
from recon_stream.web.endpoints import Parameters


class Channel(StrEnum):
    """A kind of messages."""

    STATS = "stats"
    STATUS = "status"
    RESULTS = "results"
    MISMATCHES = "mismatches"
    DEAD_LETTERS = "dead_letters"

    @property
    def needs(self) -> Permission:
        """The permission that the same data need over REST."""
        return _NEEDS[self]


_NEEDS: Final = {
    Channel.STATS: Permission.STATS_READ,
    Channel.STATUS: Permission.STATS_READ,
    Channel.RESULTS: Permission.TRANSACTIONS_READ,
    Channel.MISMATCHES: Permission.TRANSACTIONS_READ,
    Channel.DEAD_LETTERS: Permission.DEAD_LETTERS_READ,
}
TOPICS: Final = {
    Channel.RESULTS: RESULTS,
    Channel.MISMATCHES: MISMATCHES,
    Channel.DEAD_LETTERS: DEAD_LETTERS,
}
"""Channel -> the topic whose records it carries; the others carry what is told once a second."""
_OF_RESULTS: Final = ("verdict", "class", "source", "currency", "txn_id")
_FILTERS: Final = {
    Channel.RESULTS: _OF_RESULTS,
    Channel.MISMATCHES: _OF_RESULTS,
    Channel.DEAD_LETTERS: ("source",),
}


class Filter(Parameters):
    """What is wanted of a channel; an empty list wants everything. Of a list any, of several lists each must fit.

    Class and source must fit the same break.
    """

    verdict: tuple[Verdict, ...] = Field((), max_length=6, description="Any of these verdicts.")
    break_class: tuple[BreakClass, ...] = Field(
        (), alias="class", max_length=11, description="A break of any of these classes."
    )
    source: tuple[Subject, ...] = Field(
        (), max_length=4, description="A break whose subject is any of these; of a dead letter, the feed it came from."
    )
    currency: tuple[Annotated[str, Field(pattern=r"^[A-Z]{3}$")], ...] = Field(
        (), max_length=20, description="Any of these currencies."
    )
    txn_id: tuple[Annotated[str, Field(min_length=1, max_length=512)], ...] = Field(
        (), max_length=20, description="Any of these transactions."
    )

    def foreign_to(self, channel: Channel) -> list[str]:
        """Names of the lists that say nothing about this channel."""
        given = self.model_dump(by_alias=True, exclude_defaults=True)
        return [name for name in given if name not in _FILTERS.get(channel, ())]

    def fits(self, facts: Facts) -> bool:
        """Whether a record is wanted."""
        return (
            (not self.txn_id or facts.txn_id in self.txn_id)
            and (not self.verdict or facts.verdict in self.verdict)
            and (not self.currency or facts.currency in self.currency)
            and (not (self.break_class or self.source) or any(map(self._fits_break, facts.breaks)))
        )

    def _fits_break(self, found: tuple[str | None, str]) -> bool:
        break_class, source = found
        return (not self.break_class or break_class in self.break_class) and (not self.source or source in self.source)


EVERYTHING: Final = Filter.model_validate({})


class Facts(NamedTuple):
    """What a filter and the figures of the second look at."""

    verdict: str | None
    currency: str | None
    breaks: frozenset[tuple[str | None, str]]
    """Class and source of each; of a dead letter, no class and its feed."""
    decided_at: int | None
    """Epoch milliseconds; of verdicts."""
    txn_id: str | None
    """As the lists show it."""


def facts_of(channel: Channel, record: dict[str, Any]) -> Facts:
    """Of a decoded record: ReconciliationResult or DeadLetter.

    Results go by their open breaks, as the list of transactions does; mismatches by all of them, or nobody who looks at one class
    would be told that such a break was closed.
    """
    if channel is Channel.DEAD_LETTERS:
        return Facts(None, None, frozenset({(None, record["topic"].removesuffix("_txns").upper())}), None, None)
    breaks = [each for each in record["breaks"] if channel is Channel.MISMATCHES or each["state"] == "OPEN"]
    return Facts(
        record["verdict"],
        record["currency"],
        frozenset((each["class"], each["subject"]) for each in breaks),
        record["decided_at"],
        identifier(record["txn_id"]),
    )
