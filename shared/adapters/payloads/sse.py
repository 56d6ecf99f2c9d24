"""The JSON values of an answer: one, or those of an unrequested stream. Pure.

Relays send text/event-stream although `stream` is false (https://github.com/su-kaka/gcli2api/issues/62), with or
without its content type, and streamGenerateContent answers with one list of all its chunks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Raw

from shared.adapters.payloads.json_member import Json, decoded
from shared.adapters.payloads.loose_json import mended

MOST_EVENTS = 20_000
_STREAM = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:")


def values_of(body: bytes | bytearray) -> list[Raw]:
    """Views of the body. Empty if it holds no JSON."""
    whole = decoded(without_mark(body), Raw)
    if whole is not None:
        chunks = decoded(whole, list[Raw]) if bytes(memoryview(whole)[:1]) == b"[" else None
        return [whole] if chunks is None else chunks
    if _STREAM.match(body):
        body = body if b"\n" in body else body.replace(b"\r", b"\n")
        return [value for event in _events(body) for value in _of_event(event)]
    lines = [decoded(line, Raw) for line in _lines(body)]
    values = [line for line in lines if line is not None]
    return values if len(values) == len(lines) else mended(body)


def without_mark(body: Json) -> Json:
    """Without the byte order mark that some servers write."""
    view = memoryview(body)
    return view[3:] if bytes(view[:3]) == b"\xef\xbb\xbf" else body


def _events(body: bytes | bytearray) -> Iterator[list[memoryview]]:
    """The lines of data of each event."""
    pending: list[memoryview] = []
    for line in _lines(body, blank=True):
        if bytes(line[:5]) == b"data:":
            pending.append(line[5:])
        elif not len(line):
            yield pending
            pending = []
    yield pending


def _of_event(lines: list[memoryview]) -> list[Raw]:
    """One value, whose lines belong together; or one per line, if no empty line separates the events."""
    whole = decoded(lines[0] if len(lines) == 1 else b"\n".join(lines), Raw)
    values = [whole] if whole is not None else [decoded(line, Raw) for line in lines]
    return [value for value in values if value is not None]


def _lines(body: bytes | bytearray, *, blank: bool = False) -> Iterator[memoryview]:
    view, at = memoryview(body), 3 if body[:3] == b"\xef\xbb\xbf" else 0
    for _ in range(MOST_EVENTS):
        if at >= len(body):
            return
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        line = view[at : end - (body[end - 1 : end] == b"\r" and end > at)]
        at = end + 1
        if blank or bytes(line[:200]).strip():
            yield line
