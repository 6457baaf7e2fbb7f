"""Deterministic simulation of the matcher: real engine, lanes, units and rows on a fake broker, disk, Redis and clock.

One seed decides everything: the history of the feeds, how fetches cut it, which callback runs next, what the broker and
Redis do with each call, where processes die, and who owns the partition when. A failing seed replays exactly:
`python -m tests.simulation --seed N --trace`.

    loop       an asyncio loop with virtual time that picks the next callback by chance and drops those of dead processes
    seams      puts the fakes where the product reads the clock, dice and RocksDB
    broker     topics as append-only logs, a producer that is slow or fails, committed offsets
    disk       rocksdict over a dict, with crashes that lose the latest writes
    valkey     the two scripts of the duplicate filter over a dict
    history    what the banks send
    process    one worker process: Faust's part around the real consumer and engine
    world      the plan of a seed and its execution
    oracle     what must hold, at every commit and at the end
    controls   broken copies of the product that must be caught
    pool       many seeds on all cores
"""
