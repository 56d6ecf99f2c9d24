"""How many interactive requests of one tenant are accepted per minute: the priority must not be a way around others."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.core.lifecycle import queries
from shared.core.messages.render_request import InvalidRequest, RenderRequest
from shared.core.validation.shapes import Problem
from shared.ports import Ports

INTERACTIVE = "interactive"
WINDOW = timedelta(minutes=1)


async def check_interactive(ports: Ports, request: RenderRequest, now: datetime) -> None:
    """Raises InvalidRequest for a request beyond the bound. Requests accepted at the same moment may exceed it
    together."""
    bound = ports.interactive_per_minute
    if bound is None or request.priority != INTERACTIVE:
        return
    count = await ports.store.count(queries.interactive_since(request.tenant, now - WINDOW, bound))
    if count < bound:
        return
    problem = Problem(
        "priority",
        f"interactive, after {count} interactive requests of the tenant within a minute",
        f"at most {bound} a minute (RENDERLANE_INTERACTIVE_PER_MINUTE); normal and bulk without a bound",
        "Use normal, or send it again in a minute.",
    )
    raise InvalidRequest((problem,), request.request_id, request.tenant)
