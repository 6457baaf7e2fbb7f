"""The issuer's keys are asked for seldom, once at a time, with bounds, and never lost for a failure. The clock is the test's."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from recon_stream.security import keys as module
from recon_stream.security.keys import (
    BYTES_MAX,
    COOL_DOWN,
    KEYS_MAX,
    RETRY,
    STALE_MAX,
    TTL,
    UNKNOWN_MAX,
    Keys,
    KeysAway,
    parsed,
)
from recon_stream.security.tokens import Reason, TokenVerifier, Unauthenticated
from tests.security.issuer import EC_KEY, KID, RSA_KEYS, Clock, Issuer, jwk


@pytest.fixture
def clock() -> Clock:
    """Seconds that pass when the test says so."""
    return Clock()


@pytest.fixture
def keys(issuer: Issuer, clock: Clock) -> Keys:
    """The keys of that issuer, by that clock."""
    return Keys(issuer.settings, clock)


async def test_a_thousand_bogus_key_ids_cause_exactly_one_question(issuer: Issuer, keys: Keys, clock: Clock) -> None:
    """From nothing, and again beside keys that are known: nobody makes the API a weapon against Keycloak."""
    verifier = TokenVerifier(issuer.settings, keys)
    bogus = [issuer.token(RSA_KEYS[1], header={"kid": f"bogus-{number}"}) for number in range(1000)]
    for expected in (1, 2):
        refused = await asyncio.gather(*(verifier.verify(token) for token in bogus), return_exceptions=True)
        assert [one.reason for one in refused if isinstance(one, Unauthenticated)] == [Reason.UNKNOWN_KEY] * 1000
        assert issuer.asked == expected
        assert (await verifier.verify(issuer.token())).username == "viewer"
        assert issuer.asked == expected
        clock.now += COOL_DOWN


async def test_the_same_bogus_key_id_asks_once_in_a_cool_down(issuer: Issuer, keys: Keys, clock: Clock) -> None:
    """However often it comes."""
    for asked in (1, 2, 3):
        for _ in range(5):
            assert await keys.get("bogus") is None
        assert issuer.asked == asked
        clock.now += COOL_DOWN


async def test_what_is_remembered_as_unknown_is_bounded(issuer: Issuer, keys: Keys, clock: Clock) -> None:
    """An endless stream of invented ids fills no memory."""
    for number in range(UNKNOWN_MAX + 20):
        clock.now += COOL_DOWN
        await keys.get(f"bogus-{number}")
        if number % (TTL // COOL_DOWN) == 0:
            assert len(keys._unknown) <= UNKNOWN_MAX
    assert len(keys._unknown) == UNKNOWN_MAX


async def test_a_rotation_is_noticed(issuer: Issuer, keys: Keys, clock: Clock) -> None:
    """A token that names a new key brings it in, after the cool-down; the old one goes with it."""
    assert await keys.get(KID)
    issuer.keys = [jwk("second", RSA_KEYS[1])]
    assert await keys.get("second") is None, "it was asked a moment ago"
    clock.now += COOL_DOWN
    assert await keys.get("second")
    assert await keys.get(KID) is None
    assert issuer.asked == 2


async def test_a_key_that_was_unknown_is_known_once_the_issuer_has_it(issuer: Issuer, keys: Keys, clock: Clock) -> None:
    """What was remembered as unknown stands in nobody's way when another key brings it along."""
    assert await keys.get("second") is None
    issuer.keys = [jwk(KID), jwk("second", RSA_KEYS[1]), jwk("third", EC_KEY)]
    clock.now += COOL_DOWN
    assert await keys.get("third")
    assert await keys.get("second")


async def test_a_key_that_an_answer_of_before_a_rotation_lacked_is_asked_for_again(
    issuer: Issuer, keys: Keys, clock: Clock
) -> None:
    """Another node of the issuer, or a proxy, may have answered: who logs in then must not wait for the keys to be old."""
    assert await keys.get("second") is None
    issuer.keys = [jwk(KID), jwk("second", RSA_KEYS[1])]
    clock.now += COOL_DOWN
    assert await keys.get("second")


async def test_keys_are_asked_for_again_when_they_are_old(issuer: Issuer, keys: Keys, clock: Clock) -> None:
    """A key that was withdrawn serves no longer than its time."""
    assert await keys.get(KID)
    clock.now += TTL
    assert await keys.get(KID)
    assert issuer.asked == 1
    issuer.keys = [jwk("second", RSA_KEYS[1])]
    clock.now += 1
    assert await keys.get(KID) is None
    assert issuer.asked == 2


