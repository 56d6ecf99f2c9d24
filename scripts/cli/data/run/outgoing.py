"""What will be published: the messages of a command line or a file, checked before they are sent, and their sending."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from scripts.local import upstream
from shared.core.messages.render_request import (
    DEFAULT_TENANT,
    Cancel,
    InvalidRequest,
    Message,
    RenderRequest,
    parse_message,
)
from shared.ports.messaging import Topics

PREFIXED = ("request_id", "cancel", "escalates")


class OutgoingMessage(Struct, frozen=True):
    """One message before it is sent."""

    number: int
    """From 1, as in the file."""
    data: bytes
    meaning: Message | InvalidRequest

    def __repr__(self) -> str:
        """Without the prompt."""
        return f"OutgoingMessage({self.number}, {len(self.data)} bytes)"

    @classmethod
    def of(cls, data: bytes, number: int = 1) -> OutgoingMessage:
        try:
            return cls(number, data, parse_message(data))
        except InvalidRequest as problems:
            return cls(number, data, problems)

    @property
    def request_id(self) -> str | None:
        return self.meaning.request_id


class SentMessage(Struct, frozen=True):
    """One message that was published."""

    message_id: str
    request_id: str | None
    content_hash: str | None
    """None if it cannot become a request."""
    cancels: bool
    tenant: str = DEFAULT_TENANT


def read_lines(content: bytes, prefix: str) -> list[OutgoingMessage]:
    """One message per line; empty lines count but are no messages."""
    numbered = enumerate(content.splitlines(), start=1)
    return [OutgoingMessage.of(prefixed(line.strip(), prefix), number) for number, line in numbered if line.strip()]


def prefixed(data: bytes, prefix: str) -> bytes:
    """The message with `prefix` before every id in it; unchanged if it cannot be read."""
    if not prefix:
        return data
    try:
        payload: Any = json.loads(data)
    except (ValueError, RecursionError):
        return data
    if not isinstance(payload, dict):
        return data
    changed = {name: prefix + payload[name] for name in PREFIXED if isinstance(payload.get(name), str)}
    return json.dumps(payload | changed, ensure_ascii=False).encode("utf-8", "surrogatepass")


def complaints(lines: Iterable[OutgoingMessage], file: str | None = None) -> list[str]:
    """The problems, in a file by line."""
    return [
        f"{file}:{line.number}: {problem}" if file else str(problem)
        for line in lines
        if isinstance(line.meaning, InvalidRequest)
        for problem in line.meaning.problems
    ]


async def send(
    topics: Topics, lines: Sequence[OutgoingMessage], report: Callable[[int], None] = lambda _count: None
) -> list[SentMessage]:
    """Publish in order; `report` gets how many more were sent. Raises TopicsUnavailable with how many were sent."""
    ids = await upstream.publish(topics, [line.data for line in lines], report)
    return [_sent(message_id, line) for message_id, line in zip(ids, lines, strict=True)]


def _sent(message_id: str, line: OutgoingMessage) -> SentMessage:
    content_hash = line.meaning.content_hash if isinstance(line.meaning, RenderRequest) else None
    tenant = line.meaning.tenant or DEFAULT_TENANT
    return SentMessage(message_id, line.request_id, content_hash, isinstance(line.meaning, Cancel), tenant)
