"""A worker that kills itself between the acknowledgement of the changelog and the sending of the results.

`python dying_worker.py CALLS`: at that unit with results. The window is a few milliseconds wide: a SIGKILL from outside
hardly ever meets it, and it is where the state knows more than recon_results.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from recon_stream.cli import main
from recon_stream.pipeline.engine import Engine

publish_results = Engine.publish_results
calls_left = int(sys.argv.pop(1))


async def die_instead(self: Engine, partition: int, results: Any, *others: Any) -> None:
    """Publish, or end as a power failure would."""
    global calls_left
    calls_left -= bool(results)
    if calls_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    await publish_results(self, partition, results, *others)


Engine.publish_results = die_instead  # type: ignore[method-assign]
sys.argv[1:] = ["worker"]
main()
