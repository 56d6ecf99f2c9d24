"""The key with which the console signs its forms: made once, kept in the store, the same for all its processes."""

from __future__ import annotations

from datetime import datetime

from shared.core.values.codec import Stored, stored_in
from shared.core.values.documents import Create, Document
from shared.ports.store import Store

PATH = "keys/console"


class ConsoleKey(Stored, frozen=True):
    key: str
    created_at: datetime


async def console_key(store: Store, fresh: str) -> str:
    """The stored key; `fresh` if there is none yet."""
    while True:
        document = await store.get(PATH)
        if isinstance(document, Document):
            return stored_in(document, ConsoleKey).key
        await store.commit(Create(PATH, ConsoleKey(fresh, document.read_at).to_json()))
