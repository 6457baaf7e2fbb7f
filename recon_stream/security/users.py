"""Who may use the product, as Keycloak has it: users with a role of ours, and their sessions at our clients.

The API's service account asks. A list of who may is worth little where somebody is missing, so a role counts however it comes, as it does
in tokens: given to the user, to one of their groups or a group above that, or contained in another role of the realm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from keycloak import KeycloakOpenIDConnection
from keycloak.exceptions import KeycloakError

from recon_stream.errors import TransientFailure
from recon_stream.security.roles import Role
from recon_stream.settings import Settings

SECONDS: Final = 5
"""In which Keycloak must have told everything."""
ROWS_MAX: Final = 1000
"""Of one answer: users of a role, sessions at a client, and so on."""
GROUPS_MAX: Final = 100
"""Groups that are looked into, each of which costs two questions."""
LOGGED_IN_MAX: Final = 300
"""Users whose sessions are asked for, each by a question: what tells those of a client at once would tell the secrets of clients too."""
AT_ONCE: Final = 8
_DETAIL_CHARACTERS_MAX: Final = 300
_NEEDED: Final = {"roles": "view-realm and view-users", "groups": "view-users", "users": "view-users"}
"""What is asked about -> the roles of realm-management without which Keycloak answers 403."""


class UsersAway(TransientFailure):
    """Keycloak does not tell who may use the product. Look at it, and at the client of the API and its service account (docs/security.md)."""


@dataclass(frozen=True, slots=True)
class Session:
    """A log-in that goes on, at one of our clients; instants in milliseconds of the epoch."""

    client: str
    started_ms: int
    last_access_ms: int
    address: str


@dataclass(slots=True)
class User:
    """Somebody with a role of ours. `created_ms` in milliseconds of the epoch; None where Keycloak does not know."""

    username: str
    subject: str
    is_enabled: bool
    created_ms: int | None
    roles: frozenset[Role] = frozenset()
    sessions: list[Session] = field(default_factory=list)


class Directory:
    """The users of the realm in the settings."""

    def __init__(self, settings: Settings) -> None:
        self._connection = KeycloakOpenIDConnection(
            # without the slash a path in the address would be left out
            server_url=f"{settings.keycloak_server_url.rstrip('/')}/",
            realm_name=settings.keycloak_realm,
            client_id=settings.keycloak_client_id,
            client_secret_key=settings.keycloak_client_secret,
            grant_type="client_credentials",
            verify=settings.keycloak_cafile or True,
            timeout=SECONDS,
        )
        self._clients = {settings.keycloak_client_id, settings.dashboard_client_id}

    async def close(self) -> None:
        """End the connections; the one for tokens is another."""
        await self._connection.aclose()
        await self._connection.keycloak_openid.connection.aclose()

    async def users(self) -> tuple[list[User], bool]:
        """All of them by their names, and whether they are all. Raises UsersAway."""
        look = _Look(self._connection)
        try:
            async with asyncio.timeout(SECONDS):
                await look.at_roles()
                await look.at_sessions(self._clients)
        except TimeoutError:
            raise UsersAway(f"it has not told everything within {SECONDS} s") from None
        except (KeycloakError, ValueError, TypeError, KeyError) as error:
            # the last three: something else answers in its place
            said = " ".join(str(error.__cause__ or error).split())
            raise UsersAway(said[:_DETAIL_CHARACTERS_MAX] or type(error).__name__) from error
        return sorted(look.users.values(), key=lambda user: user.username), look.is_complete


class _Look:
    """One look at all of it, with few questions at a time: Keycloak has log-ins to see to as well."""

    def __init__(self, connection: KeycloakOpenIDConnection) -> None:
        self.users: dict[str, User] = {}
        self.is_complete = True
        self._connection = connection

    async def at_roles(self) -> None:
        """Find the users."""
        named = await self._rows("roles")
        contained = {
            role["name"]: [
                each["name"]
                for each in await self._rows(f"{_path_of(role['name'])}/composites")
                if not each["clientRole"]
            ]
            for role in named
            if role["composite"]
        }
        groups: list[tuple[str, frozenset[Role]]] = []
        for role in named:
            given = given_by(role["name"], contained)
            if given:
                path = _path_of(role["name"])
                self._add(await self._rows(f"{path}/users"), given)
                groups += [(group["id"], given) for group in await self._rows(f"{path}/groups")]
        await self._at_groups(groups)

    async def _at_groups(self, groups: list[tuple[str, frozenset[Role]]]) -> None:
        seen: dict[str, frozenset[Role]] = {}
        while groups:
            group, given = groups.pop()
            before = seen.get(group, frozenset())
            if given <= before:
                continue
            if group not in seen and len(seen) == GROUPS_MAX:
                self.is_complete = False
                return
            seen[group] = before | given
            self._add(await self._rows(f"groups/{group}/members"), given)
            groups += [(child["id"], given) for child in await self._rows(f"groups/{group}/children")]

    async def at_sessions(self, clients: Set[str]) -> None:
        """Find where the users are logged in."""
        users = list(self.users.values())
        self.is_complete &= len(users) <= LOGGED_IN_MAX
        for first in range(0, min(len(users), LOGGED_IN_MAX), AT_ONCE):
            some = users[first : min(first + AT_ONCE, LOGGED_IN_MAX)]
            await asyncio.gather(*(self._at_sessions_of(user, clients) for user in some))

    async def _at_sessions_of(self, user: User, clients: Set[str]) -> None:
        for row in await self._rows(f"users/{user.subject}/sessions"):
            user.sessions += [
                Session(name, row["start"], row["lastAccess"], row.get("ipAddress", ""))
                for name in sorted(clients & set(row["clients"].values()))
            ]

    def _add(self, rows: Iterable[Mapping[str, Any]], given: frozenset[Role]) -> None:
        for row in rows:
            fresh = User(row["username"], row["id"], row["enabled"], row.get("createdTimestamp"))
            self.users.setdefault(row["id"], fresh).roles |= given

    async def _rows(self, path: str, **query: str) -> list[dict[str, Any]]:
        """One answer, which is cut where it is too long. Raises UsersAway."""
        address = f"admin/realms/{self._connection.realm_name}/{path}"
        answer = await self._connection.a_raw_get(address, first=0, max=ROWS_MAX + 1, **query)
        if answer.status_code == 403:
            needed = _NEEDED[path.partition("/")[0]]
            raise UsersAway(
                f"the service account of {self._connection.client_id} lacks {needed} of realm-management ({address})"
            )
        if answer.status_code != 200:
            raise UsersAway(f"{address} is answered {answer.status_code}")
        rows: list[dict[str, Any]] = answer.json()
        self.is_complete &= len(rows) <= ROWS_MAX
        return rows[:ROWS_MAX]


def given_by(name: str, contained: Mapping[str, Iterable[str]]) -> frozenset[Role]:
    """The roles of ours that somebody has by a role of the realm; `contained`: role -> those that it contains."""
    reached, ahead = set(), [name]
    while ahead:
        one = ahead.pop()
        if one not in reached:
            reached.add(one)
            ahead += contained.get(one, ())
    return frozenset(role for role in Role if role.value in reached)


def _path_of(role: str) -> str:
    return f"roles/{quote(role, safe='')}"
