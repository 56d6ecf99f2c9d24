"""What Pub/Sub sends, and what it is answered."""

from __future__ import annotations

import base64
import json

import pytest

from functions.push import NotAPush, read


def envelope(data: bytes, **message: object) -> bytes:
    body = {"message": {"data": base64.b64encode(data).decode(), "messageId": "136969346945", **message}}
    return json.dumps(body | {"subscription": "projects/p/subscriptions/render-releases-render"}).encode()


def test_a_wrapped_push_gives_its_data_attributes_id_and_subscription() -> None:
    message = read({}, envelope(b"{}", attributes={"traceparent": "00-a"}))
    assert message.data == b"{}"
    assert message.attributes == {"traceparent": "00-a"}
    assert message.id == "136969346945"
    assert message.subscription == "render-releases-render"


def test_the_emulators_push_with_both_spellings_of_the_id_is_read() -> None:
    assert read({}, envelope(b"{}", message_id="136969346945")).id == "136969346945"


def test_a_binary_cloud_event_around_the_envelope_is_read() -> None:
    headers = {"ce-id": "7", "ce-type": "google.cloud.pubsub.topic.v1.messagePublished", "ce-source": "//pubsub/x"}
    assert read(headers, envelope(b"hello")).data == b"hello"


def test_a_binary_cloud_event_with_the_data_itself_is_read() -> None:
    message = read({"ce-id": "7"}, b'{"request_id": "r-1"}')
    assert (message.id, message.data) == ("7", b'{"request_id": "r-1"}')


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"\xff", b'{"message": 1}', b"[" * 100_000])
def test_anything_else_is_no_push_and_says_what_is_expected(body: bytes) -> None:
    with pytest.raises(NotAPush, match="push"):
        read({}, body)


def test_data_that_is_not_base64_is_no_push() -> None:
    with pytest.raises(NotAPush, match="base64"):
        read({}, json.dumps({"message": {"data": "é"}}).encode())


def test_a_message_without_a_usable_id_gets_the_same_one_at_each_delivery() -> None:
    first = read({}, envelope(b"x", messageId="a/b"))
    again = read({}, envelope(b"x", messageId="a/b"))
    other = read({}, envelope(b"y", messageId="a/b"))
    assert first.id == again.id != other.id
    assert "/" not in first.id
