"""From a request to its routes, best first, each kept or rejected with its reason; the first one kept is taken. Pure.

Reasons are checked in this order: permanent ones (a capability, the floor, the cap, a consent); those that close a
route for now (an open breaker, a model that is gone, a gateway without balance); flags; a quota that opens only after
the deadline; and last, earlier failures of this request on the route. Except for permanent reasons, breakers and models
that are gone, each check leaves at least one route, or has no effect.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.core.catalogue import price
from shared.core.catalogue.catalogue import Catalogue, Model
from shared.core.catalogue.thinking import thought
from shared.core.messages.render_request import SIZES, Floor
from shared.core.routing import flag, gateway
from shared.core.routing.context import NO_HISTORY, Offer, RequestHistory, RoutingContext
from shared.core.routing.eligibility import (
    RouteOption,
    already_failed_here,
    apply_flags,
    check_route,
    gateway_closed,
    opens_after_deadline,
    reject_if_another_remains,
)
from shared.core.routing.flag import Subject
from shared.core.routing.model_choice import choose_model
from shared.core.routing.requirements import Requirements
from shared.core.routing.vertex import in_order
from shared.core.validation.shapes import Problem, shown
from shared.core.values.lanes import LANES, STAND_INS
from shared.core.values.money import usd
from shared.core.values.parameters import Thinking
from shared.core.values.route import GATEWAY, Route


class Planned(Struct, frozen=True):
    route: Route
    reasons: tuple[str, ...]
    """Why the route differs from the requested one; empty if it does not."""
    estimate_micros: int
    """The estimate of one attempt, on the safe side."""
    asked_model: str
    """The id of the requested model, whether named or chosen by purpose."""
    input_tokens: int
    """Estimated tokens that count against a per-minute token limit: prompt and references."""
    flags: tuple[str, ...] = ()
    """The flags without which it would be a different route."""
    next: RouteOption | None = None
    """The route to take when this one fails."""
    least_estimate_micros: int = 0
    """Of all routes that are left."""
    saved_micros: int = 0
    """How much cheaper than the estimate of the requested route; negative if dearer, 0 for a gateway."""
    probe: str | None = None
    """The circuit whose breaker this attempt probes."""
    not_before: datetime | None = None
    """The earliest slot of a probe: one that comes a moment too early has to be repeated after a whole interval."""
    gateway: str | None = None
    """The gateway's name, on the lane `gateway`."""
    thinking: Thinking | None = None
    """The level that is taken; None if there are none."""


class Unroutable(Struct, frozen=True):
    """No route can serve the request, now or later."""

    problem: Problem


class Waits(Struct, frozen=True):
    """Every route that could serve it is closed for now."""

    reason: str
    paused: bool
    """By a flag `pause`; else by breakers and the like."""


Plan: TypeAlias = Planned | Unroutable | Waits


class Ladder(Struct, frozen=True):
    """All routes of a request, best first."""

    options: tuple[RouteOption, ...]
    asked_model: str
    notes: tuple[str, ...]
    """What was changed before any choice: a retired model, a size that is not made."""
    without_effect: tuple[str, ...] = ()
    """Flags that concern the request and do not change it, with the reason."""
    paused: str | None = None
    asked_lane: str = ""

    @property
    def kept(self) -> list[RouteOption]:
        return [option for option in self.options if option.rejected_because is None]


def plan(ask: Requirements, context: RoutingContext, history: RequestHistory = NO_HISTORY) -> Plan:
    """The route of the next attempt."""
    routes = ladder(ask, context, history, among=context.lanes)
    if isinstance(routes, Unroutable):
        return routes
    if routes.paused is not None:
        return Waits(routes.paused, paused=True)
    kept = routes.kept
    if not kept:
        if any(option.for_now for option in routes.options):
            return Waits(
                "; ".join(_unique(option.rejected_because for option in routes.options if option.for_now)), paused=False
            )
        return Unroutable(_problem(ask, routes, context.catalogue, history))
    return _planned(routes, kept[0])


def stepped_down(
    ask: Requirements, context: RoutingContext, history: RequestHistory, within_micros: int, because: str
) -> Planned | None:
    """The cheapest remaining route, if its estimate is at most `within_micros`: the best of those with equal price.
    `because` is shown in the receipt."""
    routes = ladder(ask, context, history)
    if isinstance(routes, Unroutable) or routes.paused is not None or not routes.kept:
        return None
    cheapest = min(routes.kept, key=lambda option: option.estimate_micros)
    if cheapest.estimate_micros > within_micros:
        return None
    dearer = [replace(option, rejected_because=option.rejected_because or because) for option in routes.options]
    planned = _planned(replace(routes, options=tuple(dearer)), dearer[routes.options.index(cheapest)])
    return replace(planned, next=None, least_estimate_micros=cheapest.estimate_micros)


