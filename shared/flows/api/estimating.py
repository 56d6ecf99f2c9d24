"""What a request would cost and which routes it has now; nothing is queued or called."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from shared.core.messages.render_request import RenderRequest
from shared.core.messages.request_key import key_of
from shared.core.routing import ladder
from shared.core.routing.context import RequestHistory
from shared.core.routing.ladder import Planned, Unroutable, Waits
from shared.core.routing.requirements import Requirements
from shared.core.values.money import usd
from shared.flows.intake.intake import failed_model, would_accept
from shared.flows.operations import routing_snapshot
from shared.ports import Ports


class RouteEstimate(Struct, frozen=True):
    lane: str
    model: str
    image_size: str
    estimate_usd: Annotated[str | None, Meta(description="One attempt, on the safe side, in dollars; six decimals.")]
    verdict: Annotated[
        str,
        Meta(
            description="chosen, possible or rejected.", extra_json_schema={"enum": ["chosen", "possible", "rejected"]}
        ),
    ]
    reason: Annotated[str | None, Meta(description="Why it is rejected.")]


class Estimate(Struct, frozen=True):
    """What would happen to a request if it were submitted now."""

    version: int
    tenant: str
    estimate_usd: Annotated[str | None, Meta(description="Of the chosen route; null while none is open.")]
    waits: Annotated[str | None, Meta(description="Why no route is open now; null where one is.")]
    reasons: Annotated[tuple[str, ...], Meta(description="Why the chosen route differs from what was requested.")]
    routes: Annotated[tuple[RouteEstimate, ...], Meta(description="Best first.")]


async def estimate(ports: Ports, request: RenderRequest) -> Estimate:
    """Raises InvalidRequest for a request that intake would reject."""
    snapshot = await routing_snapshot.read(ports.store, ports.flag_source, ports.catalogue, ports.gateways_in_use)
    above = await failed_model(ports.store, request)
    await would_accept(ports, request, snapshot.now, above)
    ask = Requirements.of(request, above)
    context = snapshot.context(ports.catalogue, ports.open_lanes)
    history = RequestHistory(key_of(request.tenant, request.request_id), request.tenant, request.deadline)
    options = ladder.ladder(ask, context, history)
    plan = ladder.plan(ask, context, history)
    chosen = plan.route if isinstance(plan, Planned) else None
    return Estimate(
        version=1,
        tenant=request.tenant,
        estimate_usd=usd(plan.estimate_micros) if isinstance(plan, Planned) else None,
        waits=_waits(plan),
        reasons=plan.reasons if isinstance(plan, Planned) else (),
        routes=()
        if isinstance(options, Unroutable)
        else tuple(
            RouteEstimate(
                option.route.lane,
                option.route.model,
                option.route.image_size,
                usd(option.estimate_micros) if option.estimate_micros else None,
                "chosen" if option.route == chosen else "possible" if option.rejected_because is None else "rejected",
                option.rejected_because,
            )
            for option in options.options
        ),
    )


def _waits(plan: ladder.Plan) -> str | None:
    match plan:
        case Planned():
            return None
        case Waits(reason, _):
            return reason
        case Unroutable(problem):
            return str(problem)
