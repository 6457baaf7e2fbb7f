"""Services that are away, slow, or cut off in the middle."""

from __future__ import annotations

import asyncio
import time
from random import Random

from tests.faults.bench import Bench
from tests.faults.crashes import SLOW_RATE
from tests.faults.proxy import on_commit
from tests.faults.scenarios import scenario

AWAY_SECONDS = 60.0
LATENCY = 0.05

# Broker


@scenario("the broker is stopped for 60 seconds and started again", proxied=("kafka",))
async def broker_stopped(bench: Bench) -> None:
    """A polite stop; worker and sink wait or are started again, and go on."""
    await bench.start_all()
    bench.start_feed(1000)
    await bench.stop_feed(12_000)
    bench.faults += 1
    await asyncio.to_thread(bench.stack.stop, "kafka")
    await asyncio.sleep(AWAY_SECONDS)
    await bench.stack.start()
    bench.start_feed()
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("SIGKILL of the broker in the middle of the feed, twice", proxied=("kafka",))
async def broker_killed(bench: Bench) -> None:
    """It starts again at once and repairs its logs; the feeds, too, send again what was not acknowledged."""
    await bench.start_all()
    bench.start_feed(SLOW_RATE * 2)
    for number in (1, 2):
        await bench.until_fed(5_000 * number)
        bench.faults += 1
        await asyncio.to_thread(bench.stack.kill, "kafka")
        await bench.stack.start()
        await bench.until_recovered()
    await bench.stop_feed()


@scenario("the broker freezes for 30 seconds: connections stay, nothing is answered", proxied=("kafka",))
async def broker_frozen(bench: Bench) -> None:
    """Longer than a session, shorter than what producers wait for an acknowledgement."""
    await bench.start_all()
    bench.start_feed(1000)
    await bench.stop_feed(12_000)
    bench.faults += 1
    bench.stack.freeze("kafka")
    await asyncio.sleep(30)
    bench.stack.thaw("kafka")
    bench.start_feed()
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("the broker is behind a line with 50 ms each way and 2 MB/s", proxied=("kafka",))
async def broker_slow(bench: Bench) -> None:
    """Slow is not broken: no process ends, no group changes."""
    bench.stack.kafka.latency, bench.stack.kafka.bandwidth = LATENCY, 2_000_000
    await bench.start_all()
    bench.start_feed(SLOW_RATE * 2)
    await bench.until_fed(15_000)
    bench.faults += 1
    bench.stack.kafka.calm()
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("one chunk in 300 resets its connection to the broker", proxied=("kafka",))
async def broker_resetting(bench: Bench) -> None:
    """Acknowledgements get lost: what was appended is unknown, and is sent again."""
    await bench.start_all()
    bench.stack.kafka.reset_share = 1 / 300
    bench.start_feed(SLOW_RATE)
    await bench.until_fed(15_000)
    bench.stack.kafka.calm()
    bench.faults += bench.stack.kafka.strikes
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("the network to the broker drops everything for 20 seconds, while the feed goes on", proxied=("kafka",))
async def broker_unreachable(bench: Bench) -> None:
    """The members are dropped from their groups and do not know."""
    await bench.start_all()
    bench.start_feed()
    await bench.until_fed(5_000)
    bench.faults += 1
    bench.stack.kafka.is_hanging = True
    await asyncio.sleep(20)
    bench.stack.kafka.is_hanging = False
    await bench.until_recovered()
    await bench.stop_feed()


# PostgreSQL


@scenario("PostgreSQL is stopped for 30 seconds while the feed goes on", proxied=("postgres",))
async def postgres_stopped(bench: Bench) -> None:
    """The matcher does not notice; the sink waits and loses nothing."""
    await bench.start_all()
    bench.start_feed()
    await bench.until_fed(5_000)
    bench.faults += 1
    await asyncio.to_thread(bench.stack.stop, "postgres")
    await asyncio.sleep(AWAY_SECONDS / 2)
    await bench.stack.start()
    await bench.until_recovered()
    await bench.stop_feed()
    assert bench.sink.exits == [], "the sink waits in place"


