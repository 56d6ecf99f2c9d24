"""A connection that sends half a request's headers is closed, first request or not."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from scripts.local import headers_in_time
from scripts.local.home import serving

WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def _answer(request: Request) -> Response:
    return PlainTextResponse("ok")


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["first request", "second request"])
@pytest.mark.parametrize("half", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\nX-A"])
async def test_half_a_request_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, before: bytes, half: bytes) -> None:
    monkeypatch.setattr(headers_in_time, "HEADERS_WITHIN", timedelta(seconds=0.2))
    async with serving(Starlette(routes=[Route("/", _answer)]), port=0) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        async with asyncio.timeout(30):
            if before:
                writer.write(before)
                assert b"200" in await reader.readline()
            writer.write(half)
            while await reader.read(4096):
                pass  # to its end: the server has closed
        writer.close()
        await writer.wait_closed()
