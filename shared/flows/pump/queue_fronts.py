"""The fronts of all queues, cached in pages: write preconditions make it safe that they are slightly outdated."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from datetime import datetime

from msgspec import Struct, field

from shared.core.admission.fair_queueing import queue_name
from shared.core.lifecycle import queries
from shared.core.lifecycle.request_record import Head
from shared.core.messages.render_request import PRIORITIES
from shared.core.values.documents import Document
from shared.flows.requests.item_by_item import heads
from shared.ports import Ports

PAGE = 100
FRESH_FOR = 5.0
"""Seconds after which a page is read again in any case: a late tenant's first request may belong before the others."""
EMPTIED_FRESH_FOR = 2.5
"""How long after a queue was emptied each tick reads it: intake may still assume that the pump knows of it."""
WOKEN_EVERY = 2.0
RETIRED_FRESH_FOR = 60.0
"""For queues of models that were retired after requests had queued for them."""


class _Page(Struct):
    heads: dict[str, Head] = field(default_factory=dict)
    """By request."""
    more: bool = False
    """The queue was longer than the page when it was read."""
    read_at: float = float("-inf")
    emptied_at: float = float("-inf")


class QueueFronts:
    """One per lead. `kicked` queues, used-up pages and old ones are read again."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._pages: dict[tuple[str, str], _Page] = {
            (model, priority): _Page() for model in ports.catalogue.models for priority in PRIORITIES
        }
        self._ahead: dict[str, Head] = {}
        """Found deep in a queue that is closed to them, with another route: they do not wait for their position in
        it."""
        self._woken_read_at = float("-inf")
        self.read_at: datetime | None = None
        """The store's time of the newest read of the last `read`; None if it found or read nothing."""

    def kicked(self, queues: Collection[str]) -> None:
        """These have something new; empty = any may have."""
        for key, page in self._pages.items():
            if not queues or queue_name(*key) in queues:
                page.read_at = float("-inf")

    async def read(self, now: datetime) -> list[Head]:
        """The front of every queue, and requests that have slept long enough."""
        self.read_at = None
        due = [key for key, page in self._pages.items() if self._is_due(key, page)]
        woken, *pages = await asyncio.gather(
            self._read_woken(now),
            *(self._ports.store.query(queries.heads(*key, PAGE)) for key in due),
        )
        read_at = self._ports.clock.monotonic()
        for key, documents in zip(due, pages, strict=True):
            emptied_at = self._pages[key].emptied_at
            self._pages[key] = _Page(self._heads(documents), len(documents) >= PAGE, read_at, emptied_at)
            self._saw(documents)
        self._saw(woken)
        fronts = {name: head for page in self._pages.values() for name, head in page.heads.items()}
        return list((self._ahead | fronts | self._heads(woken)).values())

    def ahead(self, heads: Iterable[Head]) -> None:
        """Have these planned with the fronts from now on."""
        self._ahead |= {head.request_id: head for head in heads}

    async def _read_woken(self, now: datetime) -> list[Document]:
        since = self._ports.clock.monotonic() - self._woken_read_at
        if since < WOKEN_EVERY:
            return []
        self._woken_read_at = self._ports.clock.monotonic()
        return await self._ports.store.query(queries.woken(now, PAGE))

    def gone(self, request_ids: Iterable[str]) -> None:
        """These are no longer in a queue, or have changed."""
        for request_id in request_ids:
            self._ahead.pop(request_id, None)
            for page in self._pages.values():
                if page.heads.pop(request_id, None) is not None and not page.heads:
                    page.emptied_at = self._ports.clock.monotonic()

    def left(self, head: Head) -> None:
        """It returned to its queue."""
        page = self._pages.get((head.model, head.priority))
        if page is not None:
            page.read_at = float("-inf")

    @property
    def waiting(self) -> list[str]:
        """Queues that are known to have waiting requests."""
        return sorted(queue_name(*key) for key, page in self._pages.items() if page.heads or page.more)

    def is_full_of(self, model: str, priority: str, count: int) -> bool:
        """Whether this many are all that is left of a page behind which there is more."""
        page = self._pages.get((model, priority))
        return page is not None and page.more and len(page.heads) <= count

    def full(self, model: str) -> list[Head]:
        """The heads of one model's pages behind which there is more."""
        pages = [page for key, page in self._pages.items() if key[0] == model and page.more]
        return [head for page in pages for head in page.heads.values()]

    def _is_due(self, key: tuple[str, str], page: _Page) -> bool:
        if page.more and not page.heads:
            return True
        if not page.heads and self._ports.clock.monotonic() - page.emptied_at < EMPTIED_FRESH_FOR:
            return True
        retired = self._ports.catalogue.models[key[0]].status == "retired"
        fresh_for = RETIRED_FRESH_FOR if retired and not page.heads else FRESH_FOR
        return self._ports.clock.monotonic() - page.read_at >= fresh_for

    def _saw(self, documents: list[Document]) -> None:
        if documents and (self.read_at is None or documents[0].read_at > self.read_at):
            self.read_at = documents[0].read_at

    def _heads(self, documents: list[Document]) -> dict[str, Head]:
        return {head.request_id: head for head in heads(self._ports, documents)}
