"""A loopback server that answers each POST as a test scripts it, down to the bytes of the connection."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

JSON = {"content-type": "application/json"}
Body = bytes | str | dict[str, Any] | list[Any]


@dataclass(frozen=True)
class Reply:
    body: Body = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    cut_at: int | None = None
    """Close the connection after so many bytes of the body."""
    stall_at: int | None = None
    """Send so many bytes of the body, then nothing more."""
    silent: bool = False
    """Read the request, then close without a word."""

    @property
    def data(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass(frozen=True)
class Post:
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: dict[str, Any]


@dataclass
class ScriptedGemini:
    """Gives `replies` in turn, the last one any number of times."""

    replies: list[Reply] = field(default_factory=list)
    url: str = ""
    posts: list[Post] = field(default_factory=list)
    posted: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Barrier | None = None
    """Answer nobody before so many calls are in flight."""
    connections: set[asyncio.StreamWriter] = field(default_factory=set)

    def script(self, *replies: Reply) -> None:
        """Start over with these replies."""
        self.replies, self.posts = list(replies), []
        self.posted.clear()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            while True:
                post = await _read(reader)
                self.posts.append(post)
                self.posted.set()
                reply = self.replies[min(len(self.posts), len(self.replies)) - 1]
                if self.hold is not None:
                    await self.hold.wait()
                if not await _answer(reply, reader, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*replies: Reply) -> AsyncIterator[ScriptedGemini]:
    gemini = ScriptedGemini(list(replies))
    server = await asyncio.start_server(gemini.connected, "127.0.0.1", 0, backlog=1024)
    gemini.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield gemini
    finally:
        server.close()
        for connection in gemini.connections:
            connection.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


async def _read(reader: asyncio.StreamReader) -> Post:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Post(first.split()[1], headers, json.loads(body) if body else {})


async def _answer(reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether the connection goes on."""
    if reply.silent:
        return False
    data = reply.data
    head = f"HTTP/1.1 {reply.status} Scripted\r\n" + "".join(f"{k}: {v}\r\n" for k, v in reply.headers.items())
    if reply.status != 204:
        head += f"content-length: {len(data)}\r\n"
    writer.write(head.encode("latin-1") + b"\r\n")
    if reply.cut_at is not None:
        writer.write(data[: reply.cut_at])
        await writer.drain()
        return False
    if reply.stall_at is not None:
        writer.write(data[: reply.stall_at])
        await reader.read()  # until the client gives up
        return False
    writer.write(data)
    await writer.drain()
    return True


def a_png(width: int = 8, height: int = 4, padding: int = 0) -> bytes:
    """A real, all-black PNG; `padding` adds a text chunk of so many bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress((b"\0" * (width + 1)) * height))
    text = chunk(b"tEXt", b"x\0" + b"p" * padding) if padding else b""
    return b"\x89PNG\r\n\x1a\n" + header + text + rows + chunk(b"IEND", b"")


def image_part(data: bytes, mime_type: str = "image/jpeg") -> dict[str, Any]:
    return {"type": "image", "mime_type": mime_type, "data": base64.b64encode(data).decode()}


def output(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "model_output", "content": list(parts)}


USAGE = {
    "total_input_tokens": 582,
    "input_tokens_by_modality": [{"modality": "text", "tokens": 22}, {"modality": "image", "tokens": 560}],
    "total_output_tokens": 1150,
    "output_tokens_by_modality": [{"modality": "image", "tokens": 1120}],
    "total_thought_tokens": 210,
    "total_cached_tokens": 0,
    "total_tool_use_tokens": 0,
    "total_tokens": 1942,
    "grounding_tool_count": [{"type": "google_search", "count": 3}],
}


def interaction(*steps: dict[str, Any], status: str = "completed", **fields: Any) -> dict[str, Any]:
    """The body of a 200 as the documentation has it; a field given as None is left out."""
    body = {
        "id": "v1_x",
        "object": "interaction",
        "status": status,
        "model": "gemini-3-pro-image",
        "service_tier": "standard",
        "created": "2026-11-22T12:00:00Z",
        "updated": "2026-11-22T12:00:08Z",
        "steps": [{"type": "thought", "signature": "c2ln"}, *steps],
        "usage": USAGE,
    } | fields
    return {name: value for name, value in body.items() if value is not None}


def a_drawing(**fields: Any) -> dict[str, Any]:
    """An interaction that made an image of 8 x 4 pixels."""
    return interaction(output({"type": "text", "text": "here"}, image_part(a_png())), **fields)
