"""What a post without a socket is for the application, and what its answers are for the courier."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from scripts.local.in_process import post

SECOND = timedelta(seconds=1)


async def test_the_application_gets_the_path_the_headers_and_the_body() -> None:
    calls = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        calls.append((request.method, request.url.path, request.headers["x-renderlane-boot"], await request.body()))
        await Response(status_code=204)(scope, receive, send)

    assert await post(application, "/functions/intake", b"body", {"X-Renderlane-Boot": "s"}, SECOND) == 204
    assert calls == [("POST", "/functions/intake", "s", b"body")]


async def test_an_application_that_answers_nothing_has_failed() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    assert await post(application, "/", b"", {}, SECOND) == 500


async def test_an_application_that_takes_too_long_is_cancelled() -> None:
    ends: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    with pytest.raises(TimeoutError):
        await post(application, "/", b"", {}, timedelta(milliseconds=1))
    assert ends == ["cancelled"]


async def test_nobody_disconnects_while_an_application_listens_for_it() -> None:
    messages: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        messages.append(await receive())
        listening = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not listening.done()
        listening.cancel()
        await Response(status_code=202)(scope, receive, send)

    assert await post(application, "/", b"x", {}, SECOND) == 202
    assert messages == [{"type": "http.request", "body": b"x", "more_body": False}]
