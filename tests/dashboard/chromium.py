"""The Chromium of the npm package, for Playwright: no browser of the machine is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

DASHBOARD = Path(__file__).parent.parent.parent / "dashboard"
_TELL = "import c from '@sparticuz/chromium'; console.log(await c.executablePath())"
# not those of the package: they put everything into one process and switch the security of the web off
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"]


def with_node() -> dict[str, str]:
    """The environment with the Node of our own packages before any other."""
    return dict(os.environ) | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@cache
def _chromium() -> str:
    told = subprocess.run(
        ["node", "--input-type=module", "-e", _TELL],
        cwd=DASHBOARD, env=with_node(), capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return told.stdout.strip()


@contextmanager
def browser() -> Iterator[Browser]:
    """Started, and ended on leaving."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=_chromium(), args=_ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


AXE = DASHBOARD / "node_modules" / "axe-core" / "axe.min.js"
_RUN_AXE = """() => axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})
    .then(found => found.violations.flatMap(v => v.nodes.slice(0, 3).map(n => v.id + " " + n.html.slice(0, 160))))"""


def violations(page: Any) -> list[str]:
    """What axe finds on the page, by the rules of WCAG 2.2 AA."""
    # by the debugger, which the page's policy does not bind
    page.evaluate(AXE.read_text())
    found: list[str] = page.evaluate(_RUN_AXE)
    return found
