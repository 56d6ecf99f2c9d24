"""What an operator changes about a tenant's endpoints, each in one compare-and-set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.core.lifecycle import queries
from shared.core.messages.request_key import is_key
from shared.core.values.codec import stored_in
from shared.core.values.documents import Committed, Create, Delete, Document, Update
from shared.core.webhooks.endpoint import MOST_ENDPOINTS, Endpoint, SigningSecret, path
from shared.ports.store import Store
from shared.ports.webhooks import Webhooks


class NoEndpoint(Exception):
    """The tenant has no endpoint with that id."""


class TooManyEndpoints(Exception):
    """The tenant has as many as are allowed."""


async def of_tenant(store: Store, tenant: str) -> dict[str, Endpoint]:
    """By id, the oldest first."""
    documents = await store.query(queries.webhook_endpoints(tenant, MOST_ENDPOINTS + 1))
    return {document.id: Endpoint.from_json(document.data) for document in documents}


async def add(
    store: Store, webhooks: Webhooks, tenant: str, url: str, statuses: Sequence[str], *, fresh_id: str, secret: str
) -> Endpoint:
    """Raises AddressRefused, TooManyEndpoints. `fresh_id` names the endpoint and was never used."""
    await webhooks.check(url)
    if len(await of_tenant(store, tenant)) >= MOST_ENDPOINTS:
        raise TooManyEndpoints(f"{tenant} has {MOST_ENDPOINTS} endpoints; allowed: {MOST_ENDPOINTS}; remove one")
    now = (await store.get(path(fresh_id))).read_at
    endpoint = Endpoint(tenant, url, (SigningSecret(secret),), now, tuple(statuses))
    await store.commit(Create(path(fresh_id), endpoint.to_json()))
    return endpoint


async def remove(store: Store, tenant: str, endpoint_id: str) -> None:
    """Deliveries that are still due to it end. Raises NoEndpoint."""
    while True:
        document = await _read(store, tenant, endpoint_id)
        if isinstance(await store.commit(Delete(document.path, document.version)), Committed):
            return


async def rotate(store: Store, tenant: str, endpoint_id: str, secret: str) -> Endpoint:
    """With a new secret; the previous one signs for another day. Raises NoEndpoint."""
    return await _change(store, tenant, endpoint_id, lambda it, document: it.rotated(secret, document.read_at))


async def enable(store: Store, tenant: str, endpoint_id: str) -> Endpoint:
    """Accepts deliveries again, after it was disabled or paused. Raises NoEndpoint."""
    return await _change(store, tenant, endpoint_id, lambda it, _document: it.enabled())


async def _change(
    store: Store, tenant: str, endpoint_id: str, change: Callable[[Endpoint, Document], Endpoint]
) -> Endpoint:
    while True:
        document = await _read(store, tenant, endpoint_id)
        after = change(Endpoint.from_json(document.data), document)
        if isinstance(await store.commit(Update(document.path, after.to_json(), document.version)), Committed):
            return after


async def _read(store: Store, tenant: str, endpoint_id: str) -> Document:
    document = await store.get(path(endpoint_id)) if is_key(endpoint_id) else None  # others stand in no path
    if not isinstance(document, Document) or stored_in(document, Endpoint).tenant != tenant:
        raise NoEndpoint(f"tenant {tenant} has no webhook endpoint {endpoint_id}; `webhook list` shows its endpoints")
    return document
