"""A small application on recon://, run as a process by the tests: it writes down every record that it is given.

    program.py FOLDER TOPIC,TOPIC,… [never-done] [after=N] [slow-seek=S] [table] [raise] [block] [pause] [unit=S] [ends=TOPIC,…]
               [slow-recovery=S] [standby] [no-ends]

Lines of FOLDER/<pid>.jsonl: {"generation", "topic", "partition", "first", "last", "done"}, flushed before the batch is
marked done. The settings come from the environment, as for a role.
Lines of FOLDER/<pid>.recovered: {"actives": [partition, …], "remaining": rows}, whenever Faust says that the table has recovered.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from faust.types import TP

from recon_stream.apps import ReconApp
from recon_stream.process.runner import run
from recon_stream.settings import load_settings
from recon_stream.transport import driver, recovery
from recon_stream.transport.batch import BatchSchema, RecordBatch
from recon_stream.transport.publish import pack, publish

FOLDER, TOPICS = Path(sys.argv[1]), sys.argv[2].split(",")
OPTIONS = dict(option.partition("=")[::2] for option in sys.argv[3:])


class SlowSeek(driver.Consumer):
    """A coordinator that takes its time to tell the committed offsets."""

    async def perform_seek(self) -> None:
        await asyncio.sleep(float(OPTIONS["slow-seek"]))
        await super().perform_seek()


class SlowSeekTransport(driver.Transport):
    Consumer = SlowSeek


class NoEnds(driver.Consumer):
    """A broker that does not answer when it is asked for the ends of the changelog."""

    async def highwaters(self, *partitions: TP) -> Any:
        await asyncio.sleep(600)


class NoEndsTransport(driver.Transport):
    Consumer = NoEnds


class SlowRecovery(recovery.Recovery):
    """A disk that takes its time for every batch, until there is a file FOLDER/go."""

    def apply(self, tp: TP, records: Any) -> None:
        if not (FOLDER / "go").exists():
            time.sleep(float(OPTIONS["slow-recovery"]))
        super().apply(tp, records)


class SlowTables(recovery.TableManager):
    @property
    def recovery(self) -> recovery.Recovery:
        if self._recovery is None:
            self._recovery = SlowRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


settings = load_settings()
options: dict[str, Any] = {"TableManager": SlowTables} if "slow-recovery" in OPTIONS else {}
if "standby" in OPTIONS:
    options["table_standby_replicas"] = 1
if "no-ends" in OPTIONS:
    options["broker_request_timeout"] = 7.0
app = ReconApp("worker", settings, store="recon://", autodiscover=(), **options)
if "slow-seek" in OPTIONS:
    app.transport = SlowSeekTransport(app.conf.broker_consumer, app)
if "no-ends" in OPTIONS:
    app.transport = NoEndsTransport(app.conf.broker_consumer, app)
table: Any = (
    app.Table("seen", key_type=bytes, value_type=bytes, partitions=settings.partitions) if "table" in OPTIONS else None
)

if table is not None:

    @table.on_recover
    async def recovered() -> None:
        line = {
            "actives": sorted(tp.partition for tp in app.recovery.active_tps),
            "standbys": sorted(tp.partition for tp in app.recovery.standby_tps),
            "remaining": app.recovery.active_remaining_total(),
        }
        with (FOLDER / f"{os.getpid()}.recovered").open("a") as out:
            out.write(json.dumps(line) + "\n")


@app.agent(app.topic(*TOPICS, schema=BatchSchema()))
async def collect(stream: Any) -> None:
    out = (FOLDER / f"{os.getpid()}.jsonl").open("a")
    seen = 0
    async for event in stream.noack().events():
        batch: RecordBatch = event.value
        if not app.consumer.flow_active or event.message.generation_id != app.consumer_generation_id:
            event.ack()
            continue
        if "raise" in OPTIONS:
            raise RuntimeError("an agent that raises")
        if "block" in OPTIONS:
            time.sleep(60)  # noqa: ASYNC251 what is tested
        if "unit" in OPTIONS:
            await asyncio.sleep(float(OPTIONS["unit"]))
        seen += len(batch.records)
        done = not ("never-done" in OPTIONS and seen > int(OPTIONS.get("after", 0)))
        if table is not None:
            pairs = [(record.key, record.value) for record in batch.records]
            producer = app.batch_producer
            await publish(
                producer, table.changelog_topic_name, batch.tp.partition, pack(producer, pairs, int(time.time() * 1000))
            )
        line = {
            "generation": event.message.generation_id,
            "topic": batch.tp.topic,
            "partition": batch.tp.partition,
            "first": batch.records[0].offset,
            "last": batch.records[-1].offset,
            "done": done,
        }
        out.write(json.dumps(line) + "\n")
        out.flush()
        batch.done = done
        # Not done and acknowledged: what Faust does to batches that a stream skips.
        event.ack()
        if "pause" in OPTIONS:
            with app.pause_watchdog("a dependency is away"):
                while True:
                    await asyncio.sleep(0.1)
                    (FOLDER / "in-flight").write_text(str(app.batch_consumer.flight_records))


@app.task
async def ask_for_ends() -> None:
    if "ends" in OPTIONS:
        tps = [TP(topic, p) for topic in OPTIONS["ends"].split(",") for p in range(settings.partitions)]
        ends = await app.batch_consumer.end_offsets(tps)
        answer = [[tp.topic, tp.partition, end] for tp, end in ends.items()]
        (FOLDER / "ends.part").write_text(json.dumps(answer))
        (FOLDER / "ends.part").rename(FOLDER / "ends")


if __name__ == "__main__":
    sys.exit(run(app))
