"""Tokens that sign dynamic webhooks: which claims are needed, and what a key set may be."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.adapters.signatures.gemini_signatures import GOOGLE, GeminiSignatures, keys_address
from shared.adapters.signatures.key_set import ANEW_AFTER, GOOD_FOR, MOST_BYTES, STALE_FOR, KeySet, over_http, read_keys
from shared.adapters.signatures.token import ANY, Tokens
from shared.ports.signatures import Genuine, NotGenuine, SignaturesUnavailable, Verdict
from tests.builders import NOW
from tests.fakes.loopback import serving
from tests.fakes.webhook_sender import ISSUER, URL, TokenSender, event

BODY = event()


class Keys:
    """Where keys are fetched: what it answers, and how often it was called."""

    def __init__(self, *senders: TokenSender) -> None:
        self.senders = list(senders)
        self.down = False
        self.calls = 0

    async def fetch(self) -> bytes:
        self.calls += 1
        if self.down:
            raise SignaturesUnavailable("down")
        return json.dumps({"keys": [sender.key() for sender in self.senders]}).encode()


def checks(keys: Keys, audiences: tuple[str, ...] = (URL,), issuers: tuple[str, ...] = (ISSUER,)) -> GeminiSignatures:
    return GeminiSignatures(Tokens(KeySet(keys.fetch), audiences, issuers), None)


async def verdict_on(headers: dict[str, str], signatures: GeminiSignatures, at: datetime = NOW) -> Verdict:
    return await signatures.verify(headers, BODY, at)


@pytest.fixture
def sender() -> TokenSender:
    return TokenSender()


@pytest.mark.parametrize(
    ("changes", "why", "detail"),
    [
        ({"exp": None}, "malformed", "no exp"),
        ({"exp": "soon"}, "malformed", "no exp"),
        ({"exp": True}, "malformed", "no exp"),
        ({"exp": 1e400}, "malformed", "no exp"),
        ({"exp": int(NOW.timestamp()) - 61}, "stale", "expired"),
        ({"iat": int(NOW.timestamp()) + 61}, "stale", "not valid yet"),
        ({"iat": int(NOW.timestamp()) - 25 * 3600 - 1}, "stale", "expired"),
        ({"iss": "https://evil.example"}, "issuer", "'https://evil.example'"),
        ({"iss": None}, "issuer", "nobody"),
        ({"iss": [ISSUER]}, "issuer", ISSUER),
        ({"iss": {"a": 1}}, "issuer", "{'a': 1}"),
        ({"aud": "https://other.example/"}, "audience", "'https://other.example/'"),
        ({"aud": None}, "audience", "nobody"),
        ({"aud": [7, None]}, "audience", "[7, None]"),
    ],
)
async def test_a_claim_that_does_not_hold_is_named_to_the_operator(
    sender: TokenSender, changes: dict[str, Any], why: str, detail: str
) -> None:
    verdict = await verdict_on(sender.headers(BODY, NOW, **changes), checks(Keys(sender)))
    assert isinstance(verdict, NotGenuine)
    assert (verdict.why, detail in verdict.detail) == (why, True), verdict


@pytest.mark.parametrize(
    "changes", [{"aud": [URL, "x"]}, {"iat": None}, {"exp": int(NOW.timestamp()) - 60}, {"sub": "x", "nbf": "y"}]
)
async def test_what_claims_may_be(sender: TokenSender, changes: dict[str, Any]) -> None:
    assert isinstance(await verdict_on(sender.headers(BODY, NOW, **changes), checks(Keys(sender))), Genuine)


async def test_audience_and_issuer_can_be_set_or_let_go(sender: TokenSender) -> None:
    headers = sender.headers(BODY, NOW, aud="project-7", iss="accounts.google.com")
    named = checks(Keys(sender), ("project-7",), ("accounts.google.com",))
    assert isinstance(await verdict_on(headers, named), Genuine)
    assert isinstance(
        await verdict_on(sender.headers(BODY, NOW, aud=None, iss=None), checks(Keys(sender), (ANY,), (ANY,))), Genuine
    )


@pytest.mark.parametrize(
    "head", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "RS512"}, {"kid": None}, {"kid": 7}, {"kid": "k" * 300}]
)
async def test_only_rs256_by_a_named_key_is_read(sender: TokenSender, head: dict[str, Any]) -> None:
    keys = Keys(sender)
    claims = {"iss": ISSUER, "aud": URL, "exp": int(NOW.timestamp()) + 300}
    headers = sender.headers(BODY, NOW) | {"webhook-signature": sender.token(claims, **head)}
    assert (await verdict_on(headers, checks(keys))) == NotGenuine("malformed")
    assert keys.calls == 0, "and nothing is fetched for it"


async def test_a_secret_made_of_the_public_key_signs_nothing(sender: TokenSender) -> None:
    """The classical confusion: HMAC with the public key as its secret."""
    parts = ({"alg": "HS256", "kid": sender.kid}, {"exp": 9e9})
    signed = ".".join(unpadded(json.dumps(part).encode()) for part in parts)
    forged = hmac.new(sender.key()["n"].encode(), signed.encode(), hashlib.sha256).digest()
    headers = sender.headers(BODY, NOW) | {"webhook-signature": f"{signed}.{unpadded(forged)}"}
    assert (await verdict_on(headers, checks(Keys(sender)))) == NotGenuine("malformed")


async def test_an_address_of_keys_inside_a_token_is_never_called(sender: TokenSender) -> None:
    claims = {"iss": ISSUER, "aud": URL, "exp": int(NOW.timestamp()) + 300}
    stranger = TokenSender(2)
    token = stranger.token(claims, jku="https://evil.example/keys", jwk=stranger.key(), x5u="https://evil.example/")
    headers = sender.headers(BODY, NOW) | {"webhook-signature": token}
    assert (await verdict_on(headers, checks(Keys(sender)))) == NotGenuine("key")


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# -- the key set ------------------------------------------------------------------------------------------------------


async def test_keys_are_fetched_once_an_hour(sender: TokenSender) -> None:
    keys = Keys(sender)
    key_set = KeySet(keys.fetch)
    for _ in range(10):
        assert await key_set.key(sender.kid, NOW) is not None
    assert keys.calls == 1
    assert await key_set.key(sender.kid, NOW + GOOD_FOR) is not None
    assert keys.calls == 2


async def test_unknown_keys_cannot_have_the_set_fetched_again_and_again(sender: TokenSender) -> None:
    keys = Keys(sender)
    key_set = KeySet(keys.fetch)
    for number in range(100):
        assert await key_set.key(f"guess-{number}", NOW + timedelta(milliseconds=number)) is None
    assert keys.calls == 1
    assert await key_set.key("guess", NOW + ANEW_AFTER) is None
    assert keys.calls == 2


async def test_a_new_key_is_known_a_minute_after_it_was_first_named(sender: TokenSender) -> None:
    keys = Keys(sender)
    key_set = KeySet(keys.fetch)
    await key_set.key(sender.kid, NOW)
    keys.senders.append(TokenSender(2))
    assert await key_set.key("key-2", NOW + ANEW_AFTER) is not None


async def test_a_set_that_is_away_is_no_verdict_and_old_keys_serve_for_a_day(sender: TokenSender) -> None:
    keys = Keys(sender)
    key_set = KeySet(keys.fetch)
    keys.down = True
    with pytest.raises(SignaturesUnavailable):
        await key_set.key(sender.kid, NOW)
    keys.down = False
    now = NOW + ANEW_AFTER
    assert await key_set.key(sender.kid, now) is not None
    keys.down = True
    assert await key_set.key(sender.kid, now + STALE_FOR) is not None
    with pytest.raises(SignaturesUnavailable):
        await key_set.key(sender.kid, now + STALE_FOR + timedelta(seconds=1))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": 7}', b"[" * 100_000, b"\xff"])
def test_a_key_set_that_cannot_be_read_has_no_keys(body: bytes) -> None:
    try:
        assert read_keys(body) == {}
    except SignaturesUnavailable:
        pass


def test_odd_rows_of_a_key_set_are_passed_over(sender: TokenSender) -> None:
    rows = [None, 7, {}, {"kid": "a"}, {"kid": "b", "kty": "EC"}, {"kid": "c", "kty": "RSA", "n": "!", "e": "AQAB"},
            sender.key() | {"use": "enc", "kid": "d"}, sender.key()]  # fmt: skip
    assert list(read_keys(json.dumps({"keys": rows}).encode())) == [sender.kid]


def test_keys_come_from_google_or_from_a_stand_in_on_this_machine() -> None:
    assert keys_address(None) == f"{GOOGLE}/.well-known/jwks.json"
    assert keys_address("https://proxy.example/gemini") == f"{GOOGLE}/.well-known/jwks.json"
    assert keys_address("http://127.0.0.1:8080/") == "http://127.0.0.1:8080/.well-known/jwks.json"


@pytest.mark.parametrize("case", ["redirect", "missing", "endless", "gone"])
async def test_what_is_fetched_is_bounded_and_never_followed(sender: TokenSender, case: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        status, headers = {"redirect": (302, [(b"location", b"/elsewhere")]), "missing": (404, [])}.get(case, (200, []))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b" " * (MOST_BYTES + 1 if case == "endless" else 1)})

    async with serving(app) as server:
        url = server.url
        if case != "gone":
            with pytest.raises(SignaturesUnavailable):
                await over_http(f"{url}/keys")()
    if case == "gone":
        with pytest.raises(SignaturesUnavailable):
            await over_http(f"{url}/keys")()


async def test_keys_are_fetched_over_http(sender: TokenSender) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": sender.key_set()})

    async with serving(app) as server:
        assert await over_http(server.url)() == sender.key_set()
