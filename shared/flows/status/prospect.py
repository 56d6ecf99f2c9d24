"""What becomes of one request: why it is in its state, what happens next and when, and its ladder of routes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from shared.core.accounting.budget import OVER_BUDGET
from shared.core.catalogue.catalogue import Catalogue
from shared.core.lifecycle import request_record
from shared.core.observability import display, verdict
from shared.core.records.attempt import AttemptRecord
from shared.core.records.request import RequestRecord
from shared.core.routing import ladder
from shared.core.routing.eligibility import RouteOption
from shared.core.routing.ladder import Plan, Planned, Unroutable, Waits
from shared.core.values.route import Route
from shared.flows.status.scene_reading import Situation


class Step(Struct, frozen=True):
    """One route of the ladder."""

    route: Route
    estimate_micros: int
    word: str
    """`chosen`, `possible` or `rejected`."""
    why: str


class Prospect(Struct, frozen=True):
    now: str
    """Why it is in its state."""
    next: str
    when: str
    at: datetime | None = None
    """The moment that `when` is about, if known."""
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    """About the ladder: what was changed before any choice, and flags without effect."""


def prospect(
    key: str,
    request: RequestRecord,
    attempts: Sequence[AttemptRecord],
    now: Situation,
    catalogue: Catalogue,
    built: Collection[str],
) -> Prospect:
    """For a request that has not ended."""
    context = now.routing.context(catalogue, built)
    ask, history = request.ask, request_record.history_of(key, request)
    options, plan = ladder.ladder(ask, context, history, among=context.lanes), ladder.plan(ask, context, history)
    route = plan.route if isinstance(plan, Planned) else None
    steps = () if isinstance(options, Unroutable) else tuple(_step(option, route) for option in options.options)
    notes = () if isinstance(options, Unroutable) else (*options.notes, *options.without_effect)
    stands, following, when, at = _fate(request, attempts, now, plan)
    return Prospect(stands, following, when, at, steps, notes)


def _step(option: RouteOption, chosen: Route | None) -> Step:
    word = "chosen" if option.route == chosen else "possible" if option.rejected_because is None else "rejected"
    flag = f" ({option.flag_id})" if option.flag_id else ""
    return Step(option.route, option.estimate_micros, word, f"{option.rejected_because or ''}{flag}")


def _fate(
    request: RequestRecord, attempts: Sequence[AttemptRecord], now: Situation, plan: Plan
) -> tuple[str, str, str, datetime | None]:
    """The reason of its state, what comes next, when, and the moment of that."""
    match request.status:
        case "queued":
            return _queued(request, now, plan)
        case "released":
            return "It has a slot.", "A worker takes it and calls the model.", "at its slot", request.slot_at
        case "rendering":
            number = request.attempt_count
            begun = attempts[-1].started_at if attempts else None
            since = f" for {display.age(begun, now.scene.now)}" if begun else ""
            return (
                f"Attempt {number} runs{since} on {request.route}.",
                "Its image is stored and announced; a failure is retried, or takes the next route.",
                "usually within the model time on the overview; a worker that is gone is noticed",
                request.lease_until,
            )
        case _:
            reason = request.reason or "in a batch"
            return f"By batch: {reason}.", "The provider's file is read when it is done.", "within a day", None


def _queued(request: RequestRecord, now: Situation, plan: Plan) -> tuple[str, str, str, datetime | None]:
    own = now.reason(request.model, request.tenant)
    asleep = request.wake_at is not None
    reason = own or (request.reason if asleep or request.reason != "new" else "next in turn")
    stands = f"Queued for {display.age(request.queued_at, now.scene.now)}: {reason}."
    match plan:
        case Unroutable():
            return stands, f"It ends as failed: {plan.problem}", "at its turn", None
        case Waits(paused=True):
            pause = next((flag for flag in now.scene.flags if flag.name == "pause" and not flag.shadow), None)
            until = pause.expires_at if pause is not None else None
            return stands, "It continues when the pause is reset or expires.", "at the latest", until
        case Waits():
            return stands, f"It continues when one of its routes opens: {plan.reason}.", _probes(now), request.wake_at
        case Planned():
            route, opens = plan.route, now.routing.opens.get(plan.route.pool)
            following = f"It takes {route}, estimated {display.dollars(plan.estimate_micros)}."
            if opens is not None and opens > now.scene.now:
                return stands, following, "when the model opens", opens
            if asleep:
                wakes = "when the budget is raised, else" if request.reason == OVER_BUDGET else "it is checked again"
                return stands, following, wakes, request.wake_at
            return stands, following, _turn(now), None


def _probes(now: Situation) -> str:
    conclusions = now.routing.routing.conclusions.reached.values()
    nearest = min((one.next_probe_at for one in conclusions), default=None)
    if nearest is None:
        return "breakers are probed every 15 s; it is checked again"
    return f"next probe in {display.left(max(timedelta(0), nearest - now.scene.now))}; it is checked again"


def _turn(now: Situation) -> str:
    if now.scene.fleet.leader is None and now.scene.oldest() > verdict.UNTENDED_AFTER:
        return "no pump leads: unknown"
    left = now.scene.to_empty
    return f"within about {display.left(left)} at the present rate" if left else "as soon as there is a slot"
