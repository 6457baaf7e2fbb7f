"""What is written, and what never is."""

from __future__ import annotations

import logging

from recon_stream.process.logs import LineFormatter
from recon_stream.settings import Settings


def test_no_secret_is_ever_written():
    """Passwords are taken out of messages and of tracebacks, also where they stand in a URL."""
    settings = Settings(
        redis_password="hunter-two", database_url="postgresql://recon:p%40ssw0rd@db/recon", log_format="json"
    )
    formatter = LineFormatter(settings, "sink")
    error = RuntimeError("connecting to postgresql://recon:p%40ssw0rd@db/recon with hunter-two failed, p@ssw0rd")
    record = logging.LogRecord("x", logging.ERROR, "", 0, "%s", (error,), (type(error), error, None))
    line = formatter.format(record)
    for secret in ("hunter-two", "p%40ssw0rd", "p@ssw0rd"):
        assert secret not in line
    assert "postgresql://recon:***@db/recon" in line


def test_an_entry_is_one_line():
    """Line breaks in a message are written as \\n."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "two\nlines", (), None)
    assert LineFormatter(Settings(), "worker").format(record).count("\n") == 0
