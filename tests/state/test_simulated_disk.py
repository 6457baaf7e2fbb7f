"""The disk of the simulation does what RocksDB does: the same operations, by the product's own store, give the same answers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP

from recon_stream.domain.deadlines import NEVER
from recon_stream.domain.facts import EVERY_SOURCE, Deadline, DeadlineKind
from tables import store as store_module
from tables import transactions
from tables.rows import META, Meta, RowChange, case_key, encode_deadlines, encode_outbox
from tables.store import Store
from tables.transactions import Partition
from tests.simulation import disk
from tests.simulation.seams import store_on

NUMBER = 0
CHANGELOG = TP("changelog", NUMBER)
STEPS = 60
INSTANTS = (-(1 << 40), -1, 0, 1, 1000, 1 << 40)


def deadlines(dice: Random) -> list[Deadline]:
    """Some, as a case may wait for."""
    kinds, gates = list(DeadlineKind), range(EVERY_SOURCE + 1)
    return [
        Deadline(dice.choice(gates), dice.choice(kinds), dice.choice(INSTANTS))
        for _ in range(dice.choice((0, 1, 1, 3)))
    ]


def walk(seed: int, store: Store, reopened: Callable[[], None]) -> list[Any]:
    """A random walk over everything that lanes and recoveries do; all answers."""
    dice, partition, answers = Random(seed), Partition(NUMBER), []
    rows: dict[bytes, list[Deadline]] = {}
    keys = [case_key(name) for name in ("", "A", "B", "\x00", "ключ", "m", "d")]
    for offset in range(STEPS):
        key, wanted = dice.choice(keys), deadlines(dice)
        row = encode_deadlines(wanted) + b"facts %d" % offset
        what = dice.randrange(8)
        if what < 3:
            gone = dice.random() < 0.2
            spent = [(dice.choice(wanted), key)] if wanted and dice.random() < 0.3 else []
            change = RowChange(key, None if gone else row, rows.get(key, []), [] if gone else wanted)
            meta = Meta(b"epoch--1", (NEVER, 1, offset), dice.choice((0, 1)))
            own = [RowChange(one, part, [], []) for one, part in encode_outbox([key])]
            partition.write([change, *own, RowChange(META, meta.encode(), [], [])], spent, dice.choice((offset, None)))
            rows[key] = change.after
        elif what == 3:
            other = dice.choice(keys)
            records = [SimpleNamespace(offset=offset, key=key, value=row, headers=[])]
            if other != key:
                records.append(SimpleNamespace(offset=offset + 1, key=other, value=None, headers=[]))
                rows[other] = []
            store.apply_rows(CHANGELOG, records)
            rows[key] = wanted
        elif what == 4:
            since, before = dice.choice(INSTANTS), dice.choice(INSTANTS)
            answers.append(partition.due(dice.randrange(4), since, before, dice.choice((1, 2, 100))))
        elif what == 5:
            answers.append([partition.first_due(gate) for gate in range(4)])
        elif what == 6:
            answers.append(partition.rows(dice.sample(keys, 3)))
        else:
            meta_now = partition.meta()
            answers += [meta_now, store.persisted_offset(CHANGELOG), meta_now and partition.outbox(meta_now)]
        if dice.random() < 0.05:
            reopened()
    answers.append([(bytes(key), bytes(row)) for key, row in store._dbs[NUMBER].items()])
    store._dbs.pop(NUMBER).close()
    for ask in (partition.meta, lambda: partition.rows([keys[0]]), lambda: partition.write([], [], 1)):
        with pytest.raises(Exception) as error:  # noqa: PT011 which one is the product's own business
            ask()
        answers.append(type(error.value))
    return answers


def answers_of_rocksdb(seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The walk on the real one."""
    app = faust.App(f"state-{uuid.uuid4().hex}", datadir=str(folder), env={}, origin="recon_stream.apps")
    real = Store("recon://", app, app.Table("transactions", partitions=1, key_type=bytes, value_type=bytes))

    def reopened() -> None:
        real._dbs.pop(NUMBER).close()
        real._db_for_partition(NUMBER)

    real._db_for_partition(NUMBER)
    monkeypatch.setattr(transactions, "table", SimpleNamespace(data=real))
    return walk(seed, real, reopened)


def answers_of_the_fake(seed: int, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The walk on that of the simulation."""
    rows: Any = disk.Rdict()
    fake = store_on({NUMBER: rows})
    monkeypatch.setattr(transactions, "table", SimpleNamespace(data=fake))
    monkeypatch.setattr(transactions, "rocksdict", disk.ROCKSDICT)
    monkeypatch.setattr(store_module, "rocksdict", disk.ROCKSDICT)
    return walk(seed, fake, lambda: rows.keep(rows.writes))


@pytest.mark.parametrize("seed", range(8))
def test_the_disk_of_the_simulation_answers_as_rocksdb_does(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes, tombstones, the index in order of time, multi-gets, offsets, reopening, and a partition that is gone."""
    real = answers_of_rocksdb(seed, tmp_path, monkeypatch)
    assert answers_of_the_fake(seed, monkeypatch) == real


def test_a_power_failure_takes_the_latest_writes_as_a_whole() -> None:
    """What RocksDB's log promises: some last writes are gone, none of them in part."""
    rows = disk.Rdict()
    for number in range(3):
        batch = disk.WriteBatch(raw_mode=True)
        batch.put(b"a", b"%d" % number)
        batch.put(b"offset", b"%d" % number)
        rows.write(batch)
    rows.keep(2)
    assert dict(rows.items()) == {b"a": b"1", b"offset": b"1"}
    rows.keep(0)
    assert dict(rows.items()) == {}
