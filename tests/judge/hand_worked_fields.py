"""Cases worked out by hand: one event a source, and what differs between the legs. See hand_worked."""

from __future__ import annotations

from .hand_worked_form import CaseBuilder, HandWorked, Says, Shows, instant

C, G, M = "CORE", "GATEWAY", "MOBILE"
STATUS = "STATUS_MISMATCH"
TWO = [Shows(C, 0), Shows(G, 0)]
THREE = [Shows(C, 0), Shows(G, 0), Shows(M, 0)]


def clean() -> HandWorked:
    case = CaseBuilder("H01", "three legs that agree", "A single early leg publishes nothing; copies change nothing.")
    case.arrives(C, "c1", 0).nothing()
    case.arrives(G, "g1", 1).publishes(1, "PENDING", TWO, mismatch=False)
    case.arrives(G, "g1", 1.5, occurred=1).nothing()  # the same event at other coordinates: a duplicate
    case.arrives(M, "m1", 2).publishes(2, "MATCHED", THREE, mismatch=False)
    case.arrives(C, "c1", 3, occurred=0).nothing()
    return case.done()


def amount_odd_one_out() -> HandWorked:
    case = CaseBuilder("H02", "one amount of three differs", "The odd source is the subject, the majority is expected.")
    case.arrives(M, "m1", 0).nothing()
    case.arrives(C, "c1", 1).publishes(1, "PENDING", [Shows(C, 0), Shows(M, 0)], mismatch=False)
    said = Says("AMOUNT_MISMATCH", G, "HIGH", "", "amount_minor", "10000", "10100", 100)
    case.arrives(G, "g1", 2, amount_minor=10_100).publishes(2, "BROKEN", THREE, [said], mismatch=True)
    return case.done()


def currency_suppresses_amount() -> HandWorked:
    case = CaseBuilder(
        "H03", "another currency", "With two currencies amounts are not compared at all: the amount break closes."
    )
    listed = "CORE=10000;GATEWAY=10100"
    amount = Says("AMOUNT_MISMATCH", "ALL", "HIGH", "", "amount_minor", None, listed, 100)
    case.arrives(C, "c1", 0).nothing()
    case.arrives(G, "g1", 1, amount_minor=10_100).publishes(1, "BROKEN", TWO, [amount], mismatch=True)
    agreed = Says("AMOUNT_MISMATCH", "ALL", "HIGH", "", "amount_minor", None, listed, 100, "AUTO_AGREED")
    currency = Says("CURRENCY_MISMATCH", M, "CRITICAL", "", "currency", "USD", "EUR")
    case.arrives(M, "m1", 2, amount_minor=9000, currency="EUR")
    case.publishes(2, "BROKEN", THREE, [currency, agreed], mismatch=True)
    return case.done()


def third_leg_refines() -> HandWorked:
    case = CaseBuilder("H04", "the third leg names the odd one", "The same break id; subject and evidence change.")
    case.arrives(C, "c1", 0).nothing()
    said = Says("AMOUNT_MISMATCH", "ALL", "HIGH", "", "amount_minor", None, "CORE=10000;GATEWAY=9900", 100)
    case.arrives(G, "g1", 1, amount_minor=9900).publishes(1, "BROKEN", TWO, [said], mismatch=True)
    said = Says("AMOUNT_MISMATCH", G, "HIGH", "", "amount_minor", "10000", "9900", -100)
    case.arrives(M, "m1", 2).publishes(2, "BROKEN", THREE, [said], mismatch=True)
    return case.done()


def references() -> HandWorked:
    case = CaseBuilder("H17", "references, null and empty", "Only references that are there can differ.")
    case.arrives(C, "c1", 0).nothing()
    case.arrives(G, "g1", 1, reference="").publishes(1, "PENDING", TWO, mismatch=False)
    case.arrives(M, "m1", 2, reference="R1").publishes(2, "MATCHED", THREE, mismatch=False)
    case.arrives(C, "c1", 3, occurred=0, reference="R2", revision=1)
    said = Says("REFERENCE_MISMATCH", "ALL", "MEDIUM", "", "reference", None, "CORE=R2;MOBILE=R1")
    case.publishes(3, "BROKEN", [Shows(C, 1), Shows(G, 0), Shows(M, 0)], [said], mismatch=True)
    case.arrives(G, "g1", 4, occurred=1, reference="R1", revision=1)
    said = Says("REFERENCE_MISMATCH", C, "MEDIUM", "", "reference", "R1", "R2")
    case.publishes(4, "BROKEN", [Shows(C, 1), Shows(G, 1), Shows(M, 0)], [said], mismatch=True)
    return case.done()


