"""What a process does with state that RocksDB calls damaged; the scenario `state-damaged` sees it done."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon_stream.process.runner import is_damage, set_aside


@pytest.mark.parametrize(
    ("text", "damaged"),
    [
        ("Corruption: checksum mismatch in file MANIFEST-000014", True),
        ("IO error: No such file or directory: While open a file for random read: 000012.sst", True),
        ("IO error: No space left on device: While appending to file: 000013.log", False),
        ("core_txns-3: NotLeaderForPartitionError()", False),
    ],
)
def test_damage_is_told_from_a_full_disk_and_from_other_ends(text: str, damaged: bool) -> None:
    """Only state that cannot be read is given up: a full disk is not."""
    assert is_damage(Exception(text)) is damaged


def test_damaged_state_is_moved_and_replaces_what_was_moved_before(tmp_path: Path) -> None:
    """The next start finds nothing, and the disk holds one damaged copy at most."""
    tables = tmp_path / "tables"
    for number in (1, 2):
        tables.mkdir()
        (tables / "CURRENT").write_text(str(number))
        set_aside(tables)
        assert not tables.exists()
    assert (tmp_path / "tables-damaged" / "CURRENT").read_text() == "2"
    set_aside(tables)
    assert [path.name for path in tmp_path.iterdir()] == ["tables-damaged"]
