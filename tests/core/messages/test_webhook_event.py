"""What a webhook's body tells, and what it cannot make of a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.core.messages.pubsub_messages import Arrival, BadMessage, BatchArrival
from shared.core.messages.webhook_event import NoArrival, WebhookEvent, contradicts, parse_event


def body(kind: str = "interaction.completed", about: Any = "v1_a", **more: Any) -> bytes:
    return json.dumps({"type": kind, "version": "v1", "data": {"id": about}} | more).encode()


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "requires_action", "of_a_later_release"])
def test_every_end_of_an_interaction_is_an_arrival(end: str) -> None:
    event = parse_event(body(f"interaction.{end}"))
    assert (event.type, event.ended, event.about) == (f"interaction.{end}", Arrival("v1_a"), "v1_a")


@pytest.mark.parametrize("name", ["batches/abc", "batch_123456"])
def test_the_end_of_a_batch_is_one_too(name: str) -> None:
    event = parse_event(body("batch.succeeded", name))
    assert (event.ended, event.about) == (BatchArrival(name), name)


@pytest.mark.parametrize("kind", ["webhook.ping", "video.generated", "other"])
def test_what_concerns_no_render_is_no_arrival(kind: str) -> None:
    event = parse_event(json.dumps({"type": kind}).encode())
    assert (event.ended, event.about) == (NoArrival(), "")


@pytest.mark.parametrize("place", ["top", "data"])
@pytest.mark.parametrize("attempt", [2, "2", 2.0])
def test_the_request_comes_back_with_the_event(place: str, attempt: Any) -> None:
    about: dict[str, Any] = {"user_metadata": {"request_id": "spring:hero", "attempt": attempt}}
    payload = body(**about) if place == "top" else body(data={"id": "v1_a"} | about)
    assert parse_event(payload).ended == Arrival("v1_a", "spring:hero", 2)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        7,
        [],
        {},
        {"request_id": "r-1"},
        {"attempt": 1},
        {"request_id": "../other", "attempt": 1},
        {"request_id": "r-1", "attempt": -1},
        {"request_id": "r-1", "attempt": "many"},
        {"request_id": {"a": 1}, "attempt": 1},
        {"request_id": "r" * 300, "attempt": 1},
    ],
)
def test_a_request_that_cannot_be_is_left_out(metadata: Any) -> None:
    assert parse_event(body(user_metadata=metadata)).ended == Arrival("v1_a")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b'{"type": 7}',
        b'{"type": ""}',
        json.dumps({"type": "x" * 65}).encode(),
        json.dumps({"type": "interaction.\n"}).encode(),
        b'{"type": "interaction.completed"}',
        b'{"type": "interaction.completed", "data": []}',
        body(about=None),
        body(about=7),
        body(about="../v1"),
        body(about="v" * 300),
        body("batch.failed", about="b?key=x"),
    ],
)
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_event(payload)


@pytest.mark.parametrize(
    ("claims", "disagree"),
    [
        ({}, False),
        ({"iss": "x"}, False),
        ({"type": "interaction.completed", "data": {"id": "v1_a"}}, False),
        ({"type": "interaction.failed"}, True),
        ({"data": {"id": "v1_b"}}, True),
        ({"data": 7}, False),
    ],
)
def test_a_token_that_tells_of_another_event_contradicts(claims: dict[str, Any], disagree: bool) -> None:
    assert contradicts(claims, WebhookEvent("interaction.completed", Arrival("v1_a"))) is disagree
