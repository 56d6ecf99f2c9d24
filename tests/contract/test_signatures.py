"""What every way of signing a webhook promises: a genuine one passes, and nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

import pytest

from shared.adapters.signatures.gemini_signatures import GeminiSignatures
from shared.adapters.signatures.key_set import KeySet
from shared.adapters.signatures.shared_secret import SharedSecret
from shared.adapters.signatures.token import Tokens
from shared.ports.signatures import Genuine, NoSignatures, NotGenuine, Signatures
from tests.builders import NOW
from tests.fakes.webhook_sender import ISSUER, URL, SecretSender, TokenSender, event, long_ago

BODY = event()


class Sender(Protocol):
    def headers(self, body: bytes, at: object, message_id: str = ...) -> dict[str, str]: ...


class Way:
    """One way, with the provider's sender and a stranger's."""

    def __init__(self, name: str) -> None:
        if name == "dynamic":
            provider, stranger = TokenSender(1), TokenSender(2)
            stranger.kid = provider.kid

            async def fetch() -> bytes:
                return provider.key_set()

            self.signatures: Signatures = GeminiSignatures(Tokens(KeySet(fetch), [URL], [ISSUER]), None)
            self.send, self.forge = provider.headers, stranger.headers
        else:
            ours, theirs = SecretSender(), SecretSender(b"another key of 24 bytes!")
            self.signatures = GeminiSignatures(None, SharedSecret(ours.secret))
            self.send, self.forge = ours.headers, theirs.headers  # type: ignore[assignment]

    async def why(self, headers: Mapping[str, str], body: bytes = BODY, late: timedelta = timedelta(0)) -> str:
        verdict = await self.signatures.verify(headers, body, NOW + late)
        return verdict.why if isinstance(verdict, NotGenuine) else "genuine"


@pytest.fixture(params=["dynamic", "static"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)


async def test_what_the_provider_signed_is_genuine(way: Way, request: pytest.FixtureRequest) -> None:
    headers = way.send(BODY, NOW)
    assert way.signatures.glance(headers, NOW) is None
    verdict = await way.signatures.verify(headers, BODY, NOW)
    assert isinstance(verdict, Genuine)
    assert verdict.way in request.node.callspec.id


async def test_what_a_stranger_signed_is_not(way: Way) -> None:
    assert await way.why(way.forge(BODY, NOW)) == "signature"


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_each_header_is_needed_and_seen_at_a_glance(way: Way, missing: str) -> None:
    headers = {name: value for name, value in way.send(BODY, NOW).items() if name != missing}
    assert way.signatures.glance(headers, NOW) == NotGenuine("unsigned")
    assert await way.why(headers) == "unsigned"


async def test_more_than_five_minutes_old_or_ahead_is_stale_at_a_glance(way: Way) -> None:
    assert await way.why(way.send(BODY, NOW), late=timedelta(minutes=5)) == "genuine"
    for late in (timedelta(minutes=5, seconds=1), timedelta(minutes=-5, seconds=-1)):
        assert way.signatures.glance(way.send(BODY, NOW), NOW + late) == NotGenuine("stale")
        assert await way.why(way.send(BODY, NOW), late=late) == "stale"


async def test_a_new_timestamp_does_not_make_an_old_webhook_young(way: Way) -> None:
    old = long_ago(NOW)
    replayed = way.send(BODY, old) | {"webhook-timestamp": str(int((NOW + timedelta(seconds=60)).timestamp()))}
    assert await way.why(replayed, late=timedelta(minutes=1)) in ("stale", "signature")


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "٣٣"},
        {"webhook-timestamp": "9" * 40},
        {"webhook-id": "m" * 300},
        {"webhook-signature": "x" * 9_000},
    ],
    ids=str,
)
async def test_headers_that_cannot_be_read_are_not_genuine(way: Way, changes: dict[str, str]) -> None:
    assert await way.why(way.send(BODY, NOW) | changes) in ("malformed", "stale")


@pytest.mark.parametrize(
    "signature",
    ["v1", "v1,", ",", "v1,%%%", "v2,abc", "a.b.c", "..", "v1,é", "v1 v1 v1", "null", "{}", "eyJ.eyJ.eyJ", "a.b.c.d"],
)
async def test_a_signature_that_is_none_raises_nothing(way: Way, signature: str) -> None:
    headers = way.send(BODY, NOW) | {"webhook-signature": signature}
    assert await way.why(headers) in ("malformed", "signature", "unconfigured", "key")


async def test_bytes_that_are_no_text_raise_nothing(way: Way) -> None:
    assert await way.why(way.send(BODY, NOW), b"\xff\xfe") in ("malformed", "genuine")


async def test_where_nothing_is_configured_nothing_is_genuine(way: Way) -> None:
    headers = way.send(BODY, NOW)
    for signatures in (NoSignatures(), GeminiSignatures(None, None)):
        assert signatures.glance(headers, NOW) == NotGenuine("unconfigured")
        assert await signatures.verify(headers, BODY, NOW) == NotGenuine("unconfigured")


async def test_one_way_does_not_open_the_other() -> None:
    """A token is no shared secret, and the other way round."""
    dynamic, static = Way("dynamic"), Way("static")
    assert await dynamic.why(static.send(BODY, NOW)) == "unconfigured"
    assert await static.why(dynamic.send(BODY, NOW)) == "unconfigured"
