"""A result becomes one delivery for each endpoint of its tenant, and each delivery that is due becomes a message."""

from __future__ import annotations

import asyncio
from datetime import datetime

from shared.core.lifecycle import queries
from shared.core.lifecycle.request_view import REJECTED
from shared.core.messages.topics import WEBHOOK_DELIVERIES
from shared.core.values.codec import stored_in
from shared.core.values.documents import Committed, Create
from shared.core.webhooks import delivery
from shared.core.webhooks.delivery import Due, DueRow, WebhookDelivery
from shared.flows.webhooks import endpoints
from shared.ports.messaging import Topics
from shared.ports.store import Store

PAGE = 200
MOST_AT_ONCE = 10_000
"""Messages per look; the rest follows a minute later."""


async def fan_out(
    store: Store, topics: Topics, tenant: str, request_id: str, status: str, finished_at: str
) -> int | None:
    """Safe to repeat: an existing delivery is unchanged. Returns how many are new; None: the tenant has no endpoint.

    A crash after a delivery is recorded loses nothing: it is due, and `publish_due` finds it.
    """
    return await _fan_out(
        store, topics, tenant, request_id, status, delivery.message_id(tenant, request_id, finished_at), None
    )


async def fan_out_rejection(
    store: Store, topics: Topics, tenant: str, request_id: str, rejected_message: str
) -> int | None:
    """The same for a rejected message; `request_id` is empty if it named none."""
    message_id = delivery.rejection_id(tenant, rejected_message)
    return await _fan_out(store, topics, tenant, request_id, REJECTED, message_id, rejected_message)


async def _fan_out(
    store: Store, topics: Topics, tenant: str, request_id: str, status: str, message_id: str, rejected: str | None
) -> int | None:
    new: list[str] = []
    by_id = await endpoints.of_tenant(store, tenant)
    if not by_id:
        return None
    for endpoint_id, endpoint in by_id.items():
        if not endpoint.wants(status):
            continue
        name = delivery.delivery_id(message_id, endpoint_id)
        existing = await store.get(delivery.path(name))
        record = WebhookDelivery.new(tenant, endpoint_id, request_id, message_id, status, existing.read_at, rejected)
        if await _is_created(store, Create(delivery.path(name), record.to_json())):
            new.append(name)
    await asyncio.gather(*(topics.publish(WEBHOOK_DELIVERIES, Due(name).to_bytes()) for name in new))
    return len(new)


async def _is_created(store: Store, write: Create) -> bool:
    return isinstance(await store.commit(write), Committed)


async def publish_due(store: Store, topics: Topics, now: datetime) -> int:
    """A message for every delivery that is due. Each is attempted elsewhere: nothing here waits for a slow receiver."""
    count = 0
    after: datetime | None = None
    while count < MOST_AT_ONCE:
        page = await store.query(queries.due_webhook_deliveries(now, PAGE, after))
        await asyncio.gather(*(topics.publish(WEBHOOK_DELIVERIES, Due(row.id).to_bytes()) for row in page))
        count += len(page)
        if len(page) < PAGE:
            break
        after = stored_in(page[-1], DueRow).due_at
    return count
