"""What goes back over the wire: whole, cut, never, or a dead connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct, field
from starlette.types import Receive, Scope, Send

CONNECTION = "simulator.connection"
"""Key of the `Connection` in the ASGI state, put there by `server`."""


class Connection(Protocol):
    """The caller's connection, which ASGI itself does not show."""

    def left(self) -> bool:
        """The client has closed it."""

    def end(self, *, gently: bool) -> None:
        """Gently: what was written is sent first."""


def connection_of(scope: Scope) -> Connection:
    try:
        connection: Connection = scope["state"][CONNECTION]
    except KeyError as cause:
        raise RuntimeError("the simulator needs its own server to see and to end connections") from cause
    return connection


class WrittenAnswer(Struct, frozen=True):
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Cut(Struct, frozen=True):
    """The head promises the whole body; half of it comes and the connection ends."""

    answer: WrittenAnswer


class Hang(Struct, frozen=True):
    """Nothing, until the client leaves."""


class Reset(Struct, frozen=True):
    """The connection ends without an answer."""


Reply = WrittenAnswer | Cut | Hang | Reset


def json_answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> WrittenAnswer:
    return WrittenAnswer(status, msgspec.json.encode(body), headers or {})


async def deliver(reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
    match reply:
        case WrittenAnswer():
            await _start(reply, send)
            await send({"type": "http.response.body", "body": reply.body})
        case Cut(answer):
            await _start(answer, send)
            half = answer.body[: len(answer.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            connection_of(scope).end(gently=True)
            await _gone(receive)
        case Hang():
            await _gone(receive)
        case Reset():
            connection_of(scope).end(gently=False)
            await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start(answer: WrittenAnswer, send: Send) -> None:
    headers = {
        "content-type": "application/json; charset=UTF-8",
        **answer.headers,
        "content-length": str(len(answer.body)),
    }
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
