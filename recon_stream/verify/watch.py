"""`recon-stream watch`."""

from __future__ import annotations

import asyncio
import logging
import signal
import time

import click
import orjson
from rich.console import Console
from rich.live import Live

from recon_stream.process.output import ensure_reader
from recon_stream.settings import Settings, load_settings
from recon_stream.verify.watch_model import Model, as_json
from recon_stream.verify.watch_sources import Feed
from recon_stream.verify.watch_view import render

_FRAME_SECONDS = 0.25
_JSON_SECONDS = 1.0
_ONCE_SECONDS = 3.0
"""How long --once looks before it draws: two readings make a rate."""
_SETTLE_SECONDS = 5.0


@click.command()
@click.option("--once", is_flag=True, help="Look for a few seconds, print one frame and end.")
@click.option("--json", "as_json_lines", is_flag=True, help="One JSON object a second, for programs; with --once, one.")
def watch(once: bool, as_json_lines: bool) -> None:
    """Rates, match rate, open breaks, lag and the newest mismatches, live.

    \b
    Reads, and changes nothing:
      Kafka        rates by topic, lag of the groups, recon_results and recon_mismatches from now on (no consumer group)
      PostgreSQL   counts of all verdicts and open breaks; where it is away, those of the transactions seen since the start
      processes    /readyz and /metrics of this machine's workers, sinks and webs: watermarks, held deadlines

    The match rate is MATCHED and MATCHED_WITHIN_TOLERANCE of all decided transactions: PENDING is not decided, VOID is out
    of scope. Amounts are in major units, times in UTC. What is away is named at the bottom, the rest goes on. Ctrl-C ends.
    """
    # a client's complaint would be written across the picture; what is away is part of it instead
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asyncio.run(_watch(load_settings(), once=once, as_json_lines=as_json_lines))


async def _watch(settings: Settings, *, once: bool, as_json_lines: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    model = Model(started_at=time.time())
    async with Feed(settings, model) as feed:
        if once:
            await asyncio.gather(feed.settled(_SETTLE_SECONDS), _sleep(stop, _ONCE_SECONDS))
            _print(model, as_json_lines=as_json_lines)
        elif as_json_lines:
            await feed.settled(_JSON_SECONDS)
            while not await _sleep(stop, _JSON_SECONDS):
                _print(model, as_json_lines=True)
        else:
            await _live(model, stop)
            # what was last seen stays in the terminal
            _print(model, as_json_lines=False)


async def _live(model: Model, stop: asyncio.Event) -> None:
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False, transient=True) as live:
        while True:
            live.update(render(model, time.time()), refresh=True)
            if await _sleep(stop, _FRAME_SECONDS):
                return


def _print(model: Model, *, as_json_lines: bool) -> None:
    now = time.time()
    if as_json_lines:
        click.echo(orjson.dumps(as_json(model, now)))
    else:
        Console().print(render(model, now))


async def _sleep(stop: asyncio.Event, seconds: float) -> bool:
    """Whether it is time to end; raises BrokenPipeError when nobody reads any more."""
    ensure_reader()
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
