"""`python -m tests.judge --bootstrap HOST:PORT --registry URL --rules FILE`: judge a running system once it is idle."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

from .read import read_all
from .rules import SOURCES, load_rules
from .verdicts import EXAMINED, Options, Report, judge


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.judge", description=__doc__)
    parser.add_argument("--bootstrap", required=True, help="Kafka, host:port")
    parser.add_argument("--registry", required=True, help="schema registry, Confluent-compatible address")
    parser.add_argument("--rules", required=True, help="rules file (TOML) that the workers use")
    parser.add_argument("--settle", type=float, default=10, help="seconds that a passed deadline may be on its way")
    parser.add_argument("--held", nargs="*", choices=SOURCES, default=[], help="sources that may be stalled")
    parser.add_argument(
        "--live-slack",
        type=float,
        help="producers send within so many seconds of the timestamp: prove premature breaks",
    )
    parser.add_argument("--may-be-empty", nargs="*", choices=EXAMINED, default=[], help="counts that may be zero")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    return parser.parse_args()


def show(report: Report) -> None:
    """The report for people."""
    for title, counts in (("examined", report.examined), ("found", report.facts), ("violations", report.kinds)):
        for name, count in sorted(counts.items()):
            print(f"{title:>10}  {name:<44} {count:>9}")
    for text in report.violations:
        print(f"  - {text}")
    print("the judge finds nothing wrong" if report.ok else f"{report.kinds.total()} violations")


def main() -> int:
    """Exit code 0: nothing wrong; 1: violations."""
    args = arguments()
    options = Options(
        clock_ms=time.time_ns() // 1_000_000,
        settle_ms=round(args.settle * 1000),
        held=frozenset(args.held),
        live_slack_ms=None if args.live_slack is None else round(args.live_slack * 1000),
        may_be_empty=frozenset(args.may_be_empty),
    )
    report = judge(asyncio.run(read_all(args.bootstrap, args.registry)), load_rules(args.rules), options)
    if args.json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        show(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
