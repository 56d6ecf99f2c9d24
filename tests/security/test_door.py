"""The door by itself: what takes time is injected."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from scripts.local import door
from scripts.local.door import Door


async def _reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def scope(*headers: tuple[str, str], method: str = "POST", path: str = "/v1/x") -> dict[str, Any]:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return {"type": "http", "method": method, "path": path, "headers": raw}


async def status(scope: dict[str, Any], parts: Any = None, **settings: Any) -> int:
    sent: list[Message] = []
    waiting = iter(parts or [{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        message = next(waiting, None)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message  # type: ignore[no-any-return]

    async def send(message: Message) -> None:
        sent.append(message)

    await Door(_reads_all, json_below=("/v1/",), **settings)(scope, receive, send)
    return int(sent[0]["status"])


HOST = ("host", "localhost:8080")


async def test_a_body_that_never_ends_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_WITHIN", timedelta(0))
    half = [{"type": "http.request", "body": b"{", "more_body": True}]
    assert await status(scope(HOST, ("content-type", "application/json")), half) == 408


async def test_a_body_in_many_parts_is_counted() -> None:
    part = {"type": "http.request", "body": b" " * 1_000_000, "more_body": True}
    assert await status(scope(HOST), [part] * 17) == 413
    assert await status(scope(HOST), [*[part] * 15, {**part, "more_body": False}]) == 200


@pytest.mark.parametrize("headers", [[], [HOST, HOST], [HOST, ("host", "evil.example")]])
async def test_one_host_is_named(headers: list[tuple[str, str]]) -> None:
    assert await status(scope(*headers)) == 403


async def test_two_origins_or_types_are_none_that_is_allowed() -> None:
    own = ("origin", "http://localhost:8080")
    assert await status(scope(HOST, own)) == 415, "a browser says what it sends"
    json_type = ("content-type", "application/json")
    assert await status(scope(HOST, own, json_type)) == 200
    assert await status(scope(HOST, own, ("origin", "http://evil.example"), json_type)) == 403
    assert await status(scope(HOST, json_type, ("content-type", "text/plain"))) == 415


async def test_a_link_may_lead_here_and_an_image_may_not() -> None:
    site = ("sec-fetch-site", "cross-site")
    assert await status(scope(HOST, site, ("sec-fetch-mode", "navigate"), method="GET")) == 200
    assert await status(scope(HOST, site, ("sec-fetch-mode", "no-cors"), method="GET")) == 403


@pytest.mark.parametrize(
    ("host", "expected"),
    [("192.168.1.2:9000", 200), ("simulator:9000", 200), ("[fe80::1]:9000", 200), ("evil.example", 403)],
)
async def test_a_server_for_other_machines_is_called_by_address_or_bare_name(host: str, expected: int) -> None:
    assert await status(scope(("host", host)), anywhere=True) == expected


async def test_without_a_secret_nobody_passes_as_the_courier() -> None:
    assert await status(scope(HOST, (door.SECRET, ""), path="/functions/watch"), own_below=("/functions/",)) == 403
    shown = scope(HOST, (door.SECRET, "s"), path="/functions/watch")
    assert await status(shown, own_below=("/functions/",), secret="s") == 200
    twice = scope(HOST, (door.SECRET, "s"), (door.SECRET, "s"), path="/functions/watch")
    assert await status(twice, own_below=("/functions/",), secret="s") == 403
