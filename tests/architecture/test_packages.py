"""The packages with short names are ours, and each of their modules that registers something is found by a role."""

from __future__ import annotations

import ast
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from recon_stream import apps
from recon_stream.cli import COMMANDS
from tests.architecture.sources import HOME, PACKAGES, PYTHON, dotted, module_of, python_files, tree_of

REGISTERS = {"agent", "Table", "timer", "page", "task", "crontab", "mounts.append"}
ROLES = (apps.worker, apps.sink, apps.web)


def registers(path: str) -> bool:
    """Whether importing the module gives an application an agent, a table, a timer, a task or routes."""
    tree = tree_of(path)
    from_apps = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "recon_stream.apps"
        for alias in node.names
    }
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {dotted(call.func) for call in calls}
    return any(name == f"{app}.{what}" for name in names for app in from_apps for what in REGISTERS)


def test_roles_find_every_module_that_registers_something() -> None:
    """A name that is missing in autodiscover loses an agent without a word; a package's name does too."""
    found = [name for app in ROLES for name in app.conf.autodiscover]
    expected = {module_of(path) for path in python_files("agents", "tables", "recon_stream") if registers(path)}
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert {
        "agents.reconcile",
        "agents.account",
        "agents.archive",
        "tables.transactions",
        "recon_stream.web.server",
    } <= expected


def test_every_agent_file_registers_an_agent() -> None:
    """One file an agent, and nothing else in the folder."""
    assert [path for path in python_files("agents") if not path.endswith("__init__.py") and not registers(path)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_our_packages_stand_side_by_side(package: str) -> None:
    """Their short names are not taken by another distribution of this environment."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve().parent.parent == HOME


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != "recon_stream"])
def test_the_command_refuses_a_foreign_package(package: str, tmp_path: Path) -> None:
    """Another `agents` in front of ours would run silently in its place."""
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(HOME)!r}]; from recon_stream.cli import main; main()"
    )
    refused = subprocess.run(
        [PYTHON, "-c", program, "topics", "--help"], capture_output=True, text=True, timeout=60,
        cwd=tmp_path, env={"PATH": os.defpath},
    )  # fmt: skip
    assert refused.returncode == 2
    assert f"the package `{package}` is found in {tmp_path}" in refused.stderr
    assert "environment of its own" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers_to_help(name: str) -> None:
    """What the list of commands names is there, and its help says something."""
    answer = subprocess.run(
        [PYTHON, "-m", "recon_stream", name, "--help"],
        capture_output=True, text=True, timeout=60, cwd=HOME, env={"PATH": os.defpath},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) > 4
