"""`python -m tests.faults`: list scenarios, replay one, or run all and write docs/reliability.md."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from tests.faults.report import Terminal, write_report
from tests.faults.scenarios import load, run
from tests.faults.stack import running_stack

SEED = 1


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--run", nargs="+", metavar="NAME", help="only these scenarios")
    parser.add_argument("--quick", action="store_true", help="only those that `make test` runs too")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="another seed is another feed and other moments of random faults"
    )
    parser.add_argument("--stack", type=Path, help="a folder whose stack is kept, and found again the next time")
    parser.add_argument("--report", action="store_true", help="write the table of docs/reliability.md from this run")
    return parser.parse_args()


def main() -> int:
    """Exit code 0: every scenario ended as it must."""
    args = arguments()
    known = load()
    if args.list:
        for one in known.values():
            print(f"{one.name:<28} {'quick' if one.quick else '     '}  {one.about}")
        return 0
    unknown = set(args.run or ()) - known.keys()
    if unknown:
        sys.exit(f"no such scenario: {', '.join(sorted(unknown))}; --list names them")
    chosen = [known[name] for name in args.run or known if known[name].quick or not args.quick]
    # what clients complain of is meant here
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    terminal = Terminal(chosen)
    with running_stack(args.seed, args.stack) as stack:
        for which in chosen:
            terminal.begin(which)
            try:
                terminal.end(asyncio.run(run(stack, which, args.seed, terminal.say)))
            except Exception as error:
                terminal.broke_off(error)
            if args.report:
                write_report(terminal.ended[-1], known)
    terminal.table()
    return 0 if terminal.ok else 1


if __name__ == "__main__":
    sys.exit(main())
