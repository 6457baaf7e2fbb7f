"""One seed: its plan, its execution, its outcome."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import traceback
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from recon_stream.avro import schema_text
from recon_stream.domain.rules import RulesBook
from tables.transactions import CHANGELOG
from tests.judge.rules import Rules as JudgeRules
from tests.judge.rules import load_rules
from tests.simulation.broker import Broker, Group
from tests.simulation.disk import Rdict
from tests.simulation.history import SPAN, make_history
from tests.simulation.loop import Loop, Stuck
from tests.simulation.oracle import Oracle
from tests.simulation.process import SOURCE_TPS, Makers, Process
from tests.simulation.seams import T0, simulated
from tests.simulation.valkey import UnreliableValkey

HERE = Path(__file__).parent
CALM_AT = SPAN + 4.0
"""From then on nothing goes wrong any more."""
AT_WORK_MAX = 60.0
QUIET_SECONDS = 7.0
"""Longer than every grace, the hold of a stalled feed, and the rounds in which they are looked at."""


class Fault(NamedTuple):
    """Something that goes wrong at a virtual second."""

    at: float
    kind: str


FAULTS = (
    "kill", "kill", "kill_soon", "kill_soon", "kill_soon", "move", "same", "lose", "lose", "zombie", "frozen", "frozen", "broker", "slow", "slow",
    "redis_away", "redis_flaky", "redis_flush",
)  # fmt: skip


@dataclass
class Outcome:
    """What became of a seed."""

    seed: int
    violations: list[str] = field(default_factory=list)
    digest: str = ""
    """Of everything that was noted: equal for equal executions."""
    lives: int = 0
    faults: int = 0
    records: int = 0
    late: bool = False
    """Whether a process that had lost the partition wrote something."""
    trace: list[str] = field(default_factory=list)


PRODUCT = Makers()


class Slot:
    """A place for a process with a disk."""

    def __init__(self, name: str) -> None:
        self.name, self.disk, self.lives = name, Rdict(), 0
        self.process: Process | None = None


class Registry:
    """The schema registry: knows the schema of events, answers after a while."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    async def schema(self, schema_id: int) -> Any:
        """See SchemaRegistry."""
        await asyncio.sleep(self._dice.choice((0.0, 0.01)))
        return _schemas().get(schema_id)


@cache
def _schemas() -> dict[int, Any]:
    import json

    return {1: json.loads(schema_text("transaction_event")), 3: json.loads(schema_text("dead_letter"))}


@cache
def rules_of(name: str) -> tuple[RulesBook, JudgeRules]:
    """The rules as the product and as the judge read them."""
    return RulesBook.of((HERE / name).read_text()), load_rules(HERE / name)


CLOCKS = (0.0, 0.0, 7200.0, -7200.0)
"""Seconds by which the machine's clock may be wrong."""


