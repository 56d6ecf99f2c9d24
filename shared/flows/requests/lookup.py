"""The request of one tenant under one id, wherever this release or an earlier one has put it."""

from __future__ import annotations

from msgspec.structs import replace

from shared.core.lifecycle import request_record
from shared.core.messages.render_request import DEFAULT_TENANT
from shared.core.values.documents import Absent, Document
from shared.ports.store import Store


async def find_request(store: Store, tenant: str, request_id: str) -> Document | Absent:
    """Absent names the place where a new request of that tenant and id belongs.

    Before ids were per tenant, a request of any tenant lay under its bare id. So the tenant `default` looks
    at its second place only where the first one is taken by another tenant's older request.
    """
    usual, other = request_record.paths_of(tenant, request_id)
    if tenant != DEFAULT_TENANT:
        first, second = await store.get_all([usual, other])
        if isinstance(first, Document):
            return first
        if isinstance(second, Document) and request_record.is_of(second.data, tenant):
            return second
        return first
    first = await store.get(usual)
    if isinstance(first, Absent) or request_record.is_of(first.data, tenant):
        return first
    second = await store.get(other)
    return replace(second, path=other) if isinstance(second, Absent) else second
