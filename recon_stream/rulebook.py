"""Loading the rules: the file in force, and the earlier versions that stand beside it."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from recon_stream.domain.rules import RulesBook
from recon_stream.errors import ConfigurationError
from recon_stream.settings import Settings


def load_rules(settings: Settings) -> RulesBook:
    """The rules of settings.rules_file (empty: the package's) in force, every other .toml of its folder as earlier ones."""
    if settings.rules_file:
        return _load(Path(settings.rules_file))
    with as_file(files("recon_stream") / "rules" / "default.toml") as path:
        return _load(path)


def _load(path: Path) -> RulesBook:
    try:
        earlier = [other.read_text() for other in sorted(path.parent.glob("*.toml")) if other.name != path.name]
        return RulesBook.of(path.read_text(), tuple(earlier))
    except OSError as error:
        raise ConfigurationError(f"the rules {path} cannot be read: {error.strerror}") from error
