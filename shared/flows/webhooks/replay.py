"""Sending deliveries again: those of one request, or all that are dead."""

from __future__ import annotations

import asyncio

from shared.core.lifecycle import queries
from shared.core.messages.topics import WEBHOOK_DELIVERIES
from shared.core.values.codec import stored_in
from shared.core.values.documents import Absent, Committed, Document, Update
from shared.core.webhooks import delivery as deliveries
from shared.core.webhooks.delivery import Due, WebhookDelivery
from shared.flows.requests.lookup import find_request
from shared.flows.webhooks import endpoints
from shared.flows.webhooks.fan_out import fan_out
from shared.ports.messaging import Topics
from shared.ports.store import Store

MOST = 1_000
"""Deliveries per call."""


class NothingToReplay(Exception):
    """The tenant has no finished request with that id."""


async def replay_request(store: Store, topics: Topics, tenant: str, request_id: str) -> list[str]:
    """To every endpoint of the tenant, including those added since. Raises NothingToReplay."""
    request = await find_request(store, tenant, request_id)
    if not isinstance(request, Document) or not request.record.is_final:
        raise NothingToReplay(f"tenant {tenant} has no finished request {request_id}")
    finished_at = deliveries.moment(request.record.ended_at)
    await fan_out(store, topics, tenant, request_id, request.record.status, finished_at)
    message_id = deliveries.message_id(tenant, request_id, finished_at)
    names = [
        deliveries.delivery_id(message_id, endpoint_id) for endpoint_id in await endpoints.of_tenant(store, tenant)
    ]
    documents = await store.get_all([deliveries.path(name) for name in names])
    return await _again(store, topics, [one for one in documents if isinstance(one, Document)])


async def replay_dead(store: Store, topics: Topics, tenant: str, endpoint_id: str | None = None) -> list[str]:
    """The newest thousand of the tenant's dead deliveries, of one endpoint if it is named."""
    documents = await store.query(queries.webhook_deliveries(tenant, "dead", MOST))
    chosen = [one for one in documents if endpoint_id in (None, stored_in(one, WebhookDelivery).endpoint)]
    return await _again(store, topics, chosen)


async def _again(store: Store, topics: Topics, documents: list[Document]) -> list[str]:
    """Ids of the deliveries that are due now."""
    due = [document.id for document in documents if await _is_due_again(store, document)]
    await asyncio.gather(*(topics.publish(WEBHOOK_DELIVERIES, Due(name).to_bytes()) for name in due))
    return due


async def _is_due_again(store: Store, document: Document | Absent) -> bool:
    """An attempt that ends at this moment changes the document, too: then it is read again."""
    while isinstance(document, Document):
        after = WebhookDelivery.from_json(document.data).replayed(document.read_at)
        if isinstance(await store.commit(Update(document.path, after.to_json(), document.version)), Committed):
            return True
        document = await store.get(document.path)
    return False
