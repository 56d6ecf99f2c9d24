"""The function `arrive` as anybody can call it: how little it reads, and how little it says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import main, webhook
from functions.webhook import MOST_BYTES
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.core.observability import events
from shared.ports.signatures import NoSignatures
from shared.ports.store import StoreUnavailable
from shared.wiring import Worker
from tests.fakes.webhook_sender import SecretSender, event
from tests.flows.arrive.test_arrive import SECRETS, TOKENS, Door

BODY = event()


class Endless:
    """A body that counts how much of it was read."""

    def __init__(self, parts: Iterable[bytes], *, ends: bool = True) -> None:
        self._parts = iter(parts)
        self._ends = ends
        self.read = 0

    async def receive(self) -> Any:
        part = next(self._parts, None)
        if part is None and not self._ends:
            await asyncio.Event().wait()
        self.read += len(part or b"")
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}


@pytest.fixture
def door() -> Door:
    return Door()


async def call(
    door: Door, headers: dict[str, str], body: Endless | bytes = BODY, method: str = "POST", **stated: str
) -> Response:
    application = Starlette()
    application.state.worker = Worker.of(door.ports)
    sent = headers | stated
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
    scope = {"type": "http", "method": method, "path": "/", "query_string": b"", "headers": raw, "app": application}
    parts = body if isinstance(body, Endless) else Endless([body])
    answer: Any = main.arrive(Request(scope, parts.receive))
    response = await answer
    assert isinstance(response, Response)
    return response


def signed(door: Door, body: bytes = BODY) -> dict[str, str]:
    return SECRETS.headers(body, door.world.clock.now())


async def test_a_genuine_webhook_is_answered_204_and_published(door: Door) -> None:
    for way in (signed(door), TOKENS.headers(BODY, door.world.clock.now(), "msg_2")):
        assert (await call(door, way)).status_code == 204
    assert len(door.world.topics.on(RENDER_ARRIVALS)) == 2


async def test_a_wrong_signature_is_a_401_without_a_word(door: Door) -> None:
    stranger = SecretSender(b"another key of 24 bytes!")
    for headers in ({}, stranger.headers(BODY, door.world.clock.now()), signed(door) | {"webhook-id": "msg_other"}):
        answer = await call(door, headers)
        assert (answer.status_code, answer.body) == (401, b"")
    assert [fields["why"] for fields in door.world.signals.of(events.WEBHOOK_REFUSED)] == ["unsigned", "signature"]
    assert door.world.topics.on(RENDER_ARRIVALS) == []


@pytest.mark.parametrize("body", [[b"x" * 1_000] * 1_000, [b"x" * 1_000_000]])
async def test_a_body_without_signature_is_not_read_at_all(door: Door, body: list[bytes]) -> None:
    parts = Endless(body)
    assert (await call(door, {}, parts)).status_code == 401
    assert parts.read == 0


async def test_a_large_body_is_not_read_to_its_end(door: Door) -> None:
    parts = Endless([b"x" * 1_000] * 1_000)
    assert (await call(door, signed(door), parts)).status_code == 413
    assert parts.read <= MOST_BYTES + 1_000


@pytest.mark.parametrize("length", [str(MOST_BYTES + 1), "9" * 30, "-1", "many", "1, 2"])
async def test_a_stated_length_that_is_too_large_is_not_read_at_all(door: Door, length: str) -> None:
    parts = Endless([b"x"])
    answer = await call(door, signed(door), parts, **{"content-length": length})
    assert (answer.status_code, parts.read) == (413, 0)


async def test_a_body_that_never_ends_is_left(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    monkeypatch.setattr(webhook, "BODY_WITHIN", timedelta(0))
    assert (await call(door, signed(door), Endless([b"{"], ends=False))).status_code == 408


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_only_post_is_answered(door: Door, method: str) -> None:
    answer = await call(door, signed(door), method=method)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_where_nothing_is_configured_everything_is_a_401(door: Door) -> None:
    door.ports = replace(door.ports, signatures=NoSignatures())
    assert (await call(door, signed(door))).status_code == 401


@pytest.mark.parametrize(
    ("error", "status"), [(StoreUnavailable("away"), 503), (RuntimeError("secret words"), 500), (KeyError("x"), 500)]
)
async def test_what_breaks_is_on_record_and_told_to_nobody(door: Door, error: Exception, status: int) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise error

    door.ports = replace(door.ports, store=Broken())
    answer = await call(door, signed(door))
    assert (answer.status_code, answer.body) == (status, b"")
    signal = events.DELIVERY_DEFERRED if status == 503 else events.DELIVERY_CRASHED
    (fields,) = door.world.signals.of(signal)
    assert (fields["function"], fields["message_id"], fields["http_status"]) == ("arrive", "msg_1", status)


async def test_keys_that_are_away_ask_for_another_delivery(door: Door) -> None:
    door.keys_down = True
    assert (await call(door, TOKENS.headers(BODY, door.world.clock.now()))).status_code == 503
