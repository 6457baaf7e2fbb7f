"""Cases worked out by hand: several events, copies, corrections and deadlines of a source. See hand_worked."""

from __future__ import annotations

from .hand_worked_form import CaseBuilder, HandWorked, Says, Shows

C, G, M = "CORE", "GATEWAY", "MOBILE"
STATUS = "STATUS_MISMATCH"
TWO = [Shows(C, 0), Shows(G, 0)]
THREE = [Shows(C, 0), Shows(G, 0), Shows(M, 0)]


def missing_then_late() -> HandWorked:
    case = CaseBuilder(
        "H05", "a leg is missing and comes late", "Due at the earliest min(occurred_at, Kafka timestamp) plus grace."
    )
    there = [Shows(C, 0), Shows(M, 0)]
    case.arrives(C, "c1", 0, occurred=-1).nothing()
    case.arrives(M, "m1", 2).publishes(1, "PENDING", there, mismatch=False)
    case.passes("MISSING_ENTRY", 39, G)
    case.publishes(2, "BROKEN", there, [Says("MISSING_ENTRY", G, "MEDIUM")], mismatch=True)
    case.arrives(G, "g1", 50, occurred=3)
    came = Says("MISSING_ENTRY", G, "MEDIUM", resolution="AUTO_LATE_ARRIVAL")
    case.publishes(3, "MATCHED", THREE, [came], mismatch=True)
    return case.done()


def alone_with_much_money() -> HandWorked:
    case = CaseBuilder(
        "H06",
        "a single leg of 200,000 EUR",
        "One break a missing source, in order; severity raised and capped at HIGH.",
    )
    case.arrives(M, "m1", 0, amount_minor=20_000_000, currency="EUR").nothing()
    core, gateway = Says("MISSING_ENTRY", C, "HIGH"), Says("MISSING_ENTRY", G, "HIGH")
    case.passes("MISSING_ENTRY", 30, C).publishes(1, "BROKEN", [Shows(M, 0)], [core], mismatch=True)
    case.passes("MISSING_ENTRY", 40, G).publishes(2, "BROKEN", [Shows(M, 0)], [core, gateway], mismatch=True)
    case.arrives(C, "c1", 45, occurred=1, amount_minor=20_000_000, currency="EUR")
    core = Says("MISSING_ENTRY", C, "HIGH", resolution="AUTO_LATE_ARRIVAL")
    case.publishes(3, "BROKEN", [Shows(C, 0), Shows(M, 0)], [core, gateway], mismatch=True)
    return case.done()


def correction_closes() -> HandWorked:
    case = CaseBuilder("H07", "a correction closes the break", "A lower revision that comes later is stale.")
    case.arrives(C, "c1", 0).nothing()
    listed = "CORE=ACC-1;GATEWAY=ACC-2"
    said = Says("ACCOUNT_MISMATCH", "ALL", "CRITICAL", "", "account", None, listed)
    case.arrives(G, "g1", 1, account="ACC-2").publishes(1, "BROKEN", TWO, [said], mismatch=True)
    done = Says("ACCOUNT_MISMATCH", "ALL", "CRITICAL", "", "account", None, listed, None, "AUTO_CORRECTED")
    case.arrives(G, "g1", 4, occurred=1, revision=1)
    case.publishes(2, "PENDING", [Shows(C, 0), Shows(G, 1)], [done], mismatch=True)
    case.arrives(G, "g1", 5, occurred=1, account="ACC-3").nothing()
    case.arrives(M, "m1", 6).publishes(3, "MATCHED", [Shows(C, 0), Shows(G, 1), Shows(M, 0)], [done], mismatch=False)
    return case.done()


