"""The table of permissions: what each role may. Guard, documents, dashboard and tests read it here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    """A role of the realm; a person may have several and may what any of them may."""

    ADMIN = "admin"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    VIEWER = "viewer"

    @property
    def level(self) -> int:
        """A number that people know the role by; it is shown, and nothing is derived from it."""
        return _LEVELS[self]


_LEVELS: Final = {Role.ADMIN: 100, Role.AUDITOR: 75, Role.OPERATOR: 50, Role.VIEWER: 25}


class Permission(StrEnum):
    """One thing that somebody may."""

    STATS_READ = "stats:read"
    TRANSACTIONS_READ = "transactions:read"
    ACCOUNTS_READ = "accounts:read"
    RAW_READ = "raw:read"
    BREAKS_WORK = "breaks:work"
    DEAD_LETTERS_READ = "dead-letters:read"
    DEAD_LETTERS_REPLAY = "dead-letters:replay"
    EXPORT = "export"
    AUDIT_READ = "audit:read"
    REPORTS_READ = "reports:read"
    ADMIN_READ = "admin:read"
    ADMIN_WRITE = "admin:write"
    PROFILE = "profile"

    @property
    def about(self) -> str:
        """What it allows, in words."""
        return _TABLE[self][0]


_EVERYBODY: Final = frozenset(Role)
_ALL_BUT_VIEWERS: Final = _EVERYBODY - {Role.VIEWER}
_WORKERS: Final = frozenset({Role.ADMIN, Role.OPERATOR})
_OVERSEERS: Final = frozenset({Role.ADMIN, Role.AUDITOR})

_TABLE: Final[Mapping[Permission, tuple[str, frozenset[Role]]]] = {
    Permission.STATS_READ: ("see statistics and the health of the feeds", _EVERYBODY),
    Permission.TRANSACTIONS_READ: ("read transactions and mismatches", _EVERYBODY),
    Permission.ACCOUNTS_READ: ("see account numbers in full, not masked", _ALL_BUT_VIEWERS),
    Permission.RAW_READ: ("read raw events and the bytes that are the evidence", _ALL_BUT_VIEWERS),
    Permission.BREAKS_WORK: ("work on breaks, approve another's resolution", _WORKERS),
    Permission.DEAD_LETTERS_READ: ("list and read dead letters", _ALL_BUT_VIEWERS),
    Permission.DEAD_LETTERS_REPLAY: ("replay and discard dead letters", _WORKERS),
    Permission.EXPORT: ("export", _ALL_BUT_VIEWERS),
    Permission.AUDIT_READ: ("read, verify and export the audit trail", _OVERSEERS),
    Permission.REPORTS_READ: ("read reports", _OVERSEERS),
    Permission.ADMIN_READ: ("see users, sessions of others, rules and system health", _OVERSEERS),
    Permission.ADMIN_WRITE: ("change users, sessions of others and rules, pause a feed", frozenset({Role.ADMIN})),
    Permission.PROFILE: ("see the own profile, end own sessions", _EVERYBODY),
}

PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {role: frozenset(permission for permission, (_, roles) in _TABLE.items() if role in roles) for role in Role}
)
"""Role -> what it may."""


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """What a person with these roles may."""
    return frozenset().union(*(PERMISSIONS[role] for role in roles))
