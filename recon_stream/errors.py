"""Four families of errors, each with one consequence.

The docstring of a class is its message and ends with what to do; an instance adds the particulars.
"""

from __future__ import annotations


class ReconError(Exception):
    """Base of the errors that this product raises on purpose."""

    def __init__(self, detail: str = "") -> None:
        summary = " ".join((self.__class__.__doc__ or "").split())
        self.detail = detail
        super().__init__(f"{detail}. {summary}" if detail else summary)


class RejectedRecord(ReconError):
    """The record goes to recon_dead_letters; correct it at its source and send it again."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class TransientFailure(ReconError):
    """A dependency did not answer; the work is tried again, nothing is lost. Look at that service if it goes on."""


class ConfigurationError(ReconError):
    """The process refuses to start; correct the setting named here and start it again."""


class InvariantViolated(ReconError):
    """The worker stops, because going on could say something wrong; read the log before it, then restart it."""
