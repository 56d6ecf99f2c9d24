"""Any store with a count kept of what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scripts.bench.quota_live.counters import Counters, billed_reads, collection
from shared.core.values.documents import Absent, Committed, Conflict, Document, Query, Write
from shared.ports.store import Store


class CountedStore:
    """See shared.ports.store.Store. What the adapter below does on its own (a repeated call) is not seen here."""

    def __init__(self, store: Store, counters: Counters, flow: Callable[[], str]) -> None:
        """`flow` names the flow that is asking."""
        self._store = store
        self._counters = counters
        self._flow = flow

    async def get(self, path: str) -> Document | Absent:
        self._counters.note(self._flow(), "get", collection(path), 1)
        return await self._store.get(path)

    async def get_all(self, paths: Sequence[str]) -> list[Document | Absent]:
        for path in paths:
            self._counters.note(self._flow(), "get", collection(path), 1)
        return await self._store.get_all(paths)

    async def query(self, query: Query) -> list[Document]:
        documents = await self._store.query(query)
        self._counters.note(self._flow(), "query", collection(query.collection), billed_reads("query", len(documents)))
        return documents

    async def count(self, query: Query) -> int:
        number = await self._store.count(query)
        self._counters.note(self._flow(), "count", collection(query.collection), billed_reads("count", number))
        return number

    async def commit(self, *writes: Write) -> Committed | Conflict:
        committed = await self._store.commit(*writes)
        match committed:
            case Committed(at=at):
                self._counters.note_commit(self._flow(), writes, at)
            case Conflict():
                self._counters.note(self._flow(), "conflict", "", 0)
        return committed

    async def close(self) -> None:
        await self._store.close()
