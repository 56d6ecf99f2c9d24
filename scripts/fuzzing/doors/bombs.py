"""Answers of a provider that are made to fill the memory: they end in a failure, early, and in little memory."""

from __future__ import annotations

import base64
import json
import struct
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from random import Random

from scripts.fuzzing import memory
from scripts.fuzzing.door import Input
from scripts.fuzzing.doors.answers import play
from scripts.fuzzing.hostile_server import BOMBS
from scripts.fuzzing.provider_verbs import VERBS
from tests.corpus import pictures, wire

MEGABYTES = 400
"""The most that a call may need at its peak beyond what the process had: four times the longest answer that is read."""
SECONDS = 20
"""Of the processor."""
PICTURES = ("png", "webp", "text")


class BombsDoor:
    name = "bombs"

    def draw(self, random: Random) -> Input:
        verb = random.choice(list(VERBS))
        status = random.choice((200, 200, 200, 400, 429, 503, 302))
        item: Input = {"verb": verb, "status": status, "headers": {}, "body": ""}
        if verb in ("interactions", "chat", "generate") and random.random() < 0.2:
            return item | {"status": 200, "picture": random.choice(PICTURES), "side": random.choice((6_000, 60_000))}
        bomb = random.choice(BOMBS)
        encoding = {"gzip": "gzip", "deflate": "deflate", "twice": "gzip, gzip"}.get(bomb)
        headers = {"content-type": "text/event-stream"} if bomb == "events" else {}
        if verb == "upload":
            headers["x-goog-upload-url"] = "@HOST/put"
        return item | {
            "bomb": bomb,
            "megabytes": random.choice((30, 100, 1_000)) if encoding is None else random.choice((100, 1_000)),
            "headers": headers,
            **({"encoding": encoding} if encoding else {}),
        }

    def play(self, item: Input) -> Sequence[str]:
        body = _body(item) if "picture" in item else b""
        began = time.process_time()
        with memory.grown() as growth:
            problems = play(item, body)
        if growth.megabytes > MEGABYTES:
            problems.append(f"{_name(item)} took {growth.megabytes} MB")
        if (took := time.process_time() - began) > SECONDS:
            problems.append(f"{_name(item)} took {took:.0f} s of the processor")
        return problems


def _name(item: Input) -> str:
    return f"{item['verb']}, HTTP {item['status']}, {item.get('bomb') or item['picture']}"


def _body(item: Input) -> bytes:
    """An answer with a picture of a few kilobytes that claims, and unpacks to, far more."""
    makers: Mapping[str, Callable[[int], bytes]] = {"png": _png, "webp": _webp, "text": _texts}
    picture = makers[item["picture"]](item["side"])
    body = wire.ordinary(item["verb"], "gemini-3-pro-image")
    text = json.dumps(body)
    ordinary = pictures.encoded("JPEG")
    return text.replace(base64.b64encode(ordinary).decode(), base64.b64encode(picture).decode()).encode()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png(side: int, *more: bytes) -> bytes:
    """A square of one colour; `more` chunks stand before its pixels."""
    packer = zlib.compressobj(9)
    rows = [packer.compress(b"\0" * (side // 8 + 1) * 100) for _ in range(side // 100)]
    pixels = b"".join(rows) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    inside = [_chunk(b"IHDR", head), *more, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(inside)


def _texts(side: int) -> bytes:
    """Compressed texts and a profile of hundreds of megabytes in a small picture."""
    large = zlib.compress(b" " * (side * 5_000), 9)
    texts = [_chunk(b"zTXt", b"a%d\0\0" % number + large) for number in range(3)]
    return _png(800, _chunk(b"iCCP", b"p\0\0" + large), *texts)


def _webp(side: int) -> bytes:
    """An extended header that claims the largest canvas around a real picture."""
    real = pictures.encoded("WEBP")[12:]
    size = min(side, 16_383) - 1
    head = b"\0\0\0\0" + size.to_bytes(3, "little") * 2
    inside = b"VP8X" + struct.pack("<I", len(head)) + head + real
    return b"RIFF" + struct.pack("<I", len(inside) + 4) + b"WEBP" + inside
