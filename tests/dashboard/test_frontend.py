"""The dashboard's own checks: types, lint, unit tests, and that its idea of the API is the API's."""

from __future__ import annotations

import subprocess

import pytest

from tests.dashboard.chromium import DASHBOARD, with_node

pytestmark = pytest.mark.timeout(300)


def npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One call, in the dashboard's folder."""
    return subprocess.run(
        ["npm", "run", "--silent", *arguments],
        cwd=DASHBOARD, env=with_node() | {"NO_COLOR": "1"}, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("script", ["check", "test"])
def test_types_lint_and_unit_tests(script: str) -> None:
    """`npm run check` and `npm test` are quiet."""
    done = npm(script)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_the_types_of_the_api_are_those_of_its_document() -> None:
    """`npm run api` would change nothing."""
    generated = subprocess.run(
        ["npx", "openapi-typescript", "../docs/openapi.json"],
        cwd=DASHBOARD, env=with_node(), capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    assert (DASHBOARD / "src/api/schema.d.ts").read_text().strip() == generated.strip(), "npm run api"
