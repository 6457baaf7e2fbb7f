"""Many seeds on all cores: processes of their own, each with a range of seeds and the same hash seed as a replay."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEEDS_A_PROCESS = 625
TIMEOUT_SECONDS = 600
COLLECT_EVERY = 200
"""Seeds between garbage collections: what a seed leaves is let go at once, but for its tasks."""


@dataclass
class Tally:
    """What many seeds came to."""

    seeds: int = 0
    lives: int = 0
    faults: int = 0
    records: int = 0
    late: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)
    """The violations by seed."""

    def add(self, other: Tally) -> None:
        """Take in another range."""
        for name in ("seeds", "lives", "faults", "records", "late"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failed |= other.failed

    def __str__(self) -> str:
        return (
            f"{self.seeds} seeds: {self.records} records, {self.faults} faults, {self.lives} lives of processes, "
            f"{self.late} seeds with writes of a process that had lost the partition; {len(self.failed)} seeds failed"
        )


def environment() -> dict[str, str]:
    """Of a process that runs seeds: the order of sets must be the same in every one."""
    return {**os.environ, "PYTHONHASHSEED": "0"}


def run_here(first: int, last: int, control: str | None = None, *, stops_at_failure: bool = False) -> Tally:
    """Seeds first..last in this process."""
    from tests.simulation.controls import CONTROLS
    from tests.simulation.process import Makers
    from tests.simulation.world import run_seed

    makers, tally = CONTROLS[control] if control else Makers(), Tally()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for seed in range(first, last + 1):
            outcome = run_seed(seed, makers)
            tally.seeds += 1
            tally.lives += outcome.lives
            tally.faults += outcome.faults
            tally.records += outcome.records
            tally.late += outcome.late
            if outcome.violations:
                tally.failed[seed] = outcome.violations
                if stops_at_failure:
                    break
            if seed % COLLECT_EVERY == 0:
                gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return tally


def run(first: int, last: int, control: str | None = None, *, stops_at_failure: bool = False) -> Tally:
    """Seeds first..last on all cores."""
    starts = range(first, last + 1, SEEDS_A_PROCESS)
    has_failed = threading.Event()

    def part(start: int) -> Tally:
        if stops_at_failure and has_failed.is_set():
            return Tally()
        stop = min(last, start + SEEDS_A_PROCESS - 1)
        command = [sys.executable, "-m", "tests.simulation", "--seeds", f"{start}..{stop}", "--json", "--here"]
        command += ["--control", control] if control else []
        command += ["--first"] if stops_at_failure else []
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"seeds {start}..{stop}: {done.stderr[-2000:]}")
        found = json.loads(done.stdout)
        found["failed"] = {int(seed): texts for seed, texts in found["failed"].items()}
        if found["failed"]:
            has_failed.set()
        return Tally(**found)

    total = Tally()
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        for tally in threads.map(part, starts):
            total.add(tally)
    return total