def identity_conflict() -> HandWorked:
    case = CaseBuilder(
        "H08", "one event id, one revision, two contents", "The first stays in force; only a higher revision closes it."
    )
    case.arrives(C, "c1", 0).nothing()
    case.arrives(G, "g1", 1).publishes(1, "PENDING", TWO, mismatch=False)
    conflict = Says("IDENTITY_CONFLICT", G, "CRITICAL")
    case.arrives(G, "g1", 2, occurred=1, channel="POS").publishes(2, "BROKEN", TWO, [conflict], mismatch=True)
    case.arrives(M, "m1", 3).publishes(3, "BROKEN", THREE, [conflict], mismatch=False)
    case.arrives(G, "g1", 4, occurred=1).nothing()  # the content in force once more: a duplicate, it settles nothing
    case.arrives(G, "g1", 5, occurred=1, revision=2)
    settled = Says("IDENTITY_CONFLICT", G, "CRITICAL", resolution="AUTO_CORRECTED")
    case.publishes(4, "MATCHED", [Shows(C, 0), Shows(G, 3), Shows(M, 0)], [settled], mismatch=True)
    case.arrives(G, "g1", 6, occurred=1, channel="POS").nothing()
    return case.done()


def duplicate_entry() -> HandWorked:
    case = CaseBuilder(
        "H09",
        "a second entry of one source",
        "Surplus until its own status is REVERSED; the leg stays the first entry.",
    )
    case.arrives(C, "c1", 0).nothing()
    case.arrives(G, "g1", 1).publishes(1, "PENDING", TWO, mismatch=False)
    case.arrives(M, "m1", 2).publishes(2, "MATCHED", THREE, mismatch=False)
    twice = Says("DUPLICATE_ENTRY", C, "HIGH")
    case.arrives(C, "c2", 3).publishes(3, "BROKEN", THREE, [twice], mismatch=True)
    case.arrives(C, "c2", 4, occurred=3, revision=1, status="REVERSED")
    done = Says("DUPLICATE_ENTRY", C, "HIGH", resolution="AUTO_CORRECTED")
    case.publishes(4, "MATCHED", THREE, [done], mismatch=True)
    case.arrives(C, "c3", 5, amount_minor=1, status="REVERSED").nothing()  # surplus, and reversed from the beginning
    return case.done()


def role_stays() -> HandWorked:
    case = CaseBuilder(
        "H10", "a surplus event stays surplus", "Its role is decided when it is first accepted; a correction keeps it."
    )
    case.arrives(C, "c1", 0, status="PENDING").nothing()
    twice = Says("DUPLICATE_ENTRY", C, "HIGH")
    case.arrives(C, "c2", 1, amount_minor=9999).publishes(1, "BROKEN", [Shows(C, 0)], [twice], mismatch=True)
    case.arrives(C, "c2", 2, occurred=1, revision=1).nothing()  # now it would pass for progress
    return case.done()


def progress_in_time() -> HandWorked:
    case = CaseBuilder(
        "H11", "a source moves on within the grace", "PENDING against a terminal word is PENDING before the grace."
    )
    case.arrives(C, "c1", 0, status="PENDING", reference="R1").nothing()
    case.arrives(G, "g1", 1).publishes(1, "PENDING", TWO, mismatch=False)
    # coordinates of the lower event, status of the higher one, reference of the highest that has one
    core = Shows(C, 0, status="POSTED", reference="R1")
    case.arrives(C, "c2", 5, reference="").publishes(2, "PENDING", [core, Shows(G, 0)], mismatch=False)
    case.arrives(M, "m1", 6).publishes(3, "MATCHED", [core, Shows(G, 0), Shows(M, 0)], mismatch=False)
    return case.done()


