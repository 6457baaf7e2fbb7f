"""What one request leaves in the audit trail."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from recon_stream.security.audit import Entry, Outcome
from recon_stream.security.logout import EndedSession
from recon_stream.security.tokens import Principal
from recon_stream.web.answering import REQUEST_ID
from recon_stream.web.endpoints import Endpoint
from recon_stream.web.services import Services

NOBODY = "-"
SESSION_END = "session.end"
OBJECT_CHARACTERS_MAX = 600


class Trail:
    """Knows the request; told what became of it."""

    def __init__(self, services: Services, endpoint: Endpoint, request: web.Request, address: str) -> None:
        self._services, self._endpoint, self._address = services, endpoint, address
        self._request_id: str = request[REQUEST_ID]

    def entry(self, principal: Principal | None, action: str, thing: str, outcome: Outcome, **detail: Any) -> Entry:
        """An entry about this request; an action that changes something appends it within its own transaction."""
        return Entry(
            actor=principal.username if principal else NOBODY,
            role=",".join(sorted(principal.roles)) if principal else NOBODY,
            action=action,
            object=thing[:OBJECT_CHARACTERS_MAX],
            outcome=outcome,
            address=self._address,
            session=principal.session_id if principal else NOBODY,
            request_id=self._request_id,
            # names may change hands
            detail={"subject": principal.subject, **detail} if principal else detail,
        )

    def read(self, principal: Principal, action: str, path: Mapping[str, str], filters: Mapping[str, Any]) -> None:
        """Somebody's data is about to be shown; `filters` without account numbers. Raises AuditAway."""
        thing = "/".join(path.values()) or self._endpoint.path
        detail = {"filters": filters} if filters else {}
        self._services.audit.note(self.entry(principal, action, thing, Outcome.ALLOWED, **detail))

    def refused(self, principal: Principal, action: str, **detail: Any) -> None:
        """Known, and not allowed."""
        self._refuse(self.entry(principal, action, self._endpoint.path, Outcome.DENIED, **detail))

    def unknown(self, reason: str, action: str = "authenticate") -> None:
        """A token that does not hold."""
        self._refuse(self.entry(None, action, self._endpoint.path, Outcome.DENIED, reason=reason))

    def ended(self, ended: EndedSession) -> None:
        """Keycloak says that somebody's session is over. Raises AuditAway."""
        entry = self.entry(
            None, SESSION_END, ended.session_id, Outcome.ALLOWED, subject=ended.subject, client=ended.client
        )
        self._services.audit.note(replace(entry, session=ended.session_id))

    def _refuse(self, entry: Entry) -> None:
        written = self._services.denials.note(entry, time.monotonic())
        if written is not None:
            self._services.audit.note(written)
