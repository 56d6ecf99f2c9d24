"""Cancelling by HTTP: published like any cancellation, then polled until it has taken effect."""

from __future__ import annotations

from shared.core.lifecycle.request_view import has_ended
from shared.core.messages.pubsub_messages import cancellation
from shared.core.messages.topics import RENDER_REQUESTS
from shared.flows.api.reading import Lookup, find
from shared.ports import Ports

PATIENCE = 2.0
"""Seconds after which the answer shows the request as it is then."""
PAUSE = 0.1


class HasEnded(Exception):
    """There is nothing left to cancel."""

    def __init__(self, current: Lookup) -> None:
        super().__init__(f"{current.view.request_id} has ended as {current.view.status}")
        self.current = current


async def cancel(ports: Ports, tenant: str, request_id: str, origin: str) -> Lookup | None:
    """None if there is no such request. A request that has started is not affected: its view says so. Raises HasEnded,
    StoreUnavailable or TopicsUnavailable."""
    current = await find(ports, tenant, request_id, origin)
    if current is None:
        return None
    if has_ended(current.view):
        raise HasEnded(current)
    await ports.topics.publish(RENDER_REQUESTS, cancellation(tenant, request_id))
    give_up_at = ports.clock.monotonic() + PATIENCE
    while current is not None and not has_ended(current.view) and ports.clock.monotonic() < give_up_at:
        await ports.clock.sleep(PAUSE)
        current = await find(ports, tenant, request_id, origin)
    return current
