"""Telling the world how a request ended: at least once, however often a process dies in between."""

from __future__ import annotations

from shared.core.documents import Document, Update
from shared.core.messages import result_event
from shared.core.topology import RENDER_RESULTS
from shared.ports import Ports


async def announce(ports: Ports, request: Document) -> None:
    """Publish the result of a finished request, then clear its mark; a mark left standing is seen to by watch."""
    event = result_event(request.id, request.data)
    await ports.topics.publish(RENDER_RESULTS, event.data, event.attributes)
    if request.data["announce"] == "pending":
        # A conflict means that somebody else changed it meanwhile: the mark stays, and one more announcement follows.
        await ports.store.commit(Update(request.path, {"announce": None}, request.version))
