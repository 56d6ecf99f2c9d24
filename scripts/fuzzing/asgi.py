"""A function as the platform calls it, without a server: one HTTP request in, its status, headers and body out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request

from functions import main
from shared.wiring import Worker


class Answered(Struct, frozen=True):
    status: int
    body: bytes
    read: int
    """Bytes of the request's body that were asked for."""


async def call(
    worker: Worker, function: str, pieces: Sequence[bytes], headers: dict[str, str], method: str = "POST",
    path: str = "/", ends: str = "whole",
) -> Answered:  # fmt: skip
    """The function's answer to a body in pieces, which `ends` whole, in the middle ("gone") or never ("open")."""
    application = Starlette()
    application.state.worker = worker
    raw = [
        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
    ]
    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode("utf-8", "replace"), "root_path": "", "scheme": "https", "query_string": b"",
        "headers": raw, "app": application, "client": ("127.0.0.1", 4711), "server": ("127.0.0.1", 8080),
    }  # fmt: skip
    parts, count = iter(pieces), 0

    async def receive() -> Any:
        nonlocal count
        part = next(parts, None)
        if part is None and ends == "gone":
            return {"type": "http.disconnect"}
        if part is None and ends == "open":
            await asyncio.Event().wait()
        count += len(part or b"")
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    answers: list[Any] = []

    async def send(message: Any) -> None:
        answers.append(message)

    answer: Any = getattr(main, function)(Request(scope, receive))
    response = await answer
    await response(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in answers if message["type"] == "http.response.body")
    return Answered(answers[0]["status"], body, count)
