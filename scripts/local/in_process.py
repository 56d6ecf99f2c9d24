"""Posts to an application of this process without a socket: the cost of a client and a server on loopback is saved.

They cost twice what intake itself does. The application is the same, and so is what it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from starlette.types import ASGIApp, Message

NO_ANSWER = 500


async def post(application: ASGIApp, path: str, body: bytes, headers: Mapping[str, str], within: timedelta) -> int:
    """The status of the answer. TimeoutError if there is none in time; the application is then cancelled."""
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1"),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 0), "server": ("127.0.0.1", 0),
    }  # fmt: skip
    exchange = _Exchange(body)
    async with asyncio.timeout(within.total_seconds()):
        await application(scope, exchange.receive, exchange.send)
    return exchange.status


class _Exchange:
    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self.status = NO_ANSWER

    async def receive(self) -> Message:
        if self._body is None:
            await asyncio.Event().wait()  # the caller does not leave: it is cancelled, or hears the answer
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
