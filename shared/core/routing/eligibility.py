"""One route of a ladder, and what rejects it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from shared.core.catalogue.catalogue import Catalogue
from shared.core.messages.render_request import SIZES
from shared.core.routing import gateway
from shared.core.routing.context import Offer, RequestHistory, RoutingContext
from shared.core.routing.flag import BREAKER, Flag
from shared.core.routing.flag_kinds import FLAGS
from shared.core.routing.model_choice import incapable, least_rank_after, unsafe
from shared.core.routing.requirements import Requirements
from shared.core.routing.vertex import may_use_vertex
from shared.core.values.lanes import BATCH, LANES, PATIENT, VERTEX, is_apart
from shared.core.values.money import usd
from shared.core.values.parameters import Thinking
from shared.core.values.route import GATEWAY, Route, circuit

BATCH_TAKES = timedelta(hours=24)
"""The provider's target for a batch."""


class RouteOption(Struct, frozen=True):
    """One route of the ladder."""

    route: Route
    estimate_micros: int
    """The estimate of one attempt, on the safe side."""
    input_tokens: int
    """Estimated tokens that count against a per-minute token limit: prompt and references."""
    rejected_because: str | None = None
    """Why it is rejected; None = kept."""
    for_now: bool = False
    """The reason for the rejection may pass."""
    flag_id: str | None = None
    """The flag that rejected it."""
    gateway: str | None = None
    """The gateway's name, on the lane `gateway`."""
    thinking: Thinking | None = None
    """The level that is taken; None if there are none."""
    note: str | None = None
    """What of the request is fulfilled differently than requested on this route."""

    def to_json(self) -> dict[str, Any]:
        return {
            **self.route.to_json(),
            "estimate_usd": usd(self.estimate_micros),
            "kept": self.rejected_because is None,
            "reason": self.rejected_because,
            "flag": self.flag_id,
            "gateway": self.gateway,
            "thinking": self.thinking,
            "note": self.note,
        }


def check_route(
    option: RouteOption, wanted: Route, ask: Requirements, context: RoutingContext, history: RequestHistory
) -> RouteOption:
    """The option with the first thing that rejects the route, flags apart."""
    for_good = _never(option, wanted, ask, context, history)
    if for_good is not None:
        return replace(option, rejected_because=for_good)
    reason, by = _not_now(option.route, context)
    return replace(option, rejected_because=reason, for_now=reason is not None, flag_id=by)


def _never(
    option: RouteOption, wanted: Route, ask: Requirements, context: RoutingContext, history: RequestHistory
) -> str | None:
    route, catalogue = option.route, context.catalogue
    model = catalogue.models[route.model]
    if route.lane not in context.lanes:
        return f"lane unavailable: {route.lane} is not built or not configured here"
    if route.lane in catalogue.barred:
        return catalogue.barred[route.lane]
    if route.lane == GATEWAY and route.model not in context.offers:
        return f"no gateway that has a key offers {model.id}"
    if route.lane not in (*model.lanes, GATEWAY):
        return f"{model.id} has no {route.lane} lane"
    problem = incapable(ask, model) or unsafe(ask, route.lane, model, catalogue)
    if problem is not None:
        return f"{model.id} cannot do it: {problem.field} {problem.found}, allowed: {problem.allowed}"
    if ask.priority == "interactive" and route.lane in PATIENT:
        return f"interactive requests never go to {route.lane}"
    if route.lane == BATCH and not ask.allow_batch and ask.lane != BATCH:  # naming the lane is consent to it
        return "no consent: allow.batch"
    if route.lane == VERTEX and not may_use_vertex(ask, context.vertex):
        return "no consent: allow.vertex"
    if route.lane == GATEWAY and not ask.allow_gateway:
        return "data boundary, no consent: allow.gateway"
    if route.lane == GATEWAY and (reason := _not_offered(route, ask, context.offers[route.model])) is not None:
        return reason
    if route.lane == BATCH and _comes_before(history.deadline, context.now, BATCH_TAKES):
        return "a batch may take 24 hours, and the deadline comes before"
    lower = _under_floor(route, wanted, ask, catalogue)
    if lower is not None:
        return lower
    if ask.max_cost_micros is not None and history.spent_micros + option.estimate_micros > ask.max_cost_micros:
        spent = f" after {usd(history.spent_micros)}" if history.spent_micros else ""
        return f"over the cap of {usd(ask.max_cost_micros)}: {usd(option.estimate_micros)}{spent}"
    return None


def _not_offered(route: Route, ask: Requirements, offer: Offer) -> str | None:
    return gateway.incapable(offer.name, offer.gateway, route, ask) or offer.off


def _comes_before(deadline: datetime | None, now: datetime | None, time: timedelta) -> bool:
    return deadline is not None and now is not None and deadline < now + time