def timestamp_odd_one_out() -> HandWorked:
    case = CaseBuilder("H18", "one leg outside the window", "Its Kafka timestamp does not matter, only occurred_at.")
    case.arrives(C, "c1", 46, occurred=0).nothing()
    case.arrives(G, "g1", 46, occurred=10).publishes(1, "PENDING", TWO, mismatch=False)
    early, late = str(instant(0)), str(instant(45))
    said = Says("TIMESTAMP_MISMATCH", M, "LOW", "", "occurred_at", early, late)
    case.arrives(M, "m1", 46, occurred=45).publishes(2, "BROKEN", THREE, [said], mismatch=True)
    return case.done()


def timestamp_without_odd_one() -> HandWorked:
    case = CaseBuilder(
        "H19",
        "a chain of times",
        "Exactly the window apart is inside. 0, 30, 31: two pairs keep inside, so ALL. 200,000 KWD: capped at MEDIUM.",
    )
    money = {"amount_minor": 200_000_000, "currency": "KWD"}
    case.arrives(C, "c1", 46, occurred=0, **money).nothing()
    case.arrives(M, "m1", 46, occurred=30, **money)
    case.publishes(1, "PENDING", [Shows(C, 0), Shows(M, 0)], mismatch=False)
    listed = f"CORE={instant(0)};GATEWAY={instant(31)};MOBILE={instant(30)}"
    said = Says("TIMESTAMP_MISMATCH", "ALL", "MEDIUM", "", "occurred_at", None, listed)
    case.arrives(G, "g1", 46, occurred=31, **money).publishes(2, "BROKEN", THREE, [said], mismatch=True)
    return case.done()


def direction() -> HandWorked:
    case = CaseBuilder("H22", "debit against credit", "CRITICAL; a status that is not REVERSED makes it no progress.")
    case.arrives(C, "c1", 0).nothing()
    case.arrives(G, "g1", 1, status="AUTHORIZED").publishes(1, "PENDING", TWO, mismatch=False)
    twice = Says("DUPLICATE_ENTRY", G, "HIGH")
    case.arrives(G, "g2", 2, direction="CREDIT").publishes(2, "BROKEN", TWO, [twice], mismatch=True)
    said = Says("DIRECTION_MISMATCH", M, "CRITICAL", "", "direction", "DEBIT", "CREDIT")
    case.arrives(M, "m1", 3, direction="CREDIT").publishes(3, "BROKEN", THREE, [twice, said], mismatch=True)
    return case.done()


def yen_inside() -> HandWorked:
    case = CaseBuilder(
        "H24", "yen inside the tolerance", "Of 5 absolute and 1000 ppm (10 yen) the stricter: 5 is inside."
    )
    yen = {"currency": "JPY"}
    case.arrives(C, "c1", 0, amount_minor=10_000, **yen).nothing()
    case.arrives(G, "g1", 1, amount_minor=10_005, **yen).publishes(1, "PENDING", TWO, mismatch=False)
    case.arrives(M, "m1", 2, amount_minor=10_000, **yen)
    case.publishes(2, "MATCHED_WITHIN_TOLERANCE", THREE, mismatch=False)
    return case.done()


def yen_outside() -> HandWorked:
    case = CaseBuilder(
        "H25",
        "yen outside the tolerance",
        "1000 ppm of 3000 is 3 yen; then 15,000 yen of difference raise the severity once.",
    )
    yen = {"currency": "JPY"}
    case.arrives(C, "c1", 0, amount_minor=3004, **yen).nothing()
    said = Says("AMOUNT_MISMATCH", "ALL", "HIGH", "", "amount_minor", None, "CORE=3004;GATEWAY=3000", 4)
    case.arrives(G, "g1", 1, amount_minor=3000, **yen).publishes(1, "BROKEN", TWO, [said], mismatch=True)
    said = Says("AMOUNT_MISMATCH", "ALL", "CRITICAL", "", "amount_minor", None, "CORE=3004;GATEWAY=18004", 15_000)
    case.arrives(G, "g1", 2, occurred=1, amount_minor=18_004, revision=1, **yen)
    case.publishes(2, "BROKEN", [Shows(C, 0), Shows(G, 1)], [said], mismatch=True)
    return case.done()


def amounts_in_a_chain() -> HandWorked:
    case = CaseBuilder("H26", "amounts in a chain", "1.00, 1.04, 1.08 EUR at 5 cent: two pairs keep inside, so ALL.")
    euro = {"currency": "EUR"}
    case.arrives(C, "c1", 0, amount_minor=100, **euro).nothing()
    case.arrives(G, "g1", 1, amount_minor=104, **euro).publishes(1, "PENDING", TWO, mismatch=False)
    listed = "CORE=100;GATEWAY=104;MOBILE=108"
    said = Says("AMOUNT_MISMATCH", "ALL", "HIGH", "", "amount_minor", None, listed, 8)
    case.arrives(M, "m1", 2, amount_minor=108, **euro).publishes(2, "BROKEN", THREE, [said], mismatch=True)
    return case.done()


