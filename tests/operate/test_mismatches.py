"""`mismatches tail` as another team uses it, on a real broker."""

from __future__ import annotations

import asyncio
import json
import select
import signal
import subprocess
import sys
import time
from decimal import Decimal

import click
import pytest
from operate_samples import AT, a_break, a_result, environment, publish

from recon_stream.settings import Settings
from recon_stream.verify.mismatches import Amount, Since, Wanted, line_of_move
from recon_stream.verify.moves import Moves

ACCOUNT = {"class": "ACCOUNT_MISMATCH", "field": "account", "expected": "A1", "actual": "A2", "delta_minor": None}


def tail(settings: Settings, *options: str) -> list[str]:
    """The lines of one call."""
    done = subprocess.run(
        [sys.executable, "-m", "recon_stream", "mismatches", "tail", *options],
        env=environment(settings), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def told(settings: Settings) -> tuple[Settings, str]:
    """Settings, and the prefix of two transactions with four results: an amount that is corrected, an account."""
    prefix = settings.app_id
    results = [
        a_result(f"{prefix}-1", 1, a_break(f"{prefix}-b1")),
        a_result(f"{prefix}-1", 2, a_break(f"{prefix}-b1", actual="134000", delta_minor=-702)),
        a_result(f"{prefix}-1", 3, a_break(f"{prefix}-b1", state="RESOLVED", resolution="AUTO_CORRECTED")),
        a_result(f"{prefix}-2", 1, a_break(f"{prefix}-b2", severity="CRITICAL", **ACCOUNT), amount_minor=5_000_000),
    ]
    asyncio.run(publish(settings, results))
    return settings, prefix


@pytest.mark.stack
def test_a_subscriber_reads_every_move_from_the_beginning(told: tuple[Settings, str]) -> None:
    """OPENED, CHANGED, RESOLVED with its resolution; one line each, in order, then it ends."""
    settings, prefix = told
    lines = [line for line in tail(settings, "--from", "beginning", "--no-follow") if f"{prefix}-1 " in line]
    assert [line.split()[2] for line in lines] == ["OPENED", "CHANGED", "RESOLVED"]
    assert lines[0].endswith("1,347.02 GBP  amount 1,347.02 → 1,320.17")
    assert lines[2].endswith("corrected")


@pytest.mark.stack
def test_the_filters_choose_moves(told: tuple[Settings, str]) -> None:
    """Class, subject, lowest severity and smallest amount, alone and together."""
    settings, prefix = told
    everything = ("--from", "5m", "--no-follow")

    def chosen(*options: str) -> set[str]:
        return {word for line in tail(settings, *everything, *options) for word in line.split() if prefix in word}

    assert chosen("--class", "account_mismatch") == {f"{prefix}-2"}
    assert chosen("--severity", "CRITICAL") == {f"{prefix}-2"}
    assert chosen("--min-amount", "50000") == {f"{prefix}-2"}
    assert chosen("--source", "CORE") == set()
    assert chosen("--subject", "MOBILE", "--severity", "high") == {f"{prefix}-1", f"{prefix}-2"}


@pytest.mark.stack
def test_a_line_for_programs_has_integers_and_exact_strings(told: tuple[Settings, str]) -> None:
    """Amounts are integers in minor units and beside them strings in major units: no float."""
    settings, prefix = told
    lines = tail(settings, "--from", "5m", "--no-follow", "--json")
    found = [json.loads(line, parse_float=pytest.fail) for line in lines if f'"{prefix}-1"' in line]
    assert [result["revision"] for result in found] == [1, 2, 3]
    assert (found[0]["amount_minor"], found[0]["amount"]) == (134702, "1347.02")
    assert [move["delta"] for move in found[1]["moves"]] == ["-7.02"]
    assert found[2]["moves"][0]["resolution"] == "AUTO_CORRECTED"
    assert found[0]["breaks"][0]["delta_minor"] == -2685
    assert {type(result[name]) for result in found for name in ("partition", "offset")} == {int}


@pytest.mark.stack
def test_a_group_goes_on_where_it_ended(told: tuple[Settings, str]) -> None:
    """Over three calls every result is printed once, also when a call ends in the middle by -n."""
    settings, prefix = told
    options = ("--group", prefix, "--from", "beginning", "--json")
    lines = tail(settings, *options, "-n", "2")
    assert len(lines) == 2
    lines += tail(settings, *options, "--no-follow")
    places = [(line["partition"], line["offset"]) for line in map(json.loads, lines)]
    assert len(places) == len(set(places)), "nothing twice"
    mine = [json.loads(line)["revision"] for line in lines if f'"{prefix}-1"' in line]
    assert mine == [1, 2, 3]
    assert tail(settings, *options, "--no-follow") == [], "and then nothing is left"


@pytest.mark.stack
def test_a_follower_sees_what_comes_and_ends_cleanly_on_ctrl_c(settings: Settings) -> None:
    """From the end: nothing old, the new result at once; SIGINT gives exit code 0 and no traceback."""
    asyncio.run(publish(settings, [a_result(f"{settings.app_id}-old", 1, a_break("old"))]))
    follower = subprocess.Popen(
        [sys.executable, "-m", "recon_stream", "mismatches", "tail", "-n", "1000"],
        env=environment(settings) | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert follower.stdout is not None
        seen: list[object] = []
        for number in range(60):
            # when it has found the end nobody can tell from outside: so until it says something
            asyncio.run(publish(settings, [a_result(f"{settings.app_id}-new-{number}", 1, a_break(f"new-{number}"))]))
            seen, _, _ = select.select([follower.stdout], [], [], 1.0)
            if seen:
                break
        assert seen, "nothing was printed"
    finally:
        follower.send_signal(signal.SIGINT)
        out, err = follower.communicate(timeout=60)
    assert (follower.returncode, err) == (0, "")
    assert f"{settings.app_id}-new-" in out
    assert f"{settings.app_id}-old" not in out


@pytest.mark.stack
def test_a_reader_that_closes_the_pipe_is_no_error(told: tuple[Settings, str]) -> None:
    """`… | head -1` leaves no traceback."""
    settings, _ = told
    command = f"{sys.executable} -m recon_stream mismatches tail --from beginning | head -1"
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=environment(settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_where_to_begin_is_understood_or_refused() -> None:
    """Words, instants with and without a zone, times ago; anything else says what is understood."""
    since = Since()
    assert since.convert("beginning", None, None) == "beginning"
    assert since.convert("2026-11-22T18:26:40", None, None) == AT
    assert since.convert("2026-11-22T19:26:40+01:00", None, None) == AT
    ago = since.convert("15m", None, None)
    assert abs(ago - (time.time() - 900) * 1000) < 5000
    with pytest.raises(click.BadParameter, match="beginning, end"):
        since.convert("yesterday", None, None)
    with pytest.raises(click.BadParameter, match="not an amount"):
        Amount().convert("NaN", None, None)


def test_the_smallest_amount_is_compared_in_the_currency_of_the_transaction() -> None:
    """1000 means a thousand yen and a thousand dinars; an amount that is not known is not shown."""
    wanted = Wanted(amount=Decimal(1000))

    def wants(amount_minor: int | None, currency: str | None) -> bool:
        result = a_result("T", 1, a_break("b"), amount_minor=amount_minor, currency=currency)
        return wanted.wants(Moves().of(result)[0])

    assert (wants(1000, "JPY"), wants(999, "JPY")) == (True, False)
    assert (wants(1_000_000, "KWD"), wants(999_999, "KWD")) == (True, False)
    assert not wants(None, None)


def test_a_line_carries_nothing_that_a_terminal_acts_on() -> None:
    """Also the id of the transaction is other people's text."""
    (move,) = Moves().of(a_result("T\x1b]0;owned\x07", 1, a_break("b", subject="\x1b[31m")))
    assert "\x1b]" not in line_of_move(move)
    assert "\x1b[31mX" not in line_of_move(move)