def invalid_then_accepted() -> HandWorked:
    case = CaseBuilder(
        "H15", "an invalid record, then a good one", "BROKEN without a leg; the source is not missing meanwhile."
    )
    invalid = Says("INVALID_RECORD", G, "HIGH")
    case.arrives(G, "g1", 0, status="SETTLED").publishes(1, "BROKEN", [], [invalid], mismatch=True)
    case.arrives(C, "c1", 1).publishes(2, "BROKEN", [Shows(C, 0)], [invalid], mismatch=False)
    case.arrives(M, "m1", 2).publishes(3, "BROKEN", [Shows(C, 0), Shows(M, 0)], [invalid], mismatch=False)
    case.arrives(G, "g1", 3)
    good = Says("INVALID_RECORD", G, "HIGH", resolution="AUTO_AGREED")
    case.publishes(4, "MATCHED", [Shows(C, 0), Shows(G, 1), Shows(M, 0)], [good], mismatch=True)
    return case.done()


def invalid_then_alone() -> HandWorked:
    case = CaseBuilder(
        "H16",
        "every kind of invalid record, then one good leg",
        "One break, however many records; once published, the change to a single leg is published too, as PENDING.",
    )
    invalid = Says("INVALID_RECORD", C, "HIGH")
    case.arrives(C, "c1", 0, txn_id="ANOTHER").publishes(1, "BROKEN", [], [invalid], mismatch=True)
    case.arrives(C, "c2", 1, source=M).nothing()
    case.arrives(C, "c3", 2, currency="ZZZ").nothing()
    case.arrives(C, "c4", 3, amount_minor=-1).nothing()
    case.arrives(C, "", 4).nothing()
    case.arrives(C, "c6", 5, account="").nothing()
    case.arrives(C, "c7", 6, revision=-1).nothing()
    case.arrives(C, "c8", 7, occurred=7 + 86_400.001).nothing()
    case.arrives(C, "c9", 8, occurred=8 + 86_400)  # exactly 24 h ahead is still valid
    good = Says("INVALID_RECORD", C, "HIGH", resolution="AUTO_AGREED")
    case.publishes(2, "PENDING", [Shows(C, 8)], [good], mismatch=True)
    return case.done()


def direction_and_reversal() -> HandWorked:
    case = CaseBuilder(
        "H21",
        "a reversal books the other way",
        "A REVERSED event is progress whatever its direction; the leg keeps its own.",
    )
    case.arrives(C, "c1", 0).nothing()
    case.arrives(G, "g1", 1).publishes(1, "PENDING", TWO, mismatch=False)
    core = Shows(C, 0, status="REVERSED")
    case.arrives(C, "c2", 2, status="REVERSED", direction="CREDIT")
    case.publishes(2, "PENDING", [core, Shows(G, 0)], mismatch=False)
    listed = "CORE=REVERSED;GATEWAY=CAPTURED"
    said = Says(STATUS, "ALL", "HIGH", "ONE_SIDED_REVERSAL", "status", None, listed)
    case.passes("STATUS_GRACE", 62).publishes(3, "BROKEN", [core, Shows(G, 0)], [said], mismatch=True)
    case.arrives(G, "g2", 63, status="REFUNDED", direction="CREDIT")
    done = Says(STATUS, "ALL", "HIGH", "ONE_SIDED_REVERSAL", "status", None, listed, None, "AUTO_AGREED")
    case.publishes(4, "PENDING", [core, Shows(G, 0, status="REFUNDED")], [done], mismatch=True)
    return case.done()


def backwards() -> HandWorked:
    case = CaseBuilder(
        "H23",
        "progress in the wrong order",
        "The lower event gives the coordinates whenever it comes; DECLINED fits no chain.",
    )
    case.arrives(C, "c1", 0, status="REVERSED").nothing()
    case.arrives(G, "g1", 1, status="REFUNDED").publishes(1, "PENDING", TWO, mismatch=False)
    gateway = Shows(G, 1, status="REFUNDED")
    case.arrives(G, "g0", 2, occurred=0).publishes(2, "PENDING", [Shows(C, 0), gateway], mismatch=False)
    twice = Says("DUPLICATE_ENTRY", G, "HIGH")
    case.arrives(G, "g9", 3, status="DECLINED").publishes(3, "BROKEN", [Shows(C, 0), gateway], [twice], mismatch=True)
    case.arrives(M, "m1", 4, status="REVERSED")
    case.publishes(4, "BROKEN", [Shows(C, 0), gateway, Shows(M, 0)], [twice], mismatch=False)
    return case.done()


