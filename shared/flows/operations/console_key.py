"""The key under which the console signs its forms: made once, kept in the store, the same for all its processes."""

from __future__ import annotations

from shared.core.values.documents import Create, Document
from shared.ports.store import Store

PATH = "keys/console"


async def console_key(store: Store, fresh: str) -> str:
    """The key that is kept; `fresh` where none is yet."""
    while True:
        document = await store.get(PATH)
        if isinstance(document, Document):
            return str(document.data["key"])
        await store.commit(Create(PATH, {"key": fresh, "created_at": document.read_at}))