@scenario(
    "connections to PostgreSQL are cut in the middle of a COMMIT, before or after it was done", proxied=("postgres",)
)
async def postgres_cut_in_commit(bench: Bench) -> None:
    """Whether it was done is unknown to the sink: it repeats, and nothing is doubled."""
    await bench.start_all()
    for wish, events in (("deliver", 7_000), ("drop", 14_000)):
        bench.stack.postgres.watch = on_commit(wish, 9)
        if not bench.fed:
            bench.start_feed()
        await bench.until_fed(events)
    bench.stack.postgres.watch = None
    bench.faults += bench.stack.postgres.strikes
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("SIGKILL of PostgreSQL just when it has a COMMIT in its hands, three times", proxied=("postgres",))
async def postgres_killed_in_commit(bench: Bench) -> None:
    """The whole server dies, and recovers from its log."""
    await bench.start_all()
    bench.start_feed()
    for number in (1, 2, 3):
        await bench.until_fed(4_000 * number)
        bench.stack.postgres.watch = on_commit("deliver", 1)
        strikes = bench.stack.postgres.strikes
        while bench.stack.postgres.strikes == strikes:  # noqa: ASYNC110 counted in another thread
            await asyncio.sleep(0.001)
        await asyncio.to_thread(bench.stack.kill, "postgres")
        bench.faults += 1
        bench.stack.postgres.watch = None
        await bench.stack.start()
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("every answer of PostgreSQL takes 300 ms", proxied=("postgres",))
async def postgres_slow(bench: Bench) -> None:
    """Larger transactions, bounded memory, no end of the process."""
    bench.stack.postgres.latency = 0.15
    await bench.start_all()
    bench.start_feed()
    await bench.until_fed(12_000)
    bench.faults += 1
    bench.stack.postgres.calm()
    await bench.until_recovered()
    await bench.stop_feed()
    assert bench.sink.exits == [], "slow is not broken"


@scenario("another session holds the tables of the sink and dies in deadlocks with it")
async def postgres_deadlocking(bench: Bench) -> None:
    """It locks rows and tables in the other order; whichever is sacrificed, the sink repeats."""
    await bench.start_all()
    bench.start_feed()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        bench.faults += await asyncio.to_thread(hold_locks, bench)
    await bench.until_recovered()
    await bench.stop_feed()


def hold_locks(bench: Bench) -> int:
    """Lock a table first, bookkeeping second, as the sink does not; 1 where that was a deadlock or a wait."""
    import psycopg

    with bench.stack.superuser(bench.database) as database:
        database.execute("SET deadlock_timeout = '3s'")  # the sink, with one second, notices first
        try:
            with database.transaction():
                database.execute("LOCK TABLE reconciliation_results IN EXCLUSIVE MODE")
                database.execute("SELECT pg_sleep(0.5)")
                database.execute("SELECT * FROM sink_offsets FOR UPDATE")
                database.execute("SELECT pg_sleep(0.2)")
        except psycopg.errors.DeadlockDetected:
            pass  # PostgreSQL chose this side; the sink has waited then, which strikes it as well
    return 1


@scenario("the disk of PostgreSQL is full for 20 seconds (a small tmpfs as tablespace)", small_tablespace=True)
async def postgres_disk_full(bench: Bench) -> None:
    """The sink pauses, says why, and goes on by itself when there is room again."""
    await bench.start_all()
    bench.start_feed()
    await bench.until_fed(3_000)
    with bench.fill_disk():
        bench.faults += 1
        await asyncio.sleep(20)
        assert "No space left" in bench.sink.log.read_text(), "the disk was not full"
    await bench.until_recovered()
    await bench.stop_feed()
    assert bench.sink.exits == [], "a full disk is waited for"


# Valkey


@scenario("Valkey is stopped for 20 seconds, and comes back empty", proxied=("valkey",))
async def valkey_stopped(bench: Bench) -> None:
    """The filter fails open: the state decides alone."""
    await bench.start_all()
    bench.start_feed()
    await bench.until_fed(4_000)
    bench.faults += 1
    await asyncio.to_thread(bench.stack.stop, "valkey")
    await asyncio.sleep(20)
    await bench.stack.start()
    await bench.until_recovered()
    await bench.stop_feed()
    assert bench.worker.exits == []


