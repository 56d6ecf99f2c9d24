"""What an operator changes by hand, each in one compare-and-set."""

from __future__ import annotations

from shared.core.documents import Committed, Create, Document, Update, Write
from shared.ports import Store

PATH = "tenants/{}"


async def set_weight(store: Store, tenant: str, weight: float) -> float | None:
    """The weight by which `tenant` shares queues from now on. The one before, or None where none was set."""
    while True:
        found = await store.get(PATH.format(tenant))
        now = found.read_at
        write: Write
        if isinstance(found, Document):
            write = Update(found.path, {"weight": weight, "updated_at": now}, found.version)
        else:
            write = Create(found.path, {"weight": weight, "created_at": now, "updated_at": now})
        if isinstance(await store.commit(write), Committed):
            return found.data.get("weight") if isinstance(found, Document) else None
