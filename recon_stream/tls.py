"""TLS contexts for clients of the services."""

from __future__ import annotations

import contextlib
import ssl

from recon_stream.errors import ConfigurationError


class PromptlyClosed(ssl.SSLObject):
    """A side of a TLS connection that says it closes and does not wait for the other side to say so too (RFC 8446, 6.1).

    The loops wait 30 seconds for that word, and a broker with an answer under way never gives it: a role did not stop in time.
    """

    def unwrap(self) -> None:
        """Put the alert into the outgoing buffer."""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLSyscallError):
            super().unwrap()


def trusting(cafile: str, name: str) -> ssl.SSLContext:
    """A TLS context for clients that trusts the authorities in a PEM file; the system's where no file is given.

    Raises ConfigurationError that names the variable where the file holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=cafile or None)
    except OSError as error:
        raise ConfigurationError(f"{name}={cafile} is no certificate in PEM: {error}") from error