def _under_floor(route: Route, wanted: Route, ask: Requirements, catalogue: Catalogue) -> str | None:
    """Why a route is below the floor of the request; None if it is not. The wanted route never is."""
    if ask.exact:
        return None if _served_as(route) == _served_as(wanted) else "the floor is exact"
    least_size = _lower(SIZES, ask.floor_size or catalogue.default_floor_size, wanted.image_size)
    if SIZES.index(route.image_size) < SIZES.index(least_size):
        return f"under the floor: {least_size}"
    ranks = catalogue.ladder
    if route.model == wanted.model or route.model not in ranks:
        return None
    least_rank = least_rank_after(ask.above, catalogue)
    if least_rank is not None and ranks.index(route.model) > least_rank:
        return f"{ask.above} failed the quality bar"
    floor = catalogue.on_ladder(ask.floor_model or _default_floor(ask, catalogue))
    stands_for_asked = catalogue.on_ladder(wanted.model)
    if floor is None or stands_for_asked is None:
        return None
    if ranks.index(route.model) > max(ranks.index(floor), ranks.index(stands_for_asked)):
        return f"under the floor: {floor}"
    return None


def _served_as(route: Route) -> Route:
    """The wanted route with the lane for which its lane stands in: what it delivers is the same."""
    return replace(route, lane=LANES[route.lane].stands_in_for or route.lane)


def _default_floor(ask: Requirements, catalogue: Catalogue) -> str:
    return catalogue.draft_floor_model if ask.purpose == "draft" else catalogue.default_floor_model


def _lower(order: Sequence[str], one: str, other: str) -> str:
    return min(one, other, key=order.index)


def _not_now(route: Route, context: RoutingContext) -> tuple[str | None, str | None]:
    """What closes a route for a while, and which flag does."""
    for flag in context.flags:
        if flag.actor == BREAKER and flag.circuit == route.circuit:
            return f"breaker: {flag.reason}", flag.id
    everywhere = () if is_apart(route.lane) else (circuit("*", route.model),)
    for key in (route.circuit, *everywhere):
        if key in context.lacking:
            return context.lacking[key], None
    return None, None


def apply_flags(
    options: list[RouteOption], flags: Sequence[Flag], catalogue: Catalogue
) -> tuple[list[RouteOption], list[str], str | None]:
    """The options after the flags; the flags that changed nothing, and why; and the one that pauses everything."""
    idle: list[str] = []
    for flag in flags:
        if flag.name == "pause":
            return options, idle, flag.because
        kept = [option for option in options if option.rejected_because is None]
        wanted = _wanted(flag, [option.route for option in kept], catalogue)
        if all(wanted(option.route) for option in kept[:1]):
            idle.append(f"{flag.because}: nothing to change")
        elif not any(wanted(option.route) for option in kept):
            idle.append(f"{flag.because}: no route within the request's floor, cap and consent")
        else:
            options = [
                option
                if option.rejected_because is not None or wanted(option.route)
                else replace(option, rejected_because=flag.because, flag_id=flag.id)
                for option in options
            ]
    return options, idle, None


def _wanted(flag: Flag, kept: Sequence[Route], catalogue: Catalogue) -> Callable[[Route], bool]:
    """Which routes the flag leaves. A size is lowered as far as the floor allows."""
    if flag.name == "lower-resolution":
        least = min((SIZES.index(route.image_size) for route in kept), default=0)
        most = max(SIZES.index(flag.to or FLAGS[flag.name].to[-1]), least)
        return lambda route: SIZES.index(route.image_size) <= most
    if flag.name == "use-nano-banana-2":
        ranks = catalogue.ladder
        top = ranks.index(catalogue.find(catalogue.default_floor_model).id)
        return lambda route: route.model not in ranks or ranks.index(route.model) >= top
    return lambda route: route.lane == FLAGS[flag.name].lane


def opens_after_deadline(route: Route, context: RoutingContext, history: RequestHistory) -> str | None:
    opens = context.opens.get(route.pool)
    if opens is None or history.deadline is None or opens <= history.deadline or route.lane == BATCH:
        return None
    at = opens.isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"quota: {route.model} opens at {at}, after the deadline"


def gateway_closed(route: Route, context: RoutingContext, history: RequestHistory) -> str | None:
    """A separate lane that cannot serve at all for now: no flag sends a request there while it has another route."""
    if not is_apart(route.lane):
        return None
    offer = context.offers.get(route.model) if route.lane == GATEWAY else None
    if offer is not None and offer.shut is not None:
        return offer.shut
    if route.lane != GATEWAY and route.pool in context.denied:
        return context.denied[route.pool]
    return _met(circuit(route.lane, "*"), history)


def already_failed_here(route: Route, history: RequestHistory) -> str | None:
    return _met(route.circuit, history)


def _met(circuit_name: str, history: RequestHistory) -> str | None:
    earlier = history.avoided.get(circuit_name)
    return None if earlier is None else f"this request met {earlier} there"


def reject_if_another_remains(options: list[RouteOption], against: Callable[[Route], str | None]) -> list[RouteOption]:
    """Reject the options that have a reason, as long as another option is left."""
    kept = [option for option in options if option.rejected_because is None]
    if all(against(option.route) for option in kept):
        return options
    return [
        replace(option, rejected_because=reason, for_now=True)
        if option.rejected_because is None and (reason := against(option.route)) is not None
        else option
        for option in options
    ]
