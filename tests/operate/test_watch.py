"""What `watch` counts and how it draws it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import orjson
import pytest
from operate_samples import a_break, a_result, environment, publish
from rich.console import Console

from recon_stream.settings import Settings
from recon_stream.topics import RESULTS, create_topics
from recon_stream.verify import watch_model
from recon_stream.verify.watch_model import Model, Process, Rate, Sample, Totals, as_json, match_rate
from recon_stream.verify.watch_sources import Feed
from recon_stream.verify.watch_view import bar, duration, render, sparkline

NOW = 1_795_372_800.0


def a_model() -> Model:
    """A busy system: three feeds, breaks of several classes, a worker that is ready and a sink that is not."""
    model = Model(started_at=NOW - 60, broker="kafka.example:9092")
    for number in range(50):
        model.saw_result(a_result(f"T{number}", 1))
    for number in range(50, 60):
        result = a_result(f"T{number}", 1, a_break(f"b{number}"))
        model.saw_result(result)
        model.saw_mismatch(result)
    for second in range(10):
        ends = {
            "core_txns": 100 * second,
            "gateway_txns": 100 * second,
            "mobile_txns": 50 * second,
            RESULTS: 80 * second,
        }
        model.saw_ends(NOW - 9 + second, ends)
    model.lag = {"worker": {"core_txns": 12, "gateway_txns": 0, "mobile_txns": 0}, "sink": {RESULTS: 123_456}}
    processes = (Process("sink", 0, 9120, ("paused: PostgreSQL is away",)), Process("worker", 0, 9100, ()))
    model.sample = Sample(processes, {"core_txns": 0.4, "gateway_txns": 700.0}, frozenset({"MOBILE"}), {"BAD_AVRO": 3})
    return model


def drawn(model: Model, width: int, height: int | None = None) -> list[str]:
    console = Console(width=width, height=height, force_terminal=height is not None, color_system=None)
    options = console.options if height is None else console.options.update(height=height)
    return ["".join(segment.text for segment in line) for line in console.render_lines(render(model, NOW), options)]


@pytest.mark.parametrize("width", [80, 119, 120, 160, 200])
def test_a_frame_fits_its_width_and_loses_nothing_that_matters(width: int) -> None:
    """At each width: the figures, the lag, the processes, whole ids and whole amounts; no line is too long."""
    lines = drawn(a_model(), width)
    text = "\n".join(lines)
    assert all(len(line) <= width for line in lines)
    assert "83.33 %" in text  # 50 of 60
    for wanted in ("250 /s", "AMOUNT_MISMATCH", "123,456 !", "0.4 s ago", "11 min ago", "STALLED", "WORKER LAG"):
        assert wanted in text, wanted
    assert "amount 1,347.02 → 1,320.17" in text
    assert "1,347.02 GBP" in text
    assert "T59" in text
    assert "worker 1 ready" in text
    assert "sink 0/1 ready (paused: PostgreSQL is away)" in text
    assert "web none" in text
    assert "seen here since the start" in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 50), (160, 30), (200, 60)])
def test_a_frame_fills_the_terminal_exactly(width: int, height: int) -> None:
    """Not one line more: what does not fit would scroll or hide the state of the processes."""
    model = a_model()
    for number in range(100):
        model.saw_mismatch(a_result(f"N{number}", 1, a_break(f"n{number}")))
    lines = drawn(model, width, height)
    assert len(lines) <= height
    assert any("worker 1 ready" in line for line in lines[-2:])
    assert any("N99" in line for line in lines), "the newest mismatch"


def test_what_is_away_is_named_and_the_rest_goes_on() -> None:
    """Without Kafka the lag is not known, and the frame says so instead of showing old numbers as new."""
    model = a_model()
    model.is_away("Kafka", "connection refused")
    text = "\n".join(drawn(model, 120))
    assert "AWAY Kafka: connection refused" in text
    assert "1 AWAY" in text
    assert "123,456" not in text


def test_severity_and_verdict_are_said_in_words_and_not_by_colour_alone() -> None:
    """Without any colour everything can still be read."""
    text = "\n".join(drawn(a_model(), 160))
    assert "HIGH" in text
    assert "OPENED" in text
    assert "✗ BROKEN" in text


def test_the_match_rate_counts_decided_transactions_only() -> None:
    """PENDING is not decided and VOID is out of scope; a hundred per cent is shown only when it is all of them."""
    counts = {"MATCHED": 8, "MATCHED_WITHIN_TOLERANCE": 1, "BROKEN": 2, "ACCEPTED": 1, "PENDING": 99, "VOID": 5}
    assert match_rate(counts) == (9, 12)
    model = Model(started_at=NOW)
    model.saw_totals(NOW, Totals({"MATCHED": 99_999, "BROKEN": 1}, {}, {}))
    assert "99.99 %" in "\n".join(drawn(model, 80))


def test_a_later_revision_replaces_the_earlier_one() -> None:
    """One live verdict a transaction: re-reads and old revisions count nothing."""
    model = Model(started_at=NOW)
    broken, matched = a_result("T1", 1, a_break("b")), a_result("T1", 2, a_break("b", state="RESOLVED"))
    for result in (broken, matched, matched, broken):
        model.saw_result(result)
    counts = model.counts(NOW)
    assert (dict(counts.verdicts), dict(counts.open_breaks)) == ({"MATCHED": 1}, {})


def test_the_memory_of_a_watcher_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the limit the oldest transactions leave, and their counts with them."""
    monkeypatch.setattr(watch_model, "TRANSACTIONS_MAX", 100)
    model = Model(started_at=NOW)
    for number in range(1000):
        model.saw_result(a_result(f"T{number}", 1, a_break("b")))
        model.saw_mismatch(a_result(f"T{number}", 1, a_break("b")))
    assert dict(model.counts(NOW).verdicts) == {"BROKEN": 100}
    assert len(model.newest) == watch_model.NEWEST_MAX


