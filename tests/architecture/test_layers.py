"""Imports point down: every module has a layer, and the contracts of setup.cfg hold and are seen to hold."""

from __future__ import annotations

import os
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.architecture.sources import HOME, PACKAGES, PYTHON, module_of, python_files

LINT_IMPORTS = PYTHON.with_name("lint-imports")


def contract(name: str) -> dict[str, str]:
    """A contract of import-linter as it stands in setup.cfg."""
    parser = ConfigParser(interpolation=None)
    parser.read(HOME / "setup.cfg")
    return dict(parser[f"importlinter:contract:{name}"])


def layers() -> list[list[str]]:
    """The layers from the top, optional modules in parentheses."""
    return [[module.strip() for module in line.split("|")] for line in contract("layers")["layers"].split("\n") if line]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages of a folder."""
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--config", "setup.cfg"],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The packages and their contracts, in a place where they may be spoilt."""
    for package in PACKAGES:
        shutil.copytree(HOME / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HOME / "setup.cfg", tmp_path)
    return tmp_path


def test_imports_point_down() -> None:
    """Layers, independence of the agents, and a domain without I/O, clock and chance."""
    result = lint(HOME)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("recon_stream/domain/money.py", "import recon_stream.settings"),
        ("recon_stream/domain/money.py", "import random"),
        ("recon_stream/domain/matching.py", "from time import time"),
        ("recon_stream/apps.py", "import agents.reconcile"),
        ("recon_stream/storage/store.py", "import recon_stream.redis.client"),
        ("tables/rows.py", "import recon_stream.pipeline.unit"),
        ("agents/persist.py", "import agents.archive"),
        ("producers/plan.py", "import agents.archive"),
        ("schemas/__init__.py", "import recon_stream.errors"),
    ],
)
def test_an_import_that_points_up_is_caught(copied: Path, module: str, line: str) -> None:
    """One line too many is enough; a contract that lets it through would prove nothing above."""
    with (copied / module).open("a") as file:
        file.write(f"\n{line}\n")
    result = lint(copied)
    assert result.returncode == 1
    assert "BROKEN" in result.stdout


def test_every_module_has_a_layer() -> None:
    """A module outside of the layers would be free to import anything: new ones find their place first."""
    placed = {module for layer in layers() for module in layer}
    modules = {module_of(path) for path in python_files(*PACKAGES)} - {"recon_stream"}
    homeless = [m for m in modules if not any(m == layer or m.startswith(f"{layer}.") for layer in placed)]
    assert sorted(homeless) == []


def test_every_layer_is_there() -> None:
    """But for those in parentheses, which come with a later version; once they are there, the parentheses go."""
    modules = {module_of(path) for path in python_files(*PACKAGES)}
    optional = {m.strip("()") for layer in layers() for m in layer if m.startswith("(")}
    required = {m for layer in layers() for m in layer if not m.startswith("(")}
    assert required <= modules
    assert not optional & modules


def test_every_agent_is_held_apart() -> None:
    """Agents meet only at topics: the contract names each of them."""
    agents = {module_of(path) for path in python_files("agents")} - {"agents"}
    assert set(contract("agents")["modules"].split()) == agents
