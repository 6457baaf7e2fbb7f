"""Where the values of settings are from, and variables that look like settings and are none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path

from recon_stream.settings import Settings, read_env_file


def setting_origins(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variable -> where its value is from: environment, file (NAME_FILE), stack.env or default; as load_settings reads."""
    environ = os.environ if environ is None else environ
    stack = read_env_file(Path(environ.get("RECON_STATE_DIR", ".recon")) / "stack.env")
    origins = {}
    for f in fields(Settings):
        name = f.metadata["name"]
        if name in environ:
            origins[name] = "environment"
        elif f"{name}_FILE" in environ or f"{name}_FILE" in stack:
            origins[name] = "file"
        else:
            origins[name] = "stack.env" if name in stack else "default"
    return origins


def unknown_variables(environ: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """RECON_* variables that are no settings -> the setting with the most similar name; a misspelt one is not read."""
    environ = os.environ if environ is None else environ
    stack = read_env_file(Path(environ.get("RECON_STATE_DIR", ".recon")) / "stack.env")
    known = [f.metadata["name"] for f in fields(Settings)]
    unknown = {}
    for name in sorted(environ.keys() | stack.keys()):
        if name.startswith("RECON_") and name not in known and name.removesuffix("_FILE") not in known:
            unknown[name] = next(iter(get_close_matches(name, known, n=1)), None)
    return unknown
