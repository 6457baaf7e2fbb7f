"""The product's own sources, as the architecture tests look at them."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

PYTHON = Path(sys.executable).absolute()
HOME = Path(__file__).resolve().parents[2]
PACKAGES = ("recon_stream", "agents", "tables", "producers", "schemas")


OF_NO_REPOSITORY = {".git", ".venv", ".recon", "build", "dist", "node_modules", "__pycache__"}


@cache
def tracked() -> tuple[str, ...]:
    """Paths of all files that belong to the repository; without git, of all that look like it."""
    git = shutil.which("git")
    if git is not None and (HOME / ".git").exists():
        command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = (
            subprocess.run(command, cwd=HOME, capture_output=True, check=True, timeout=30).stdout.decode().split("\0")
        )
    else:
        listed = []
        for folder, folders, names in os.walk(HOME):
            folders[:] = [
                one for one in folders if one not in OF_NO_REPOSITORY and not one.endswith(("_cache", ".egg-info"))
            ]
            listed += [(Path(folder) / name).relative_to(HOME).as_posix() for name in names]
    return tuple(sorted(path for path in listed if path and (HOME / path).is_file()))


def python_files(*folders: str) -> list[str]:
    """The Python files below these folders."""
    return [path for path in tracked() if path.endswith(".py") and path.split("/")[0] in folders]


@cache
def text_of(path: str) -> str:
    """A file's text; bytes that are no UTF-8 are replaced."""
    return (HOME / path).read_text(errors="replace")


@cache
def tree_of(path: str) -> ast.Module:
    """A module, parsed."""
    return ast.parse(text_of(path), path)


def module_of(path: str) -> str:
    """The import name of a file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""
