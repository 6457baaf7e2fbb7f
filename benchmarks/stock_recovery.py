"""Stock Faust recovering the same changelog: `python -m benchmarks.stock_recovery '{"app_id": ...}'`.

Its own transport, its own RocksDB table, its own recovery, record by record. It is given less to do than the product: no index of
deadlines.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import faust
import orjson

from recon_stream.domain.event import SOURCE_TOPICS
from recon_stream.topics import TABLE


class Config(NamedTuple):
    """What the process is told on its command line, as JSON. `recovered`: a file for the seconds that it took."""

    app_id: str
    broker: str
    data_dir: str
    partitions: int
    recovered: str


def build(config: Config) -> faust.App:
    """The application."""
    app = faust.App(
        config.app_id,
        broker=f"kafka://{config.broker}",
        store="rocksdb://",
        datadir=config.data_dir,
        topic_partitions=config.partitions,
        table_standby_replicas=0,
        web_enabled=False,
    )
    done = Path(config.recovered)
    transactions = app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=config.partitions)

    @app.agent(app.topic(SOURCE_TOPICS[0], key_type=bytes, value_type=bytes))
    async def read(stream: Any) -> None:
        async for key, value in stream.items():
            transactions[key] = value

    @transactions.on_recover  # type: ignore[untyped-decorator]
    async def recovered() -> None:
        begun = app.tables.recovery._recovery_started_at
        part = done.with_suffix(".part")
        part.write_text(str(time.monotonic() - begun))
        part.rename(done)

    return app


def main() -> None:
    """Run until SIGTERM."""
    app = build(Config(**orjson.loads(sys.argv[1])))
    faust.Worker(app, loglevel=logging.WARNING, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
