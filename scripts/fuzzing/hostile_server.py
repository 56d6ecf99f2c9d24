"""An HTTP server that answers every request with one answer, however broken, and keeps to no rule of the protocol."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from tests.corpus.virtual_loop import VirtualLoop

PIECE = 1024 * 1024
MEGABYTES = 2_000
"""After which a stream without end gives up."""


class Hostile:
    def __init__(self, loop: VirtualLoop, answer: dict[str, Any], body: bytes) -> None:
        self._loop = loop
        self._answer = answer
        self._body = body
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.sent = 0
        """Bytes of bodies."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await _read(reader):
                if not await self._write(writer):
                    break
        except (
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            ConnectionError,
            ValueError,
            asyncio.CancelledError,
        ):
            pass
        finally:
            writer.close()

    async def hang_up(self) -> None:
        for connection in self._connections:
            connection.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        answer, body = self._answer, self._body.replace(b"@HOST", self.url.encode())
        encoded = _encoded(body, answer.get("encoding", ""))
        head = {"content-type": "application/json", **answer["headers"]}
        if answer.get("encoding"):
            head["content-encoding"] = answer["encoding"]
        bomb = answer.get("bomb", "")
        if answer.get("chunked") or bomb:
            head["transfer-encoding"] = "chunked"
        else:
            head["content-length"] = str(answer.get("length", len(encoded)))
        lines = [f"HTTP/1.1 {answer['status']} Any", *(f"{name}: {text}" for name, text in head.items())]
        writer.write("\r\n".join(lines).replace("@HOST", self.url).encode("latin-1", "replace") + b"\r\n\r\n")
        if bomb:
            for piece in pieces(bomb, answer.get("megabytes", MEGABYTES)):
                writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
                self.sent += len(piece)
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return False
        encoded = encoded[: answer.get("cut")]
        for piece in _dripped(encoded, answer.get("drip", 0)):
            writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n" if answer.get("chunked") else piece)
            await writer.drain()
            if answer.get("drip"):
                await self._pause(20)
        if answer.get("chunked") and "cut" not in answer:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        self.sent += len(encoded)
        return "cut" not in answer and "length" not in answer

    async def _pause(self, seconds: float) -> None:
        """Nothing moves on the wire."""
        busy, self._loop.busy = self._loop.busy, 0
        try:
            await asyncio.sleep(seconds)
        finally:
            self._loop.busy = busy


@asynccontextmanager
async def hostile(loop: VirtualLoop, answer: dict[str, Any], body: bytes) -> AsyncIterator[Hostile]:
    provider = Hostile(loop, answer, body)
    server = await asyncio.start_server(provider.connected, "127.0.0.1", 0, limit=2**20)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.close()
        await provider.hang_up()
        await server.wait_closed()


BOMBS = ("spaces", "text", "brackets", "events", "gzip", "deflate", "twice", "lines")


def pieces(bomb: str, megabytes: int) -> Iterator[bytes]:
    """So many megabytes of what the bomb is made of, as the receiver would hold them."""
    match bomb:
        case "spaces":
            yield from (b" " * PIECE for _ in range(megabytes))
        case "text":
            yield b'{"id": "v1_x", "status": "'
            yield from (b"x" * PIECE for _ in range(megabytes))
            yield b'"}'
        case "brackets":
            yield from (b"[" * PIECE for _ in range(megabytes))
        case "events":
            yield from (b'data: {"a": 1}\n\n' * (PIECE // 16) for _ in range(megabytes))
        case "lines":
            yield from (b'{"key": "r-1/1", "error": {}}\n' * (PIECE // 30) for _ in range(megabytes))
        case "gzip" | "deflate":
            packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | (16 if bomb == "gzip" else 0))
            for _ in range(megabytes):
                if packed := packer.compress(b" " * PIECE):
                    yield packed
            yield packer.flush()
        case "twice":
            yield gzip.compress(gzip.compress(b" " * PIECE * min(megabytes, 200), 9), 9)
        case _:
            raise ValueError(f"there is no bomb {bomb!r}; allowed: {', '.join(BOMBS)}")


async def _read(reader: asyncio.StreamReader) -> bool:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(headers.get("content-length", "0")))
    return True


def _encoded(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.compress(body, mtime=0)
        case "deflate":
            return zlib.compress(body)
        case _:
            return body


def _dripped(body: bytes, drip: int) -> Iterator[bytes]:
    if not drip:
        yield body
        return
    for at in range(0, len(body), max(1, len(body) // drip)):
        yield body[at : at + max(1, len(body) // drip)]
