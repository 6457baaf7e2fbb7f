"""The checkers that read the code without running it have nothing to say."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.architecture.sources import HOME, PYTHON


@pytest.mark.parametrize(
    "check",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["lint", "format", "types"],
)
def test_checkers_find_nothing(check: list[str]) -> None:
    """ruff's rules and format everywhere, mypy in strict mode over the packages."""
    module, *arguments = check
    result = subprocess.run(
        [PYTHON, "-m", module, *arguments],
        cwd=HOME, env={"PATH": os.defpath, "HOME": os.path.expanduser("~")}, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
