"""The near future: what gateways offer, which pools are denied, and until when models start nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from shared.core.admission.model_state import ModelState
from shared.core.admission.route_memory import Routing
from shared.core.admission.slot_calendar import Blocked
from shared.core.catalogue.catalogue import Catalogue
from shared.core.conclusions.claims import Claim
from shared.core.limits.observations import ModelObservations
from shared.core.routing.context import Offer
from shared.core.times.pacific import next_pacific_midnight
from shared.core.values.route import GATEWAY, lane_apart, pool


def offers(
    catalogue: Catalogue,
    gateways: Mapping[str, Sequence[str]],
    off: Mapping[str, str | None],
    denied: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Offer]:
    """What gateways offer here, by model: the first whose proof is complete, else the first with what its proof lacks.
    A gateway that was never verified is off. `denied` by pool: why a gateway takes nothing for now."""
    unread = {name: f"gateway {name}: its proof is not read yet" for names in gateways.values() for name in names}
    reasons = unread | dict(off)
    chosen = {
        model: next((name for name in names if reasons[name] is None), names[0]) for model, names in gateways.items()
    }
    shut = {
        name: f"gateway {name}: {denied[pool(GATEWAY, model)]}"
        for model, name in chosen.items()
        if pool(GATEWAY, model) in denied
    }
    return {
        model: Offer(name, catalogue.gateways[name], reasons[name], shut.get(name)) for model, name in chosen.items()
    }


def denials(routing: Routing) -> dict[str, str]:
    """Pools whose provider accepts nothing from us (no balance, key, project), with the reason."""
    return {
        conclusion.subject: conclusion.why
        for conclusion in routing.conclusions.reached.values()
        if conclusion.policy.effect == "closes" and conclusion.claim is not Claim.QUOTA_DAY
    }


def denied_apart(routing: Routing) -> dict[str, str]:
    """Those of separate lanes: their requests may have a route elsewhere."""
    return {name: why for name, why in denials(routing).items() if lane_apart(name) is not None}


def outlook(
    standings: Mapping[str, ModelState],
    reports: Mapping[str, ModelObservations],
    blocked: Mapping[str, Blocked],
    routing: Routing,
    now: datetime,
) -> dict[str, datetime]:
    """Until when models start nothing, as far as known: from what was reported, or because a day's quota is used up.
    They may open sooner, because conclusions are probed."""
    opens: dict[str, datetime] = {}
    concluded = routing.conclusions.reached.values()
    closures = [
        *((model, model_state.calendar.closed_until) for model, model_state in standings.items()),
        *((model, report.closing.until) for model, report in reports.items() if report.closing is not None),
        *((model, full.until) for model, full in blocked.items() if full.lasts),
        *((pool, closing.until) for pool, closing in routing.conclusions.closings().items()),
        *(
            (conclusion.subject, next_pacific_midnight(now))
            for conclusion in concluded
            if conclusion.claim is Claim.QUOTA_DAY
        ),
    ]
    for model, until in closures:
        if until is not None and until > now:
            opens[model] = max(until, opens.get(model, until))
    return opens
