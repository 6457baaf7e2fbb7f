"""The command line of the simulation."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict

from tests.simulation.pool import Tally, environment, run, run_here


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate the matcher, by seeds.")
    parser.add_argument("--seed", type=int, help="replay this seed")
    parser.add_argument("--trace", action="store_true", help="tell what happens, with virtual seconds")
    parser.add_argument("--seeds", help="run a range, A..B")
    parser.add_argument("--control", help="run a broken copy of the product (controls.py)")
    parser.add_argument("--first", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--here", action="store_true", help="in this process only")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")
    args = parser.parse_args()
    if (args.seed is None) == (args.seeds is None):
        parser.error("give --seed N or --seeds A..B")
    return args


def main() -> int:
    """Exit code 0: all seeds hold; 1: some do not."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], environment())
    args = arguments()
    if args.seed is not None:
        return replay(args.seed, args.control, traced=args.trace)
    first, last = (int(part) for part in args.seeds.split(".."))
    work = run_here if args.here else run
    tally = work(first, last, args.control, stops_at_failure=args.first)
    if args.json:
        print(json.dumps(asdict(tally)))
    else:
        show(tally, args.control)
    return 1 if tally.failed else 0


def replay(seed: int, control: str | None, *, traced: bool) -> int:
    """One seed, with its trace."""
    from tests.simulation.controls import CONTROLS
    from tests.simulation.process import Makers
    from tests.simulation.world import run_seed

    outcome = run_seed(seed, CONTROLS[control] if control else Makers(), traced=traced)
    for line in outcome.trace:
        print(line)
    for text in outcome.violations:
        print(f"seed {seed}: {text}")
    print(f"seed {seed}, execution {outcome.digest}: {'fails' if outcome.violations else 'holds'}")
    return 1 if outcome.violations else 0


def show(tally: Tally, control: str | None = None) -> None:
    """The failed seeds, and how to replay them."""
    for seed, texts in list(tally.failed.items())[:20]:
        print(f"seed {seed}: {texts[0]}")
        print(f"    python -m tests.simulation --seed {seed} --trace{f' --control {control}' if control else ''}")
    print(tally)
