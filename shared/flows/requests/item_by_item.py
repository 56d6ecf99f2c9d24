"""A document that cannot be read or written stops only itself: it is reported, and the work goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TypeVar

from shared.core.lifecycle.request_record import Head
from shared.core.messages.render_request import InvalidRequest
from shared.core.observability import events
from shared.core.values.documents import Document, InvalidDocument, UnreadableDocument
from shared.ports import Ports
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable

T = TypeVar("T")

REPORT_EVERY = 3600.0
"""Seconds between two reports of one document by one process."""
REPORTS_KEPT = 1_000
_OURS = (InvalidDocument, UnreadableDocument, InvalidRequest)
"""The messages of these errors contain no prompt."""


async def attempt(ports: Ports, doing: str, path: str, step: Awaitable[T]) -> T | None:
    """The result of the step; None if the document at `path` stopped it, which is reported.

    An unavailable store or topic stops every document alike: StoreUnavailable and TopicsUnavailable pass through.
    """
    try:
        return await step
    except (StoreUnavailable, TopicsUnavailable):
        raise
    except Exception as error:  # noqa: BLE001  any error of a document stops that document alone
        report(ports, doing, path, error)
        return None


def report(ports: Ports, doing: str, path: str, error: Exception) -> None:
    """Once per document and hour."""
    now, reported_at = ports.clock.monotonic(), ports.reported
    if now - reported_at.get(path, float("-inf")) < REPORT_EVERY:
        return
    if len(reported_at) >= REPORTS_KEPT:
        reported_at.clear()
    reported_at[path] = now
    ports.signals.emit(events.DOCUMENT_SKIPPED, document=path, doing=doing, reason=reason_of(error))


def reason_of(error: Exception) -> str:
    """What went wrong, without error messages that may quote a prompt."""
    name = type(error).__name__
    if isinstance(error, _OURS):
        return f"{name}: {str(error)[:200]}"
    return f"{name}: {str(error.args[0])[:60]}" if isinstance(error, KeyError) and error.args else name


def heads(ports: Ports, documents: Iterable[Document]) -> list[Head]:
    """Those that can be read as queued requests."""
    readable = []
    for document in documents:
        try:
            readable.append(Head.of(document.id, document.version, document.data))
        except Exception as error:  # noqa: BLE001  as in `attempt`
            report(ports, "read a queued request", document.path, error)
    return readable
