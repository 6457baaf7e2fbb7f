"""Who may use the product, and who is logged in."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import Field

from recon_stream.redis.cache import Category
from recon_stream.security.roles import Permission
from recon_stream.security.users import Session, User
from recon_stream.web.api.me import RoleHeld
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Answer, Reply, endpoint
from recon_stream.web.times import moment


class SessionView(Answer):
    """A log-in that goes on."""

    client: str = Field(description="At which of the two clients.")
    started_at: str
    last_access_at: str = Field(description="When it last got tokens.")
    address: str = Field(description="From where, as Keycloak saw it.")


class UserView(Answer):
    """Somebody with a role of the product. Keycloak knows more of them; it is not shown here."""

    username: str
    subject: str = Field(description="The same for good, where names may change hands; the audit trail has it too.")
    enabled: bool = Field(description="False: an administrator has shut them out.")
    created_at: str | None = Field(description="Null where Keycloak does not know.")
    roles: list[RoleHeld] = Field(description="Those that tokens name, whether given to them, to a group or by a role.")
    sessions: list[SessionView] = Field(description="Those used last first.")


class UserList(Answer):
    """All of them, by their names."""

    items: list[UserView]
    next: None = Field(description="Always null: there is one page.")
    is_complete: bool = Field(description="False: there are more users, groups or sessions than are asked for.")


@endpoint(
    "GET", "/admin/users", needs=Permission.ADMIN_READ, answers=UserList, records="admin.users", tag="Administration",
)  # fmt: skip
async def list_users(call: Call[Any, None]) -> Reply:
    """The users who have a role here, and where they are logged in, as Keycloak has it."""

    async def make() -> bytes:
        users, is_complete = await call.services.directory.users()
        return orjson.dumps({"items": [_user(user) for user in users], "next": None, "is_complete": is_complete})

    return Reply(await call.services.cache.get(Category.STATUS, "users", make))


def _user(user: User) -> dict[str, Any]:
    return {
        "username": user.username,
        "subject": user.subject,
        "enabled": user.is_enabled,
        "created_at": moment(user.created_ms),
        "roles": [{"name": role.value, "level": role.level} for role in sorted(user.roles, key=lambda r: -r.level)],
        "sessions": [_session(each) for each in sorted(user.sessions, key=lambda s: -s.last_access_ms)],
    }


def _session(session: Session) -> dict[str, Any]:
    return {
        "client": session.client,
        "started_at": moment(session.started_ms),
        "last_access_at": moment(session.last_access_ms),
        "address": session.address,
    }