def _planned(routes: Ladder, best: RouteOption) -> Planned:
    kept, first = routes.kept, routes.options[0]
    passed = routes.options[: routes.options.index(best)]
    return Planned(
        route=best.route,
        reasons=(*routes.notes, *_reasons(best.route, passed, routes.asked_lane), *((best.note,) if best.note else ())),
        estimate_micros=best.estimate_micros,
        asked_model=routes.asked_model,
        input_tokens=best.input_tokens,
        flags=tuple(_unique(option.flag_id for option in passed)),
        next=next((option for option in kept if option.route.circuit != best.route.circuit), None),
        least_estimate_micros=min((option.estimate_micros for option in kept), default=best.estimate_micros),
        saved_micros=saved(first.route, first.estimate_micros, best.route, best.estimate_micros),
        gateway=best.gateway,
        thinking=best.thinking,
    )


def saved(wanted: Route, wanted_micros: int, taken: Route, taken_micros: int) -> int:
    """How much cheaper `taken` is than `wanted`. A provider's price is another contract: never a saving on Google's."""
    return wanted_micros - taken_micros if (wanted.lane == GATEWAY) == (taken.lane == GATEWAY) else 0


def first_plan(
    ask: Requirements, catalogue: Catalogue, lanes: Collection[str], offers: Mapping[str, Offer] = MappingProxyType({})
) -> Planned | Unroutable:
    """The route as far as request, catalogue and gateways' proofs decide it: without flags, breakers or quota."""
    first = plan(ask, RoutingContext(catalogue, lanes, offers=offers))
    assert not isinstance(first, Waits), "nothing is closed for now"
    return first


def ladder(
    ask: Requirements,
    context: RoutingContext,
    history: RequestHistory = NO_HISTORY,
    *,
    among: Collection[str] | None = None,
) -> Ladder | Unroutable:
    """Every route with its reason, or why there is none at all. `among`: only these lanes; None: all."""
    if not any(lane in context.lanes for lane in serving(ask.lane, context)):
        allowed = ", ".join(sorted(context.lanes))
        remedy = "Lane unavailable: omit it or choose another."
        return Unroutable(Problem("lane", shown(ask.lane), allowed, remedy))
    if ask.lane in context.catalogue.barred:
        remedy = f"{context.catalogue.barred[ask.lane]}. Omit it or choose another."
        open_lanes = ", ".join(sorted(set(context.lanes) - set(context.catalogue.barred)))
        return Unroutable(Problem("lane", shown(ask.lane), open_lanes, remedy))
    problem = choose_model(ask, context.catalogue)
    if isinstance(problem, Problem):
        return Unroutable(problem)
    if ask.floor_model is not None and ask.floor_model not in context.catalogue.names:
        allowed = ", ".join(context.catalogue.names)
        return Unroutable(Problem("floor.model", shown(ask.floor_model), allowed, "Use one of them."))
    first, notes = problem.model, list(problem.notes)
    size = first.size_for(ask.image_size)
    assert size is not None, "choose_model() has refused it"
    if size != ask.image_size:
        notes.append(f"size {ask.image_size} is not made by {first.id}: one size up, {size}")
    wanted = Route(ask.lane, first.id, size)
    options = [
        _priced(ask, context, Route(lane, model.id, name))
        for service in (ask.lane, *LANES[ask.lane].falls_back_to)
        for model in _models(first, context.catalogue)
        for name in reversed(model.sizes[: model.sizes.index(_most(model, size)) + 1])
        for lane in serving(service, context)
        if among is None or lane in among
    ]
    options = [check_route(option, wanted, ask, context, history) for option in options]
    options = reject_if_another_remains(options, lambda route: gateway_closed(route, context, history))
    subject = Subject(history.request_id, history.tenant, ask.purpose, first.id, ask.lane)
    options, idle, paused = apply_flags(options, flag.concerning(context.flags, subject), context.catalogue)
    options = reject_if_another_remains(options, lambda route: opens_after_deadline(route, context, history))
    options = reject_if_another_remains(options, lambda route: already_failed_here(route, history))
    return Ladder(tuple(options), problem.named, tuple(notes), tuple(idle), paused, ask.lane)


