"""What to do about the errors of PostgreSQL and Redis, by what their clients say. Anything else has the general advice."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from redis.exceptions import AuthenticationError, NoPermissionError

from recon_stream.settings import Settings

_PASSWORD: Final = "check the password in {name}, or POSTGRES_PASSWORD"  # noqa: S105 a sentence
_AUTHORITY: Final = "add sslrootcert=FILE with the authority that signed the server's certificate to {name}"
_DATABASE: Final = (
    ("password authentication failed", _PASSWORD),
    ("no password supplied", _PASSWORD),
    ("does not match host name", "use a name in {name} that stands in the server's certificate"),
    ("certificate verify failed", _AUTHORITY),
    ("root certificate file", _AUTHORITY),
    ("does not support SSL", "switch TLS on at the server, or take sslmode out of {name}"),
    ("no encryption", "add sslmode=verify-full to {name}: the server takes nobody without TLS"),
    ("no pg_hba.conf entry", "let this machine and role in by the server's pg_hba.conf, or correct {name}"),
    ("resolve host", "correct the host in {name}"),
)


def database_advice(said: str, name: str, url: str) -> str:
    """What to do about an error of a connection by the URL of the variable `name`."""
    found = next((advice for part, advice in _DATABASE if part in said), None)
    return found.format(name=name) if found else f"start PostgreSQL, or correct {name} ({_place(url)})"


def _place(url: str) -> str:
    """Host, port and database of a URL, without its password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'local socket'}:{parts.port or 5432}{parts.path}"


def redis_advice(settings: Settings, error: BaseException) -> str:
    """What to do about an error of the client of settings.redis_url."""
    said = str(error)
    if isinstance(error, AuthenticationError) or "NOAUTH" in said:
        return "check REDIS_PASSWORD, and the user in REDIS_URL"
    if isinstance(error, NoPermissionError):
        return "let the user in REDIS_URL run the commands that docs/security.md lists"
    if "certificate is not valid for" in said:
        return "use a name in REDIS_URL that stands in the server's certificate"
    if "certificate verify failed" in said:
        return "add ?ssl_ca_certs=FILE with the authority that signed the server's certificate to REDIS_URL"
    if "connecting to" in said and "timeout" not in said.lower() and "SSL" not in said:
        return "start it or correct REDIS_URL; for a local one run `recon-stream stack up`"
    if settings.redis_url.startswith("rediss:"):
        return "see that it is well; where it has no TLS, REDIS_URL begins with redis://"
    return "see that it is well; where it has TLS, REDIS_URL begins with rediss://"
