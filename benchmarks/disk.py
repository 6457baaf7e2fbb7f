"""What a worker has left on disk: its state, one RocksDB a partition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import rocksdict

from tables.rows import CASE, INDEX


@dataclass(frozen=True, slots=True)
class Stored:
    """Entries of all partitions by what they are."""

    cases: int
    deadlines: int
    others: int


def databases(folder: Path) -> Iterator[rocksdict.Rdict]:
    """Each RocksDB below the folder, opened to be read."""
    options = rocksdict.Options(raw_mode=True)
    for path in sorted(folder.rglob("*.db")):
        db = rocksdict.Rdict(str(path), options, access_type=rocksdict.AccessType.read_only())
        yield db
        db.close()


def stored(folder: Path) -> Stored:
    """Count what the state of a worker that has ended holds."""
    cases = deadlines = others = 0
    for db in databases(folder):
        for key in cast("Iterator[bytes]", db.keys()):
            cases, deadlines = cases + (key[:1] == CASE), deadlines + (key[:1] == INDEX)
            others += key[:1] not in (CASE, INDEX)
    return Stored(cases, deadlines, others)


def size(folder: Path) -> int:
    """Bytes of all files of the state: tables, logs of writes, bookkeeping."""
    return sum(path.stat().st_size for path in folder.rglob("*.db/*"))
