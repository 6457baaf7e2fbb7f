"""The memory of the state is bounded for a process, not for a partition."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
from tables.transactions import table
options = table.data.rocksdb_options
print(options.block_cache_size + options.write_buffer_size * options.max_write_buffer_number, options.write_buffer_size)
"""
BYTES_MAX = 576 << 20
WRITE_BUFFER_BYTES_MIN = 64 << 10
"""RocksDB raises a smaller one to this by itself."""


@pytest.mark.parametrize("partitions", [1, 6, 64, 1000])
def test_caches_and_buffers_of_all_partitions_together_are_bounded(partitions: int) -> None:
    """However many partitions one worker owns."""
    environ = os.environ | {"RECON_PARTITIONS": str(partitions)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=True)
    of_one, buffer = map(int, done.stdout.split())
    assert of_one * partitions <= BYTES_MAX
    assert buffer >= WRITE_BUFFER_BYTES_MIN
