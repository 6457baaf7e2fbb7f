"""Refusals in the audit trail: neither hidden in it nor able to fill it."""

from __future__ import annotations

from dataclasses import replace

from recon_stream.security.audit import Entry, Outcome
from recon_stream.security.threats import KEYS_MAX, MANY, WINDOW_SECONDS, Denials

REFUSED = Entry(
    actor="viewer",
    role="viewer",
    action="audit.list",
    object="/audit",
    outcome=Outcome.DENIED,
    address="10.0.0.1",
    session="s1",
    request_id="r1",
    detail={"subject": "9b2f", "needs": "audit:read"},
)
UNKNOWN = replace(REFUSED, actor="-", role="-", session="-", action="authenticate", detail={"reason": "bad_signature"})


def test_a_storm_is_its_first_refusal_and_one_entry_with_the_number_of_the_others() -> None:
    """Also where another object is tried each time; after the minute the next one is written at once again."""
    denials = Denials()
    written = [denials.note(replace(REFUSED, object=f"/audit/{n}"), now=n / 100) for n in range(1000)]
    assert [each for each in written if each is not None] == [replace(REFUSED, object="/audit/0")]
    assert list(denials.over(WINDOW_SECONDS - 1)) == []
    (summed,) = denials.over(WINDOW_SECONDS)
    assert summed.detail == REFUSED.detail | {"more_within_60_s": 999}
    assert list(denials.over(WINDOW_SECONDS * 2)) == []
    assert denials.note(REFUSED, WINDOW_SECONDS) == REFUSED


def test_one_refusal_alone_is_one_entry() -> None:
    """Nothing is added when its minute is over."""
    denials = Denials()
    assert denials.note(REFUSED, 0) == REFUSED
    assert list(denials.over(WINDOW_SECONDS)) == []


def test_refusals_of_others_are_not_lost_in_a_storm() -> None:
    """Another person, address or reason is another storm."""
    denials = Denials()
    denials.note(REFUSED, 0)
    for other in (
        replace(REFUSED, actor="operator"),
        replace(REFUSED, detail=REFUSED.detail | {"subject": "77aa"}),
        replace(REFUSED, address="10.0.0.2"),
        replace(REFUSED, action="audit.export"),
        replace(REFUSED, detail={"reason": "expired"}),
    ):
        assert denials.note(other, 1) == other


def test_the_addresses_of_one_network_are_one_attacker() -> None:
    """IPv6 gives each 2**64 of them; the next network is somebody else."""
    denials = Denials()
    assert denials.note(replace(UNKNOWN, address="2001:db8:0:1::1"), 0) is not None
    assert denials.note(replace(UNKNOWN, address="2001:db8:0:1:ffff::2"), 0) is None
    assert denials.note(replace(UNKNOWN, address="2001:db8:0:2::1"), 0) is not None


def test_an_attacker_with_many_addresses_cannot_fill_trail_or_memory() -> None:
    """Behind a number of different storms within a minute, all others make one, and none goes uncounted."""
    denials, tried = Denials(), KEYS_MAX * 5
    written = [
        denials.note(replace(REFUSED, address=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"), 0) for n in range(tried)
    ]
    assert sum(each is not None for each in written) == KEYS_MAX + 1
    (others,) = denials.over(WINDOW_SECONDS)
    assert others.detail["more_within_60_s"] == tried - KEYS_MAX - 1


def flood(denials: Denials, entry: Entry) -> list[Entry]:
    """As many different ones as there is room for, and some more; what was written of them."""
    tried = (denials.note(replace(entry, address=f"10.1.{n >> 8}.{n & 255}"), 0) for n in range(KEYS_MAX + 10))
    return [each for each in tried if each is not None]


def test_what_many_did_is_laid_at_nobodys_door() -> None:
    """What is counted together names no person, address, session or request: the first one's would stand for all."""
    for entry in (REFUSED, UNKNOWN):
        denials = Denials()
        written = flood(denials, entry)[-1]
        (summed,) = denials.over(WINDOW_SECONDS)
        for each in (written, summed):
            named = (each.actor, each.role, each.object, each.address, each.session, each.request_id)
            assert (set(named), each.action) == ({MANY}, entry.action)
        assert written.detail == {"known": entry is REFUSED}
        assert summed.detail == written.detail | {"more_within_60_s": 9}


def test_a_flood_of_nobody_hides_no_person() -> None:
    """Whose name is known has room of their own, also one whose name looks like nobody's."""
    denials = Denials()
    flood(denials, UNKNOWN)
    for person in (REFUSED, replace(REFUSED, actor="-")):
        assert denials.note(person, 1) == person