def test_totals_of_the_database_are_shown_while_they_are_fresh() -> None:
    """A database that stopped answering is not quoted for ever."""
    model = a_model()
    model.saw_totals(NOW, Totals({"MATCHED": 7}, {}, {"BAD_MAGIC": 1}))
    assert model.counts(NOW + 1).verdicts == {"MATCHED": 7}
    assert model.counts(NOW + watch_model.TOTALS_FRESH + 1).verdicts["MATCHED"] == 50


def test_a_rate_survives_a_counter_that_starts_anew_and_ends_with_its_readings() -> None:
    """No negative rate after a reset, none at all when nothing was read for a while."""
    rate = Rate()
    for second, total in enumerate((1000, 1100, 1200, 0, 50)):
        rate.read(NOW + second, total)
    assert rate.per_second(NOW + 4) == 50
    assert min(rate.history) >= 0
    assert rate.per_second(NOW + 60) is None


def test_small_drawings() -> None:
    """Bars never vanish for what is not zero and never leave their room."""
    assert (bar(0, 10, 5), bar(10, 10, 5), bar(99, 10, 5)) == ("", "█████", "█████")
    assert bar(1, 1_000_000, 5) == "▏"
    assert sparkline([0.0, 1.0, 8.0], 10) == " ▁█"
    assert [duration(s) for s in (0.44, 59, 3600, 90_000, 1e6)] == ["0.4 s", "59 s", "60 min", "25 h", "11 d"]


def test_a_frame_for_programs_is_json_with_integers_for_money() -> None:
    """Every key is there, also when nothing is known yet."""
    empty = json.loads(orjson.dumps(as_json(Model(started_at=NOW), NOW)))
    full = json.loads(orjson.dumps(as_json(a_model(), NOW)))
    assert empty.keys() == full.keys()
    assert (empty["match_rate"], full["match_rate"]) == (None, 0.833333)
    assert full["newest"][0]["amount_minor"] == 134702
    assert full["lag"]["sink"] == {RESULTS: 123_456}


async def until(condition, seconds: float = 60) -> None:
    """Wait for a condition, with a bound."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.stack
async def test_a_watcher_sees_results_lag_and_totals_of_real_services(database: Settings) -> None:
    """Results streamed after its start, end offsets and lag from Kafka, totals from PostgreSQL; nothing away."""
    await publish(database, [a_result("before", 1)])
    model = Model(started_at=time.time())
    async with Feed(database, model) as feed:
        await feed.settled(30)
        await until(lambda: not model.away)
        await publish(database, [a_result(f"{database.app_id}-{n}", 1, a_break("b")) for n in range(3)])
        await until(lambda: any(move.txn_id.startswith(database.app_id) for move in model.newest))
        await until(lambda: model.rates[RESULTS].per_second(time.time()))
    assert model.counts(time.time()).origin == "all, from PostgreSQL"
    assert set(model.lag) == {"worker", "sink"}
    assert model.lag["sink"][RESULTS] >= 3, "nobody of this group has read them"


@pytest.mark.stack
async def test_a_watcher_goes_on_without_postgresql(settings: Settings) -> None:
    """It says that the database is away, and counts what it sees itself."""
    await create_topics(settings)
    lost = replace(settings, database_reader_url="postgresql://recon_reader:wrong@127.0.0.1:1/recon")
    model = Model(started_at=time.time())
    async with Feed(lost, model) as feed:
        await feed.settled(30)
        await publish(settings, [a_result(f"{settings.app_id}-1", 1)])
        await until(lambda: model.results_seen >= 1)
        assert "PostgreSQL" in model.away
        assert "Kafka" not in model.away
    assert "wrong" not in str(model.away)


async def test_a_watcher_without_anything_says_what_is_away(tmp_path) -> None:
    """No service at all is a picture with names, not a crash."""
    model = Model(started_at=time.time())
    nowhere = Settings(
        state_dir=tmp_path,
        kafka_bootstrap_servers="127.0.0.1:1",
        database_url="postgresql://a:b@127.0.0.1:1/c",
        operations_port=39_700,
    )
    async with Feed(nowhere, model) as feed:
        await feed.settled(30)
        assert {"Kafka", "recon_results", "PostgreSQL"} <= set(model.away)
    assert "AWAY Kafka" in "\n".join(drawn(model, 80))


@pytest.mark.stack
def test_frames_for_programs_come_until_ctrl_c(settings: Settings) -> None:
    """One object a line, about one a second; SIGINT gives exit code 0 and nothing on standard error."""
    asyncio.run(create_topics(settings))
    watching = subprocess.Popen(
        [sys.executable, "-m", "recon_stream", "watch", "--json"],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        frames = [json.loads(watching.stdout.readline()) for _ in range(3)]
    finally:
        watching.send_signal(signal.SIGINT)
        _, complaints = watching.communicate(timeout=60)
    assert (watching.returncode, complaints) == (0, "")
    assert 0.5 < frames[2]["at"] - frames[1]["at"] < 10
    assert RESULTS in frames[2]["rates"]
