"""rocksdict over a dict: what the state uses of it, and disks that lose their latest writes when the power fails."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

Change = tuple[bytes, bytes | None]


class WriteBatch:
    """Changes that are applied as one."""

    def __init__(self, raw_mode: bool = False) -> None:
        assert raw_mode, "the state is written raw"
        self.changes: list[Change] = []

    def put(self, key: bytes, value: bytes) -> None:
        """Set a row."""
        self.changes.append((bytes(key), bytes(value)))

    def delete(self, key: bytes) -> None:
        """Remove a row; none there is no error."""
        self.changes.append((bytes(key), None))

    def len(self) -> int:
        """How many changes."""
        return len(self.changes)


class ReadOptions:
    """How far an iterator goes."""

    upper_bound = b""

    def set_iterate_upper_bound(self, key: bytes) -> None:
        """Not to this key."""
        self.upper_bound = key


class Rdict:
    """One database. It remembers its writes, so that it can lose the latest of them."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._keys: list[bytes] | None = None
        self._log: list[list[Change]] = []

    def get(self, key: bytes | Sequence[bytes]) -> bytes | list[bytes | None] | None:
        """A row, or the rows of a list of keys; None where there is none."""
        if isinstance(key, list):
            return [self._rows.get(one) for one in key]
        return self._rows.get(key)  # type: ignore[arg-type]

    def keys(self, from_key: bytes = b"", read_opt: ReadOptions | None = None) -> Iterator[bytes]:
        """The keys in order, from one on and below a bound, as they stand now."""
        if self._keys is None:
            self._keys = sorted(self._rows)
        keys = self._keys
        end = len(keys) if read_opt is None else bisect_left(keys, read_opt.upper_bound)
        return iter(keys[bisect_left(keys, from_key) : end])

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All rows in order."""
        return ((key, self._rows[key]) for key in list(self.keys()))

    def write(self, batch: WriteBatch) -> None:
        """Apply all changes as one."""
        self._apply(batch.changes)
        self._log.append(batch.changes)

    def _apply(self, changes: list[Change]) -> None:
        for key, row in changes:
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = row
        self._keys = None

    def property_int_value(self, name: str) -> int:
        """What RocksDB would estimate."""
        return len(self._rows)

    def close(self) -> None:
        """Nothing to close."""

    @property
    def writes(self) -> int:
        """How many batches were ever written."""
        return len(self._log)

    def keep(self, writes: int) -> None:
        """Keep only the first so many batches: a power failure before the rest reached the disk."""
        self._log = self._log[:writes]
        self._rows = {}
        for changes in self._log:
            self._apply(changes)
        self._keys = None


ROCKSDICT = SimpleNamespace(WriteBatch=WriteBatch, ReadOptions=ReadOptions, Rdict=Rdict)
"""In place of the module."""
