"""What the figures were taken on, and how fast it was at that moment."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import psutil

from recon_stream.avro import decode, encoder

YARDSTICK_RECORDS = 30_000


def yardstick() -> float:
    """CPU microseconds of one fastavro decode right now: how much neighbours on the machine make CPU time dearer."""
    value = encoder("transaction_event", 1)(
        {
            "event_id": "0123456789abcdef",
            "txn_id": "T0123456789-0000000001",
            "source": "CORE",
            "amount_minor": 123_456,
            "currency": "EUR",
            "direction": "DEBIT",
            "status": "POSTED",
            "occurred_at": 1_790_000_000_000,
            "account": "ACC0000012345",
            "reference": "REF-0123456789",
            "channel": None,
            "revision": 0,
        }
    )
    begun = time.process_time()
    for _ in range(YARDSTICK_RECORDS):
        decode("transaction_event", value)
    return round((time.process_time() - begun) / YARDSTICK_RECORDS * 1e6, 2)


def memory_at_its_highest(pid: int) -> int:
    """Resident bytes of the process when it had the most, as the kernel keeps it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise RuntimeError("the kernel does not tell the highest resident size")


def description() -> dict[str, object]:
    """The machine in neutral words."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "faust": version("faust-streaming"),
    }
