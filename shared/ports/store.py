"""The store: a table of versioned documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # only for types: code that uses a port loads what it needs itself
    from shared.core.values.documents import Absent, Committed, Conflict, Document, Query, Write


class StoreUnavailable(Exception):
    """The store could not be reached or did not answer in time; nothing is known about the write."""


class Store(Protocol):
    """A table of versioned documents. Every method raises StoreUnavailable and no error of its technology.

    An update that changes nothing still changes the version: each write carries a fresh `write_id` of the adapter.
    """

    async def get(self, path: str) -> Document | Absent: ...

    async def get_all(self, paths: Sequence[str]) -> list[Document | Absent]:
        """The documents in the order of `paths`."""
        ...

    async def query(self, query: Query) -> list[Document]: ...

    async def count(self, query: Query) -> int:
        """How many documents match, up to `query.limit`."""
        ...

    async def commit(self, *writes: Write) -> Committed | Conflict:
        """All writes or none. At most one write per path; at most 500 writes."""
        ...

    async def close(self) -> None: ...