def reopens() -> HandWorked:
    case = CaseBuilder(
        "H27", "a break closes and opens again", "Under its id; everything open and closed stays listed in order."
    )
    case.arrives(C, "c1", 0).nothing()
    listed = "CORE=10000;GATEWAY=10001"
    said = Says("AMOUNT_MISMATCH", "ALL", "HIGH", "", "amount_minor", None, listed, 1)
    case.arrives(G, "g1", 1, amount_minor=10_001).publishes(1, "BROKEN", TWO, [said], mismatch=True)
    done = Says("AMOUNT_MISMATCH", "ALL", "HIGH", "", "amount_minor", None, listed, 1, "AUTO_CORRECTED")
    case.arrives(G, "g1", 2, occurred=1, revision=1)
    case.publishes(2, "PENDING", [Shows(C, 0), Shows(G, 1)], [done], mismatch=True)
    again = Says("AMOUNT_MISMATCH", M, "HIGH", "", "amount_minor", "10000", "9000", -1000)
    case.arrives(M, "m1", 3, amount_minor=9000)
    case.publishes(3, "BROKEN", [Shows(C, 0), Shows(G, 1), Shows(M, 0)], [again], mismatch=True)
    return case.done()


def invalid_beside_a_leg() -> HandWorked:
    case = CaseBuilder(
        "H28",
        "an invalid record beside a leg",
        "Only an accepted record closes it: a duplicate does not, a correction does.",
    )
    case.arrives(C, "c1", 0).nothing()
    invalid = Says("INVALID_RECORD", C, "HIGH")
    case.arrives(C, "c1", 1, amount_minor=-5, revision=1).publishes(
        1, "BROKEN", [Shows(C, 0)], [invalid], mismatch=True
    )
    case.arrives(C, "c1", 2, occurred=0).nothing()
    case.arrives(C, "c1", 3, occurred=0, revision=1)
    done = Says("INVALID_RECORD", C, "HIGH", resolution="AUTO_CORRECTED")
    case.publishes(2, "PENDING", [Shows(C, 3)], [done], mismatch=True)
    return case.done()


def missing_then_invalid() -> HandWorked:
    case = CaseBuilder(
        "H29", "a missing source sends something invalid", "A source with a rejected record is not missing any more."
    )
    there = [Shows(C, 0), Shows(M, 0)]
    case.arrives(C, "c1", 0).nothing()
    case.arrives(M, "m1", 1).publishes(1, "PENDING", there, mismatch=False)
    missing = Says("MISSING_ENTRY", G, "MEDIUM")
    case.passes("MISSING_ENTRY", 40, G).publishes(2, "BROKEN", there, [missing], mismatch=True)
    invalid = Says("INVALID_RECORD", G, "HIGH")
    agreed = Says("MISSING_ENTRY", G, "MEDIUM", resolution="AUTO_AGREED")
    case.arrives(G, "g1", 50, occurred=2, status="captured")
    case.publishes(3, "BROKEN", there, [invalid, agreed], mismatch=True)
    case.arrives(G, "g1", 55, occurred=2)
    good = Says("INVALID_RECORD", G, "HIGH", resolution="AUTO_AGREED")
    case.publishes(4, "MATCHED", [Shows(C, 0), Shows(G, 1), Shows(M, 0)], [good, agreed], mismatch=True)
    return case.done()


CASES: tuple[HandWorked, ...] = (
    missing_then_late(),
    alone_with_much_money(),
    correction_closes(),
    identity_conflict(),
    duplicate_entry(),
    role_stays(),
    progress_in_time(),
    invalid_then_accepted(),
    invalid_then_alone(),
    direction_and_reversal(),
    backwards(),
    reopens(),
    invalid_beside_a_leg(),
    missing_then_invalid(),
)
