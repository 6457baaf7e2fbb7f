"""Five thousand executions of the matcher, each decided by its seed, judged by an independent judge."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.simulation.controls import CONTROLS
from tests.simulation.pool import ROOT, environment, run

SEEDS = 5000
CONTROL_SEEDS = 1500
"""Within which every broken copy must be caught."""


def replay(seed: int) -> str:
    """What the command says of a seed."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--trace"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_every_seed_ends_in_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever crashes, waits, fails or moves: verdicts, breaks, revisions, bytes, state, changelog and offsets are right."""
    tally = run(0, SEEDS - 1)
    with capsys.disabled():
        print(f"\n{tally}")
    seeds = [f"python -m tests.simulation --seed {seed} --trace: {texts[0]}" for seed, texts in tally.failed.items()]
    assert not seeds, "\n".join(seeds[:20])
    assert tally.seeds == SEEDS
    assert min(tally.lives / SEEDS, tally.faults / SEEDS) > 1
    assert tally.late > 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("control", list(CONTROLS))
def test_a_broken_copy_is_caught(control: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each rule of delivery taken away alone is noticed, by the seeds that the product passes."""
    tally = run(0, CONTROL_SEEDS - 1, control, stops_at_failure=True)
    assert tally.failed, f"{control} was not caught by {CONTROL_SEEDS} seeds"
    first = min(tally.failed)
    with capsys.disabled():
        print(f"\n{control} is caught by seed {first}: {tally.failed[first][0][:120]}")


def test_a_seed_replays_to_the_last_callback() -> None:
    """Two processes, one seed: the same trace."""
    for seed in (7, 42):
        assert replay(seed) == replay(seed)