@scenario("Valkey forgets everything, every half second")
async def valkey_flushed(bench: Bench) -> None:
    """FLUSHALL while duplicates come."""
    await bench.start_all()
    bench.start_feed()
    while bench.fed < 18_000:
        bench.check()
        await bench.flush_redis()
        bench.faults += 1
        await asyncio.sleep(0.5)
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("Valkey answers slowly, then not at all, then resets connections", proxied=("valkey",))
async def valkey_slow(bench: Bench) -> None:
    """Slower than its timeout for some, then silent for all."""
    await bench.start_all()
    bench.start_feed()
    for fault in ("latency", "hang", "reset"):
        before = bench.fed
        proxy = bench.stack.valkey
        proxy.latency = 0.3 if fault == "latency" else 0.0
        proxy.is_hanging = fault == "hang"
        proxy.reset_share = 0.05 if fault == "reset" else 0.0
        bench.faults += 1
        await bench.until_fed(before + 5_000)
    bench.stack.valkey.calm()
    await bench.until_recovered()
    await bench.stop_feed()
    assert bench.worker.exits == []


# Schema registry


@scenario("the registry is down when all start, for 15 seconds", proxied=("registry",))
async def registry_down_at_start(bench: Bench) -> None:
    """Worker and sink wait for it, and turn no record away."""
    await asyncio.to_thread(bench.stack.registry.close)
    bench.faults += 1
    for role in bench.roles:
        role.start()
    bench.start_feed()
    await asyncio.sleep(15)
    assert not any(role.exits for role in bench.roles)
    await asyncio.to_thread(bench.stack.registry.open)
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("the registry answers 500, 429, HTML, hangs, is cut off, and restarts meet it so", proxied=("registry",))
async def registry_failing(bench: Bench) -> None:
    """Each time worker and sink are killed, so that nothing is known from before; no record becomes a dead letter for it."""
    await bench.start_all()
    bench.start_feed(SLOW_RATE)
    for mode in ("500", "429", "cut", "hang", "html"):
        bench.stack.registry.mode = mode
        strikes = bench.stack.registry.strikes
        for role in bench.roles:
            await role.kill()
        deadline = time.monotonic() + 60
        while bench.stack.registry.strikes < strikes + 3:
            bench.check()
            assert time.monotonic() < deadline, f"nobody asks the registry while it is {mode}"
            await asyncio.sleep(0.1)
        bench.stack.registry.mode = "pass"
        bench.say(f"the registry was {mode}")
        await bench.until_recovered(mode)
    bench.faults += bench.stack.registry.strikes
    await bench.stop_feed()


@scenario("the registry does not know a schema for four seconds: a replica that lags", proxied=("registry",))
async def registry_behind(bench: Bench) -> None:
    """404 for a moment is no verdict on a record."""
    await bench.start_all()
    bench.start_feed(SLOW_RATE)
    await bench.until_fed(3_000)
    bench.stack.registry.mode, bench.stack.registry.only = "404", "/schemas/ids/"
    for role in bench.roles:
        await role.kill()
    while bench.stack.registry.strikes < 2:
        bench.check()
        await asyncio.sleep(0.05)
    await asyncio.sleep(4)
    bench.stack.registry.mode = "pass"
    bench.faults += bench.stack.registry.strikes
    await bench.until_recovered()
    await bench.stop_feed()


@scenario("everything fails together: a seeded mix of kills, a slow broker, PostgreSQL, Valkey and the registry",
          workers=2, proxied=("kafka", "postgres", "valkey", "registry"))  # fmt: skip
async def everything_at_once(bench: Bench) -> None:
    """A minute and a half of whatever comes."""
    random = Random(bench.seed)
    await bench.start_all()
    bench.start_feed(SLOW_RATE)
    end = time.monotonic() + 90
    while time.monotonic() < end:
        bench.check()
        stack = bench.stack
        stack.kafka.latency = random.choice([0, 0, 0.02])
        stack.kafka.reset_share = random.choice([0, 0, 1 / 500])
        stack.postgres.reset_share = random.choice([0, 0, 1 / 50])
        stack.postgres.latency = random.choice([0, 0, 0.1])
        stack.valkey.is_hanging = random.random() < 0.2
        stack.registry.mode = random.choice(["pass", "500", "cut"])
        if random.random() < 0.4:
            await random.choice(bench.roles).kill()
        bench.faults += 1
        await asyncio.sleep(random.uniform(1, 6))
    for proxy in (bench.stack.kafka, bench.stack.postgres, bench.stack.valkey):
        proxy.calm()
    bench.stack.registry.mode = "pass"
    await bench.until_recovered()
    await bench.stop_feed()
