"""The statements of queries.sql, reading.sql and oversight.sql by name; nothing builds SQL from data."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import LiteralString

_NAME = re.compile(r"^-- ([a-z_]+) --$", re.MULTILINE)


def parse_queries(text: str) -> dict[str, str]:
    """Name -> statement of each block `-- name --`; comment lines under the name are left out.

    Raises ValueError on a name given twice or a block without a statement.
    """
    parts = _NAME.split(text)[1:]
    found: dict[str, str] = {}
    for name, block in zip(parts[::2], parts[1::2], strict=True):
        statement = "\n".join(line for line in block.strip().splitlines() if not line.startswith("--")).strip()
        if name in found or not statement:
            raise ValueError(f"the statement {name} is there twice or is empty")
        found[name] = statement
    return found


# LiteralString: these texts come from our own package, never from data
QUERIES: dict[str, LiteralString] = parse_queries(
    "\n".join(files(__package__).joinpath(name).read_text() for name in ("queries.sql", "reading.sql", "oversight.sql"))
)