@pytest.mark.parametrize("how", ["off", "error", "redirect", "huge", "garbage", "empty"])
async def test_while_keycloak_is_away_its_keys_serve_for_the_bound_and_then_nobody_gets_in(
    issuer: Issuer, keys: Keys, clock: Clock, how: str
) -> None:
    """Off, or with any answer that holds no keys: a failure never takes good keys away, and time alone does."""
    verifier = TokenVerifier(issuer.settings, keys)
    assert await verifier.verify(issuer.token())
    if how == "off":
        await issuer.stop()
    issuer.mode = how
    for seconds in (TTL + 1, RETRY, STALE_MAX - TTL - RETRY - 1):
        clock.now += seconds
        assert await verifier.verify(issuer.token())
    with pytest.raises(Unauthenticated):
        await verifier.verify(issuer.token(RSA_KEYS[1], header={"kid": "bogus"}))
    clock.now += 1
    with pytest.raises(KeysAway, match="KEYCLOAK_SERVER_URL"):
        await verifier.verify(issuer.token())
    if how == "off":
        await issuer.start()
    issuer.mode = "well"
    clock.now += RETRY
    assert await verifier.verify(issuer.token())


async def test_before_the_first_answer_nobody_gets_in_and_keycloak_is_not_hammered(
    issuer: Issuer, keys: Keys, clock: Clock
) -> None:
    """It says that it cannot tell, which is no refusal; many who ask at once ask Keycloak once."""
    issuer.mode = "error"
    for expected in (1, 2):
        said = await asyncio.gather(*(keys.get(KID) for _ in range(50)), return_exceptions=True)
        assert {type(one) for one in said} == {KeysAway}
        assert issuer.asked == expected
        clock.now += RETRY


async def test_many_who_come_at_once_ask_once(issuer: Issuer, keys: Keys) -> None:
    """The first asks, the others wait for that answer."""
    assert all(await asyncio.gather(*(keys.get(KID) for _ in range(100))))
    assert issuer.asked == 1


async def test_nobody_waits_for_a_silent_keycloak_while_a_key_serves(issuer: Issuer, keys: Keys, clock: Clock) -> None:
    """One asks and waits for its bound; whoever comes meanwhile has an answer at once."""
    assert await keys.get(KID)
    clock.now += TTL + 1
    issuer.mode = "silent"
    asking = asyncio.create_task(keys.get(KID))
    await issuer.held.wait()
    others = [await keys.get(KID) for _ in range(100)]
    assert all(others)
    assert not asking.done()
    assert issuer.asked == 2
    asking.cancel()
    await asyncio.wait({asking})
    issuer.mode = "well"
    assert await keys.get(KID), "one who gave up holds nobody up"
    assert issuer.asked == 3


async def test_an_answer_that_does_not_come_is_given_up(
    issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request has a bound of its own."""
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    issuer.mode = "silent"
    async with asyncio.timeout(30):
        with pytest.raises(KeysAway):
            await Keys(issuer.settings, clock).get(KID)


async def test_no_redirect_is_followed(issuer: Issuer, keys: Keys) -> None:
    """The place that it leads to has good keys, and they are not taken: the issuer is pinned."""
    issuer.mode = "redirect"
    with pytest.raises(KeysAway):
        await keys.get(KID)


def test_only_keys_that_a_signature_can_be_verified_with_are_taken() -> None:
    """Keys for encryption, symmetric and weak ones, private halves, unknown kinds and broken entries are left out."""
    import orjson

    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    private = orjson.loads(RSAAlgorithm.to_jwk(RSA_KEYS[0])) | {"kid": "private"}
    entries = [
        jwk("good"),
        jwk("curve", EC_KEY),
        jwk("encryption", use="enc"),
        jwk("oaep", alg="RSA-OAEP"),
        jwk("none", alg="none"),
        jwk("symmetric", alg="HS256"),
        jwk("weak", weak),
        jwk("broken") | {"n": "!"},
        jwk("cut", EC_KEY) | {"x": "AA"},
        jwk("other curve", EC_KEY) | {"crv": "secp256k1"},
        jwk("swapped", EC_KEY) | {"kty": "RSA"},
        private,
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "use": "sig"},
        {"kty": ["RSA"], "kid": "list"},
        jwk(""),
        jwk("x") | {"kid": None},
        "text",
        None,
    ]
    assert parsed(orjson.dumps({"keys": entries})).keys() == {"good", "curve"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": "x"}', b"\xff", b"[" * 100_000])
def test_what_is_no_set_of_keys_is_an_error(body: bytes) -> None:
    """One that a caller knows, whatever Keycloak or something in its place says."""
    with pytest.raises(ValueError, match=r".*"):
        parsed(body)


def test_the_number_of_keys_and_the_size_of_an_answer_are_bounded() -> None:
    """Far above what a realm has."""
    import orjson

    with pytest.raises(ValueError, match="no JWKS"):
        parsed(orjson.dumps({"keys": [jwk(KID)] * (KEYS_MAX + 1)}))
    assert len(orjson.dumps({"keys": [jwk(KID)] * KEYS_MAX})) < BYTES_MAX
