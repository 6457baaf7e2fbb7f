"""What a check of `doctor` says, and how checks run: all at once, each with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from recon_stream.errors import ReconError
from recon_stream.settings import Settings

CHECK_TIMEOUT: Final = 3.0
"""Seconds for all that one check asks of its dependency."""
_CANCEL_TIMEOUT: Final = 0.5


class State(StrEnum):
    """How a thing stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, what was seen, what to do (empty when all is well)."""

    area: str
    name: str
    state: State
    seen: str
    advice: str = ""


@dataclass(slots=True)
class Report:
    """Collects the findings of one area, so that what was found before a timeout is kept."""

    area: str
    findings: list[Finding] = field(default_factory=list)

    def ok(self, name: str, seen: str) -> None:
        """All is well."""
        self.findings.append(Finding(self.area, name, State.OK, seen))

    def warn(self, name: str, seen: str, advice: str) -> None:
        """It works, and somebody should look at it."""
        self.findings.append(Finding(self.area, name, State.WARN, seen, advice))

    def fail(self, name: str, seen: str, advice: str) -> None:
        """Something will not work."""
        self.findings.append(Finding(self.area, name, State.FAIL, seen, advice))


@dataclass(frozen=True, slots=True)
class Check:
    """One area: `run` adds to the report; `advice` is what to do where it does not answer or breaks off."""

    area: str
    run: Callable[[Settings, Report], Awaitable[None]]
    advice: str


async def examine(settings: Settings, checks: tuple[Check, ...], seconds: float = CHECK_TIMEOUT) -> list[Finding]:
    """Run all checks at once and return their findings in the order of the checks; never longer than the bound."""
    reports = [Report(check.area) for check in checks]
    tasks = [
        asyncio.create_task(_guarded(check, settings, report)) for check, report in zip(checks, reports, strict=True)
    ]
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for check, report, task in zip(checks, reports, tasks, strict=True):
        if task in late:
            task.cancel()
            report.fail("answer", f"none within {seconds:.0f} s", check.advice)
    if late:
        # a client that hangs in its own close must not make us hang
        await asyncio.wait(late, timeout=_CANCEL_TIMEOUT)
    return [finding for report in reports for finding in report.findings]


async def _guarded(check: Check, settings: Settings, report: Report) -> None:
    try:
        await check.run(settings, report)
    except ReconError as error:
        report.fail("answer", error.detail, check.advice)
    except Exception as error:
        # one broken check must not hide what the others found
        report.fail("answer", short(error), check.advice)


def short(error: BaseException) -> str:
    """The error in one line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def worst(findings: list[Finding]) -> State:
    """The gravest state among them."""
    states = {finding.state for finding in findings}
    return State.FAIL if State.FAIL in states else State.WARN if State.WARN in states else State.OK