class World:
    """Everything around the processes of one seed."""

    def __init__(self, seed: int, makers: Makers, *, traced: bool) -> None:
        self.outcome = Outcome(seed)
        self._digest = hashlib.blake2b(digest_size=8)
        self._traced, self._makers = traced, makers
        self.dice = Random(f"{seed} plan")
        self.loop = Loop(Random(f"{seed} order"))
        book, judge_rules = rules_of("rules.toml" if self.dice.random() < 0.8 else "rules_short.toml")
        self._book = book
        self.broker = Broker(Random(f"{seed} broker"), self.loop.time, self.note)
        self.group = Group()
        self.oracle = Oracle(self.broker, book, judge_rules)
        self.group.on_commit = self._committed
        self.valkey = None
        if self.dice.random() < 0.8:
            self.valkey = UnreliableValkey(self.loop.time, Random(f"{seed} redis"))
        self.registry = Registry(Random(f"{seed} registry"))
        self.history = make_history(Random(f"{seed} history"))
        self.slots = [Slot("AB"[number]) for number in range(self.dice.choice((1, 2, 2)))]
        self.owner: Process | None = None
        self._wanted: asyncio.Queue[str] = asyncio.Queue()
        self._is_calm = False
        self._everyone: list[Process] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def note(self, text: str) -> None:
        """A line of the trace."""
        line = f"{self.loop.time():8.3f}  {text}"
        self._digest.update(line.encode())
        if self._traced:
            self.outcome.trace.append(line)

    def run(self) -> Outcome:
        """Live through the seed."""
        byte_dice = Random(f"{self.outcome.seed} bytes")
        try:
            with simulated(self.loop.time, self.dice.choice(CLOCKS), byte_dice.randbytes, self._makers.changed):
                self.loop.run_until_complete(self._live())
        except Stuck as error:
            self.oracle.violation("stuck", str(error))
            self._check_tasks()
        finally:
            self._bury()
        outcome = self.outcome
        outcome.late = any(entry.late for log in self.broker.logs.values() for entry in log)
        outcome.violations, outcome.digest = self.oracle.violations, self._digest.hexdigest()
        return outcome

    def _bury(self) -> None:
        """Let what still waits go without a word: its processes are dead."""
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            task.get_coro().close()  # type: ignore[union-attr]
        self.loop.close()

    # Life

    async def _live(self) -> None:
        faults = [
            Fault(self.dice.uniform(0.2, CALM_AT), self.dice.choice(FAULTS))
            for _ in range(self.dice.choice((0, 1, 2, 3, 4, 6)))
        ]
        self.outcome.faults, self.outcome.records = len(faults), len(self.history)
        for slot in self.slots:
            self._start(slot)
        self._do(self._balance())
        self._wanted.put_nowait("owner")
        self._do(self._send())
        self._do(self._go_wrong(sorted(faults)))
        await asyncio.sleep(CALM_AT)
        self._calm_down()
        await self._wait_until_done()
        await asyncio.sleep(QUIET_SECONDS)
        assert self.owner is not None
        self._check_tasks()
        self.oracle.at_rest(self.owner.disk, int((T0 + self.loop.time()) * 1000))

    def _do(self, coro: Any) -> None:
        # in no life's context: it must outlive the process that it may be called from
        self._tasks.append(self.loop.create_task(coro, context=Context()))

    async def _send(self) -> None:
        for one in self.history:
            await asyncio.sleep(max(0.0, one.at - self.loop.time()))
            timestamp = int((T0 + self.loop.time() - (one.lag or 0.0)) * 1000)
            entry = self.broker.append(one.topic, timestamp, one.key, one.value, appended=one.lag is None)
            self.note(f"{one.topic}@{entry.offset} {(one.key or b'-').decode(errors='replace')} at {timestamp % 10**7}")

    async def _wait_until_done(self) -> None:
        until = self.loop.time() + AT_WORK_MAX
        while any(self.group.committed.get(tp, 0) < len(self.broker.log(tp.topic)) for tp in SOURCE_TPS):
            if self.loop.time() > until:
                raise Stuck(f"committed {self.group.committed}")
            await asyncio.sleep(0.2)

    def _calm_down(self) -> None:
        self.note("from here on nothing goes wrong")
        self._is_calm = True
        self.broker.trouble, self.broker.slowness = 0.0, 0.02
        if self.valkey is not None:
            self.valkey.is_away = self.valkey.is_flaky = False
        for slot in self.slots:
            if slot.process is not None:
                slot.process.life.dies_at_step = -1
                slot.process.app.batch_producer.passes.set()

    def _check_tasks(self) -> None:
        for process in self._everyone:
            for task in process.tasks:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    where = "".join(traceback.format_exception(error)[-2:]).strip()
                    self.oracle.violation("raised", where)

    def _committed(self, offsets: dict[Any, int]) -> None:
        self.note(f"committed {[f'{tp.topic}:{offset}' for tp, offset in offsets.items()]}")
        self.oracle.on_commit(offsets)

    # Processes

    def _start(self, slot: Slot) -> None:
        slot.lives += 1
        self.outcome.lives += 1
        process = slot.process = Process(
            f"{slot.name}#{slot.lives}", slot.disk, self.broker, self.group, self.valkey, self.registry, self._book,
            self._makers, lambda process: self._ended(slot, process),
        )  # fmt: skip
        self._everyone.append(process)
        process.start()

    def _ended(self, slot: Slot, process: Process) -> None:
        self.note(f"{process.name}: dies{f' of {process.error!r}' if process.error else ''}")
        slot.process = None
        if self.dice.random() < 0.3:
            kept = max(0, slot.disk.writes - self.dice.choice((1, 2, 3, 1000)))
            self.note(f"{process.name}: its disk keeps {kept} of {slot.disk.writes} writes")
            slot.disk.keep(kept)
        self._do(self._restart(slot))
        if process is self.owner:
            self.owner = None
            self._wanted.put_nowait("owner")

    async def _restart(self, slot: Slot) -> None:
        await asyncio.sleep(self.dice.choice((0.05, 0.3, 1.5)))
        self._start(slot)

    # Who owns the partition

    def _alive(self) -> list[Process]:
        return [slot.process for slot in self.slots if slot.process is not None]

    async def _balance(self) -> None:
        while True:
            wanted = await self._wanted.get()
            if wanted == "owner":
                await asyncio.sleep(self.dice.choice((0.05, 0.3)))
            while not self._alive():  # noqa: ASYNC110 virtual time costs nothing
                await asyncio.sleep(0.1)
            owner = self.owner
            if wanted == "owner" and owner is not None:
                continue
            others = [process for process in self._alive() if process is not owner]
            if wanted in ("lose", "zombie", "frozen") and owner is not None and others:
                lost = self.group.generation
                if wanted == "frozen":
                    await self._freeze(owner)
                    others = [process for process in self._alive() if process is not owner]
                    if not owner.is_alive or not others:
                        continue  # there is nobody left to lose it, or to take it over
                self._give(self.dice.choice(others))
                self._do(self._tell(owner, lost, self.dice.choice((0.2, 1.0)) if wanted != "lose" else 0.0))
                continue
            if owner is not None:
                await self._revoke(owner, self.group.generation)
            alive = [process for process in self._alive() if wanted != "same" or process is owner] or self._alive()
            if alive:
                self._give(self.dice.choice(alive))
            else:
                self._wanted.put_nowait("owner")

    def _give(self, process: Process) -> None:
        self.group.generation += 1
        self.owner = process
        process.spawn(process.assigned(self.group.generation))

    async def _revoke(self, process: Process, generation: int) -> None:
        task = process.spawn(
            process.revoked(generation, self.dice.choice((0.5, 3.0)) if self.group.generation == generation else 0.0)
        )
        while process.is_alive and not task.done():  # noqa: ASYNC110 a dead process ends no task
            await asyncio.sleep(0.02)

    async def _tell(self, zombie: Process, generation: int, after: float) -> None:
        self.note(f"{zombie.name}: has lost generation {generation} and notices it in {after} s")
        await asyncio.sleep(after)
        if zombie.is_alive:
            await self._revoke(zombie, generation)

    async def _freeze(self, owner: Process) -> None:
        """What the owner sends from now on leaves it much later: it was suspended behind its last look at the group."""
        producer = owner.app.batch_producer
        producer.passes.clear()
        self.note(f"{owner.name}: is suspended before its next bytes are on the wire")
        until = self.loop.time() + 1.0
        while not producer.is_sending(CHANGELOG) and owner.is_alive and self.loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

        async def thaw() -> None:
            await asyncio.sleep(self.dice.choice((0.3, 1.0, 2.5)))
            producer.passes.set()

        self._do(thaw())

    # What goes wrong

    async def _go_wrong(self, faults: list[Fault]) -> None:
        for fault in faults:
            await asyncio.sleep(max(0.0, fault.at - self.loop.time()))
            self.note(f"fault: {fault.kind}")
            self._fault(fault.kind)

    def _fault(self, kind: str) -> None:
        alive = self._alive()
        if kind == "kill" and alive:
            self.dice.choice(alive).life.end()
        elif kind == "kill_soon" and self.owner is not None:
            life = self.owner.life
            life.dies_at_step = life.steps + self.dice.randint(1, 150)
        elif kind in ("move", "same", "lose", "zombie", "frozen"):
            self._wanted.put_nowait(kind)
        elif kind == "broker":
            self._for_a_while(lambda on: setattr(self.broker, "trouble", 0.3 if on else 0.0))
        elif kind == "slow":
            self._for_a_while(lambda on: setattr(self.broker, "slowness", 1.0 if on else 0.05))
        elif self.valkey is not None:
            valkey = self.valkey
            if kind == "redis_flush":
                valkey.flush()
            elif kind == "redis_away":
                self._for_a_while(lambda on: setattr(valkey, "is_away", on))
            elif kind == "redis_flaky":
                self._for_a_while(lambda on: setattr(valkey, "is_flaky", on))

    def _for_a_while(self, switch: Callable[[bool], None]) -> None:
        async def run() -> None:
            switch(True)
            await asyncio.sleep(self.dice.choice((0.3, 1.0, 3.0)))
            if not self._is_calm:
                switch(False)

        self._do(run())


def run_seed(seed: int, makers: Makers = PRODUCT, *, traced: bool = False) -> Outcome:
    """One seed, from nothing to rest."""
    logging.disable(logging.CRITICAL)
    try:
        return World(seed, makers, traced=traced).run()
    finally:
        logging.disable(logging.NOTSET)
