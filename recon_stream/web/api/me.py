"""Who asks, and what they may do: the dashboard shows just that."""

from __future__ import annotations

from typing import Any

from recon_stream.security.roles import Permission
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Answer, Reply, endpoint
from recon_stream.web.times import moment


class RoleHeld(Answer):
    """A role; its level is shown and nothing follows from it."""

    name: str
    level: int


class Me(Answer):
    """The caller, as the token says."""

    username: str
    subject: str
    session: str
    roles: list[RoleHeld]
    permissions: list[str]
    expires_at: str


@endpoint("GET", "/me", needs=Permission.PROFILE, answers=Me, tag="Service")
async def me(call: Call[Any, None]) -> Reply:
    """Who you are here, and what you may do."""
    who = call.who
    return Reply(
        {
            "username": who.username,
            "subject": who.subject,
            "session": who.session_id,
            "roles": [{"name": role.value, "level": role.level} for role in sorted(who.roles, key=lambda r: -r.level)],
            "permissions": sorted(permission.value for permission in who.permissions),
            "expires_at": moment(who.expires_at * 1000),
        }
    )
