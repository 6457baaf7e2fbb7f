"""One line an entry, as key=value or JSON, with role and index; no secret in any of them."""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import fields
from urllib.parse import unquote, urlsplit

from recon_stream.settings import Settings

# Their INFO is about themselves; aiokafka's DEBUG alone cost 7 % of all samples at a low rate.
QUIET = ("aiokafka", "faust", "mode", "aiohttp.access", "asyncio")
SECRET_LENGTH_MIN = 4


def set_up_logging(settings: Settings, role: str) -> None:
    """Write everything to standard error; call it before any client is made."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(settings, role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.DEBUG if settings.log_level == "DEBUG" else logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """What must never be written: values of secret settings, and of URLs among them only the password."""
    secrets: set[str] = set()
    for field in fields(settings):
        value = getattr(settings, field.name)
        if not field.metadata["secret"] or not value:
            continue
        if "://" in value:
            password = urlsplit(value).password
            secrets |= {password, unquote(password)} if password else set()
        else:
            secrets.add(value)
    return tuple(sorted((s for s in secrets if len(s) >= SECRET_LENGTH_MIN), key=len, reverse=True))


class LineFormatter(logging.Formatter):
    """`time level role-index logger message …`, or the same as a JSON object."""

    def __init__(self, settings: Settings, role: str) -> None:
        super().__init__()
        self._role, self._index = role, settings.process_index
        self._json = settings.log_format == "json"
        self._secrets = secrets_of(settings)

    def format(self, record: logging.LogRecord) -> str:
        """The one line."""
        entry: dict[str, str | int] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "role": self._role,
            "index": self._index,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        line = json.dumps(entry, ensure_ascii=False) if self._json else _as_text(entry)
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line


def _as_text(entry: dict[str, str | int]) -> str:
    return " ".join(f"{key}={_quoted(value)}" for key, value in entry.items())


def _quoted(value: str | int) -> str:
    text = str(value)
    return (
        text
        if text and text.isprintable() and not set(text) & {" ", '"', "="}
        else json.dumps(text, ensure_ascii=False)
    )