def terminal_conflict() -> HandWorked:
    case = CaseBuilder("H14", "declined against posted", "Open at once, no grace.")
    case.arrives(C, "c1", 0).nothing()
    said = Says(STATUS, "ALL", "CRITICAL", "TERMINAL_CONFLICT", "status", None, "CORE=POSTED;GATEWAY=DECLINED")
    case.arrives(G, "g1", 1, status="DECLINED").publishes(1, "BROKEN", TWO, [said], mismatch=True)
    said = Says(STATUS, G, "CRITICAL", "TERMINAL_CONFLICT", "status", "POSTED", "DECLINED")
    case.arrives(M, "m1", 2).publishes(2, "BROKEN", THREE, [said], mismatch=True)
    return case.done()


def lagging() -> HandWorked:
    case = CaseBuilder(
        "H12", "a source lags after the grace", "Open at the latest status moment plus 60 s; progress closes it."
    )
    case.arrives(C, "c1", 0).nothing()
    case.arrives(G, "g1", 1, status="AUTHORIZED").publishes(1, "PENDING", TWO, mismatch=False)
    case.arrives(M, "m1", 2).publishes(2, "PENDING", THREE, mismatch=False)
    said = Says(STATUS, G, "MEDIUM", "LAGGING", "status", "POSTED", "AUTHORIZED")
    case.passes("STATUS_GRACE", 62).publishes(3, "BROKEN", THREE, [said], mismatch=True)
    case.arrives(G, "g2", 70)
    done = Says(STATUS, G, "MEDIUM", "LAGGING", "status", "POSTED", "AUTHORIZED", None, "AUTO_AGREED")
    legs = [Shows(C, 0), Shows(G, 0, status="CAPTURED"), Shows(M, 0)]
    case.publishes(4, "MATCHED", legs, [done], mismatch=True)
    return case.done()


def lagging_becomes_conflict() -> HandWorked:
    case = CaseBuilder(
        "H13",
        "two legs lag, the third contradicts",
        "Two legs: the one PENDING source without a majority; then FAILED against SUCCESS comes first, the same break.",
    )
    case.arrives(C, "c1", 0, status="REJECTED").nothing()
    case.arrives(G, "g1", 1, status="AUTHORIZED").publishes(1, "PENDING", TWO, mismatch=False)
    missing = Says("MISSING_ENTRY", M, "MEDIUM")
    case.passes("MISSING_ENTRY", 30, M).publishes(2, "BROKEN", TWO, [missing], mismatch=True)
    lags = Says(STATUS, G, "MEDIUM", "LAGGING", "status", None, "CORE=REJECTED;GATEWAY=AUTHORIZED")
    case.passes("STATUS_GRACE", 61).publishes(3, "BROKEN", TWO, [lags, missing], mismatch=True)
    case.arrives(M, "m1", 65, occurred=1)
    listed = "CORE=REJECTED;GATEWAY=AUTHORIZED;MOBILE=SUCCESS"
    contradicts = Says(STATUS, "ALL", "CRITICAL", "TERMINAL_CONFLICT", "status", None, listed)
    came = Says("MISSING_ENTRY", M, "MEDIUM", resolution="AUTO_LATE_ARRIVAL")
    case.publishes(4, "BROKEN", THREE, [contradicts, came], mismatch=True)
    return case.done()


def stuck() -> HandWorked:
    case = CaseBuilder("H20", "three legs PENDING for a day", "Then one moves on: the grace runs from its moment.")
    case.arrives(C, "c1", 0, status="PENDING").nothing()
    case.arrives(G, "g1", 1, status="AUTHORIZED").publishes(1, "PENDING", TWO, mismatch=False)
    case.arrives(M, "m1", 2, status="PROCESSING").publishes(2, "PENDING", THREE, mismatch=False)
    listed = "CORE=PENDING;GATEWAY=AUTHORIZED;MOBILE=PROCESSING"
    said = Says(STATUS, "ALL", "MEDIUM", "STUCK", "status", None, listed)
    case.passes("PENDING_LIMIT", 2 + 86_400).publishes(3, "BROKEN", THREE, [said], mismatch=True)
    case.arrives(C, "c2", 90_000)
    moved = Says(STATUS, "ALL", "MEDIUM", "STUCK", "status", None, listed, None, "AUTO_AGREED")
    legs = [Shows(C, 0, status="POSTED"), Shows(G, 0), Shows(M, 0)]
    case.publishes(4, "PENDING", legs, [moved], mismatch=True)
    return case.done()


CASES: tuple[HandWorked, ...] = (
    clean(),
    amount_odd_one_out(),
    currency_suppresses_amount(),
    third_leg_refines(),
    references(),
    timestamp_odd_one_out(),
    timestamp_without_odd_one(),
    direction(),
    yen_inside(),
    yen_outside(),
    amounts_in_a_chain(),
    terminal_conflict(),
    lagging(),
    lagging_becomes_conflict(),
    stuck(),
)
