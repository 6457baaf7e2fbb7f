"""`recon-stream worker | sink | web`."""

from __future__ import annotations

import os
import sys
from functools import partial

import click

from recon_stream.errors import ConfigurationError
from recon_stream.settings import Settings

_ABOUT = {
    "worker": "Reconcile: read the three feeds, decide, publish verdicts and mismatches.",
    "sink": "Write raw events, results, breaks and dead letters to PostgreSQL.",
    "web": "Serve the REST API and the websocket.",
}
_MORE = """

\b
Every process answers on 127.0.0.1, RECON_OPERATIONS_PORT + {offset} + its index:
  /livez    503 when it makes no progress although work waits
  /readyz   503 with the reasons until it has recovered and reaches what it needs
  /metrics  for Prometheus

SIGTERM and Ctrl-C stop it cleanly within RECON_STOP_TIMEOUT. Exit codes: 0 stopped, 1 crashed, 2 refused to start,
70 stalled, 71 recovery stalled, 72 did not stop in time. Start it again on 1, 70, 71 and 72: nothing is lost.
"""
_OFFSETS = {"worker": 0, "sink": 20, "web": 40}


def _command(role: str) -> click.Command:
    @click.command(role, help=_ABOUT[role] + _MORE.format(offset=_OFFSETS[role]), short_help=_ABOUT[role])
    @click.option(
        "--processes",
        type=click.IntRange(1, 20),
        help="Start a parent that keeps so many processes running. Without it: one, in this process, for a supervisor.",
    )
    @click.option("--index", type=click.IntRange(0, 19), hidden=True)
    @click.option("--supervised", is_flag=True, hidden=True)
    def run_role(processes: int | None, index: int | None, supervised: bool) -> None:
        sys.exit(_run(role, processes, index, supervised))

    return run_role


def _run(role: str, processes: int | None, index: int | None, supervised: bool) -> int:
    if processes is not None:
        from recon_stream.process.logs import set_up_logging
        from recon_stream.process.parent import run_parent
        from recon_stream.settings import load_settings

        settings = load_settings()
        set_up_logging(settings, f"{role}-parent")
        return run_parent(role, processes, settings.stop_timeout)
    if index is not None:
        # The applications read the settings when they are imported, so this stands before it.
        os.environ["RECON_PROCESS_INDEX"] = str(index)
    from recon_stream import apps
    from recon_stream.process.runner import run

    app = {"worker": apps.worker, "sink": apps.sink, "web": apps.web}[role]
    return run(app, supervised=supervised, check=None if role == "web" else partial(_is_let_work, app.conf.id))


async def _is_let_work(group: str, settings: Settings) -> None:
    """A send to a topic that does not exist and a group that may not be joined wait for ever, so this is asked before."""
    from recon_stream.topics import check_topics
    from recon_stream.transport.reach import ensure_group

    problems = [f"{topic.name}: {problem}" for topic in await check_topics(settings) for problem in topic.problems]
    if problems:
        raise ConfigurationError("; ".join(problems) + "; run `recon-stream topics create`")
    await ensure_group(settings, group)


worker = _command("worker")
sink = _command("sink")
web = _command("web")