def serving(lane: str, context: RoutingContext) -> tuple[str, ...]:
    """The lane and its stand-ins here: a model there comes before a cheaper model in this lane."""
    return in_order(lane, tuple(name for name in STAND_INS.get(lane, ()) if name in context.lanes), context.vertex)


def _models(first: Model, catalogue: Catalogue) -> list[Model]:
    """The model itself, its successor if it is not on the ladder, and the cheaper ones below."""
    start = catalogue.on_ladder(first.id)
    below = () if start is None else catalogue.ladder[catalogue.ladder.index(start) :]
    return [first, *(catalogue.models[name] for name in below if name != first.id)]


def _most(model: Model, size: str) -> str:
    """The model's largest size that is not above `size`; its smallest if all are."""
    fitting = [name for name in model.sizes if SIZES.index(name) <= SIZES.index(size)]
    return fitting[-1] if fitting else model.sizes[0]


def _priced(ask: Requirements, context: RoutingContext, route: Route) -> RouteOption:
    model = context.catalogue.models[route.model]
    tokens = ask.prompt_tokens + ask.references * model.reference_tokens
    if route.lane == GATEWAY:
        offer = context.offers.get(route.model)
        if offer is None:
            return RouteOption(route, 0, tokens)
        level = gateway.thought(offer.name, offer.gateway, model, ask, context.catalogue.thinking)
        cost = gateway.price(offer.gateway, route.model, ask.references)
        return RouteOption(route, cost, tokens, gateway=offer.name, thinking=level.level, note=level.note)
    if route.lane not in model.lanes:
        return RouteOption(route, 0, tokens)
    level = thought(model, ask.thinking, ask.purpose, context.catalogue.thinking)
    cost = price.estimate(
        model, route.lane, route.image_size, ask.prompt_tokens, ask.references, grounding=ask.grounding,
        thought_tokens=level.tokens,
    )  # fmt: skip
    return RouteOption(route, cost, tokens, thinking=level.level, note=level.note)


def _reasons(taken: Route, passed: Sequence[RouteOption], asked_lane: str) -> list[str]:
    """What was changed, and why: once for each reason against the better routes."""
    if not passed:
        is_chosen = asked_lane not in ("", taken.lane)
        return [f"lane {asked_lane} -> {taken.lane}: RENDERLANE_VERTEX_ROUTE is set so"] if is_chosen else []
    route = passed[0].route
    changes = ", ".join(
        f"{name} {getattr(route, name)} -> {getattr(taken, name)}" for name in taken.changes_from(route)
    )
    return [f"{changes}: {' and '.join(_unique(option.rejected_because for option in passed))}"]


def _unique(texts: Any) -> list[Any]:
    return list(dict.fromkeys(text for text in texts if text is not None))


def _problem(ask: Requirements, routes: Ladder, catalogue: Catalogue, history: RequestHistory) -> Problem:
    """Why not even the requested route can be had."""
    first = routes.options[0]
    if ask.max_cost_micros is not None and (first.rejected_because or "").startswith("over the cap"):
        allowed = f"at least {usd(history.spent_micros + first.estimate_micros)} for {first.route}"
        return Problem(
            "max_cost_usd",
            f'"{usd(ask.max_cost_micros)}"',
            allowed,
            "Raise the cap, or request a smaller size or a cheaper model.",
        )
    lanes = ", ".join(sorted({option.route.lane for option in routes.kept})) or "none"
    return Problem("lane", shown(ask.lane), lanes, f"{first.rejected_because}. Correct it and submit under a new id.")


def below_floor(route: Route, floor: Floor, catalogue: Catalogue) -> Problem | None:
    """A floor above the requested route contradicts it."""
    if floor.image_size is not None and SIZES.index(route.image_size) < SIZES.index(floor.image_size):
        return Problem("floor.image_size", shown(floor.image_size), f"at most {route.image_size}", "Request that size.")
    if floor.model is not None:
        least, planned = catalogue.on_ladder(floor.model), catalogue.on_ladder(route.model)
        ladder = catalogue.ladder
        if least is not None and planned is not None and ladder.index(planned) > ladder.index(least):
            remedy = "Request that model, or a purpose that selects it."
            return Problem("floor.model", shown(floor.model), f"{route.model} or below", remedy)
    return None
