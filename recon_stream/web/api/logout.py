"""Where Keycloak says that a session has ended."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from recon_stream.security.logout import ended_session
from recon_stream.security.tokens import TOKEN_CHARACTERS_MAX, Reason, Unauthenticated
from recon_stream.web.call import Call
from recon_stream.web.endpoints import Nothing, Parameters, Reply, endpoint
from recon_stream.web.problems import Fault, Problem, invalid
from recon_stream.web.trail import SESSION_END


class Logout(Parameters):
    """The form of OpenID Connect Back-Channel Logout; what else is in it is passed over, as that says."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    logout_token: str = Field(min_length=1, max_length=TOKEN_CHARACTERS_MAX)


@endpoint(
    "POST", "/backchannel-logout", needs=None, body=Logout, body_media="application/x-www-form-urlencoded", media=(),
    status=204, is_limited=False, tag="Service",
)  # fmt: skip
async def end_session(call: Call[Nothing, Logout]) -> Reply:
    """For Keycloak alone, which posts a logout token here when somebody logs out or is logged out.

    The session's access tokens are refused from then on, and its websockets end within about a second, at every process.
    """
    services = call.services
    try:
        ended = await ended_session(call.body.logout_token, services.verifier)
    except Unauthenticated as error:
        raise _refused(call, error.reason) from None
    before = await services.ended.end(ended.session_id, ended.token_id)
    if before == ended.token_id:
        raise _refused(call, Reason.REPLAYED)
    if before is None:
        # the other client may have told of the same end
        call.trail.ended(ended)
    return Reply(b"", 204)


def _refused(call: Call[Nothing, Logout], reason: Reason) -> Problem:
    call.trail.unknown(reason.value, SESSION_END)
    return invalid([Fault("body", "logout_token", "is no logout token, or was used before")])
