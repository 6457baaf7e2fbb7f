"""What a subscriber of recon_mismatches is told."""

from __future__ import annotations

from operate_samples import AT, a_break, a_result

from recon_stream.storage.verdicts import Move
from recon_stream.verify.moves import Moves, clock, evidence, major, money, printable


def moves_of(moves: Moves, *results: dict) -> list[tuple[str, str]]:
    return [(move.break_id, str(move.move)) for result in results for move in moves.of(result)]


def test_a_break_opens_changes_is_resolved_and_opens_again() -> None:
    """Each revision tells exactly what it changed."""
    told = moves_of(
        Moves(),
        a_result("T1", 1, a_break("b")),
        a_result("T1", 2, a_break("b"), a_break("c", **{"class": "ACCOUNT_MISMATCH"})),
        a_result("T1", 3, a_break("b", actual="1"), a_break("c", **{"class": "ACCOUNT_MISMATCH"})),
        a_result("T1", 4, a_break("b", actual="1", state="RESOLVED", resolution="AUTO_CORRECTED")),
        a_result("T1", 5, a_break("b", actual="1")),
    )
    assert told == [("b", "OPENED"), ("c", "OPENED"), ("b", "CHANGED"), ("b", "RESOLVED"), ("b", "REOPENED")]


def test_a_result_that_comes_again_moves_nothing() -> None:
    """Delivery is at least once: equal and older revisions are silent."""
    first, second = a_result("T1", 1, a_break("b")), a_result("T1", 2, a_break("b", actual="1"))
    assert moves_of(Moves(), first, second, first, second) == [("b", "OPENED"), ("b", "CHANGED")]


def test_a_transaction_that_is_new_here_tells_its_present_state() -> None:
    """A subscriber that begins in the middle learns what is open and what is resolved."""
    result = a_result("T1", 7, a_break("b"), a_break("c", state="RESOLVED", resolution="AUTO_LATE_ARRIVAL"))
    assert moves_of(Moves(), result) == [("b", "OPENED"), ("c", "RESOLVED")]


def test_the_memory_of_transactions_is_bounded() -> None:
    """However many transactions come, only the limit is remembered, the most recent ones."""
    moves = Moves(transactions_max=10)
    for number in range(1000):
        moves.of(a_result(f"T{number}", 1, a_break("b")))
    assert len(moves) == 10
    assert moves_of(moves, a_result("T999", 1, a_break("b"))) == []


def test_amounts_are_exact_in_major_units() -> None:
    """Digits follow ISO 4217 and nothing is rounded."""
    assert money(123_456_789_012_345_678, "EUR") == "1,234,567,890,123,456.78 EUR"
    assert (money(1234, "JPY"), money(1234, "KWD"), money(-5, "EUR")) == ("1,234 JPY", "1.234 KWD", "-0.05 EUR")
    assert (money(None, "EUR"), money(1, "XXX"), major(1, None)) == ("-", "-", None)


def test_evidence_is_said_in_words() -> None:
    """Amounts in major units, times as times of day, what everyone says where nobody has the majority."""
    (amount,) = Moves().of(a_result("T1", 1, a_break("b")))
    assert evidence(amount) == "amount 1,347.02 → 1,320.17"
    everyone = a_break("b", subject="ALL", expected=None, actual="CORE=134702;MOBILE=132017")
    assert evidence(Moves().of(a_result("T1", 1, everyone))[0]) == "amount C:1,347.02 ≠ M:1,320.17"
    time = a_break("b", field="occurred_at", expected=str(AT), actual=str(AT + 61_001), delta_minor=None)
    assert evidence(Moves().of(a_result("T1", 1, time))[0]) == "time 18:26:40.000 → 18:27:41.001"
    assert evidence(amount._replace(move=Move.RESOLVED, resolution="AUTO_LATE_ARRIVAL")) == "late arrival"


def test_what_a_terminal_would_act_on_is_never_printed() -> None:
    """An account that carries an escape sequence cannot repaint an operator's screen."""
    hostile = a_break("b", field="account", expected="A1", actual="\x1b[2JA2\n", delta_minor=None)
    said = evidence(Moves().of(a_result("T1", 1, hostile))[0])
    assert "\x1b" not in said
    assert "\n" not in said
    assert printable("ACC-1 ä") == "ACC-1 ä"


def test_the_time_of_day_is_utc() -> None:
    """Whatever the zone of the machine."""
    assert (clock(AT), clock(0, milliseconds=True)) == ("18:26:40", "00:00:00.000")
