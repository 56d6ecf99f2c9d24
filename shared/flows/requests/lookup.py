"""The request of one tenant under one id, wherever this release or an earlier one has stored it."""

from __future__ import annotations

from msgspec.structs import replace

from shared.core.lifecycle import request_record
from shared.core.messages.render_request import DEFAULT_TENANT
from shared.core.records.versioned import Request, request_in
from shared.core.values.documents import Absent, Document
from shared.ports.store import Store


async def find_request(store: Store, tenant: str, request_id: str) -> Request | Absent:
    """Absent names the path at which a new request of that tenant and id would be stored.

    Before ids were per tenant, a request of any tenant was stored under its bare id. So the tenant `default` looks at
    its second place only if the first is taken by another tenant's older request.
    """
    usual, other = request_record.paths_of(tenant, request_id)
    if tenant != DEFAULT_TENANT:
        first, second = map(_read, await store.get_all([usual, other]))
        if not isinstance(first, Absent):
            return first
        if not isinstance(second, Absent) and second.record.tenant == tenant:
            return second
        return first
    first = _read(await store.get(usual))
    if isinstance(first, Absent) or first.record.tenant == tenant:
        return first
    second = _read(await store.get(other))
    return replace(second, path=other) if isinstance(second, Absent) else second


def _read(document: Document | Absent) -> Request | Absent:
    return document if isinstance(document, Absent) else request_in(document)
