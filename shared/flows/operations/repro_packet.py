"""The packet of one attempt with the command that repeats its call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from shared.core.catalogue.catalogue import Catalogue
from shared.core.observability import repro_packet
from shared.core.provider.call import Order
from shared.core.records.attempt import GOOGLE as GOOGLE_CONTRACT
from shared.core.records.attempt import AttemptRecord
from shared.core.records.request import RequestRecord
from shared.flows.requests.provider_call import order_of

GOOGLE = "https://generativelanguage.googleapis.com"


class Repeating(Struct, frozen=True):
    """Where and how a call is repeated."""

    project: str
    base_url: str | None
    """None = Google's own."""
    body_of: Callable[[Order], Mapping[str, Any]]


def made(
    request_id: str,
    request: RequestRecord,
    attempt: AttemptRecord,
    catalogue: Catalogue,
    how: Repeating,
    *,
    with_prompt: bool,
) -> dict[str, Any]:
    """The packet, with `curl`: None for an attempt under another contract than Google's."""
    contents = repro_packet.packet(
        request_id, request, attempt, project=how.project, catalogue=catalogue, with_prompt=with_prompt
    )
    return contents | {"curl": _curl(request, attempt, catalogue, how, with_prompt=with_prompt)}


def _curl(
    request: RequestRecord, attempt: AttemptRecord, catalogue: Catalogue, how: Repeating, *, with_prompt: bool
) -> str | None:
    if attempt.contract != GOOGLE_CONTRACT:
        return None
    order = order_of(request.content, attempt.route, (), catalogue)
    if not with_prompt:
        left_out = repro_packet.INSTRUCTION_LEFT_OUT if order.system_instruction is not None else None
        order = replace(order, prompt=repro_packet.PROMPT_LEFT_OUT, system_instruction=left_out)
    return repro_packet.curl(f"{(how.base_url or GOOGLE).rstrip('/')}/v1beta/interactions", how.body_of(order))
