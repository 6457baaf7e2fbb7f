"""The endpoints, a module a subject. Importing this registers them all."""

from recon_stream.web.api import (
    audit,
    dashboard,
    dead_letters,
    documents,
    health,
    live,
    logout,
    me,
    mismatches,
    operating,
    reports,
    stats,
    transactions,
    users,
)

__all__ = [
    "audit",
    "dashboard",
    "dead_letters",
    "documents",
    "health",
    "live",
    "logout",
    "me",
    "mismatches",
    "operating",
    "reports",
    "stats",
    "transactions",
    "users",
]
