"""Signatures by a shared secret: several at once while it rotates."""

from __future__ import annotations

import pytest

from shared.adapters.signatures.gemini_signatures import GeminiSignatures
from shared.adapters.signatures.shared_secret import MOST_SIGNATURES, SharedSecret
from shared.ports.signatures import Genuine, NotGenuine
from tests.builders import NOW
from tests.fakes.webhook_sender import SecretSender, event

BODY = event()
OURS, OTHER = SecretSender(), SecretSender(b"another key of 24 bytes!")


def signatures() -> GeminiSignatures:
    return GeminiSignatures(None, SharedSecret(OURS.secret))


async def test_one_of_several_signatures_is_enough() -> None:
    """While a secret rotates the provider signs by both."""
    both = f"{OTHER.signature(BODY, NOW, 'msg_1')} {OURS.signature(BODY, NOW, 'msg_1')}"
    headers = OURS.headers(BODY, NOW) | {"webhook-signature": both}
    assert isinstance(await signatures().verify(headers, BODY, NOW), Genuine)


async def test_signatures_of_other_versions_are_passed_over() -> None:
    ours = OURS.signature(BODY, NOW, "msg_1")
    headers = OURS.headers(BODY, NOW) | {"webhook-signature": f"v1a,xyz {ours}"}
    assert isinstance(await signatures().verify(headers, BODY, NOW), Genuine)
    headers["webhook-signature"] = ours.replace("v1,", "v2,")
    assert await signatures().verify(headers, BODY, NOW) == NotGenuine("signature")


async def test_how_many_are_compared_is_bounded() -> None:
    many = " ".join([OTHER.signature(BODY, NOW, "msg_1")] * MOST_SIGNATURES + [OURS.signature(BODY, NOW, "msg_1")])
    headers = OURS.headers(BODY, NOW) | {"webhook-signature": many}
    assert await signatures().verify(headers, BODY, NOW) == NotGenuine("signature")


@pytest.mark.parametrize("changes", [{"body": BODY + b" "}, {"message_id": "msg_2"}])
async def test_body_and_id_are_what_was_signed(changes: dict[str, bytes | str]) -> None:
    headers = OURS.headers(BODY, NOW)
    if "message_id" in changes:
        headers["webhook-id"] = str(changes["message_id"])
    body = changes.get("body", BODY)
    assert isinstance(body, bytes)
    assert await signatures().verify(headers, body, NOW) == NotGenuine("signature")


def test_a_secret_that_is_none_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError, match="base64") as refused:
        SharedSecret("whsec_not base64!")
    assert "not base64!" not in str(refused.value)
