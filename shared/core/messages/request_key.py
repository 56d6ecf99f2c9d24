"""The key of a request: its place in the store. Ids are per tenant, so two tenants may use the same id.

The tenant `default` has the bare id as key, as every request had before ids were per tenant; any other tenant has
`TENANT~ID`. No tenant and no id contains a `~`. Messages between the functions, events and spans carry the key.
"""

from __future__ import annotations

import re

from shared.core.messages.render_request import DEFAULT_TENANT, ID_LIMIT, ID_PATTERN, ID_WORDS, TENANT_LIMIT

SEPARATOR = "~"
KEY_WORDS = (
    f"1 to {ID_LIMIT} {ID_WORDS}; before it TENANT{SEPARATOR} for a request of another tenant than `{DEFAULT_TENANT}`"
)
_KEY = re.compile(rf"(?:({ID_PATTERN}){SEPARATOR})?({ID_PATTERN})")


def key_of(tenant: str, request_id: str) -> str:
    return request_id if tenant == DEFAULT_TENANT else f"{tenant}{SEPARATOR}{request_id}"


def keys_of(tenant: str, request_id: str) -> tuple[str, str]:
    """Where a request may be stored, the usual place first. Releases before ids were per tenant stored it under its
    bare id."""
    if tenant == DEFAULT_TENANT:
        return request_id, f"{DEFAULT_TENANT}{SEPARATOR}{request_id}"
    return f"{tenant}{SEPARATOR}{request_id}", request_id


def id_of(key: str) -> str:
    """The id that the caller gave."""
    return key.rpartition(SEPARATOR)[2]


def tenant_of(key: str) -> str | None:
    """The tenant that the key names; None for a bare id."""
    return key.rpartition(SEPARATOR)[0] or None


def is_key(text: object, longest_id: int = ID_LIMIT) -> bool:
    """Whether `text` can be the key of a request."""
    match = _KEY.fullmatch(text) if isinstance(text, str) else None
    return match is not None and len(match[1] or "") <= TENANT_LIMIT and len(match[2]) <= longest_id
