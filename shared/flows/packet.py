"""The packet of one attempt with the line that makes its call again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from shared.core import packet, record
from shared.core.answer import Order
from shared.core.catalogue import Catalogue
from shared.core.documents import Fields
from shared.core.route import Route
from shared.flows.orders import order_of

GOOGLE = "https://generativelanguage.googleapis.com"


class Repeating(Struct, frozen=True):
    """Where and how a call is made again."""

    project: str
    base_url: str | None
    """None = Google's own."""
    body_of: Callable[[Order], Mapping[str, Any]]


def made(
    request_id: str, request: Fields, attempt: Fields, catalogue: Catalogue, how: Repeating, *, with_prompt: bool
) -> dict[str, Any]:
    """The packet, with `curl`: None for an attempt of another contract than Google's."""
    found = packet.packet(
        request_id, request, attempt, project=how.project, catalogue=catalogue, with_prompt=with_prompt
    )
    return found | {"curl": _curl(request, attempt, catalogue, how, with_prompt=with_prompt)}


def _curl(request: Fields, attempt: Fields, catalogue: Catalogue, how: Repeating, *, with_prompt: bool) -> str | None:
    if attempt["contract"] != "google":
        return None
    order = order_of(record.request_of(request), Route.from_json(attempt["route"]), (), catalogue)
    if not with_prompt:
        order = replace(order, prompt=packet.PROMPT_LEFT_OUT)
    return packet.curl(f"{(how.base_url or GOOGLE).rstrip('/')}/v1beta/interactions", how.body_of(order))
