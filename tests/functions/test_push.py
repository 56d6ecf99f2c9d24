"""What Pub/Sub sends, and what it is answered."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from functions.push import CALLER_LEFT, NotAPush, answer, read


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


@pytest.mark.parametrize("attributes", [["a"], "text", 7, True, 1.5])
def test_attributes_that_are_no_object_are_no_push(attributes: object) -> None:
    with pytest.raises(NotAPush, match="attributes: found"):
        read({}, envelope(b"{}", attributes=attributes))


@pytest.mark.parametrize("attributes", [None, {}])
def test_attributes_may_be_missing(attributes: object) -> None:
    assert read({}, envelope(b"{}", attributes=attributes)).attributes == {}


async def test_a_caller_that_hangs_up_in_mid_body_is_no_error() -> None:
    parts = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(parts)

    async def flow(worker: object, message: object) -> None:
        raise AssertionError("there is no message")

    application = Starlette()
    application.state.worker = object()
    request = Request({"type": "http", "method": "POST", "headers": [], "app": application}, receive)
    assert (await answer(request, "intake", flow)).status_code == CALLER_LEFT


def test_data_that_is_not_base64_is_no_push() -> None:
    with pytest.raises(NotAPush, match="base64"):
        read({}, json.dumps({"message": {"data": "é"}}).encode())


def test_a_message_without_a_usable_id_gets_the_same_one_at_each_delivery() -> None:
    first = read({}, envelope(b"x", messageId="a/b"))
    again = read({}, envelope(b"x", messageId="a/b"))
    other = read({}, envelope(b"y", messageId="a/b"))
    assert first.id == again.id != other.id
    assert "/" not in first.id
