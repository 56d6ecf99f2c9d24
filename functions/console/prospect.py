"""What becomes of one request: why it stands where it stands, what happens next and when, and its ladder of routes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec import Struct

from functions.console.one_request import Looked
from functions.console.panels import Overview
from shared.core.catalogue.catalogue import Catalogue
from shared.core.lifecycle import request_record
from shared.core.observability import display, verdict
from shared.core.routing import ladder
from shared.core.routing.eligibility import RouteOption
from shared.core.routing.ladder import Plan, Planned, Unroutable, Waits
from shared.core.routing.requirements import Requirements
from shared.core.values.route import Route


class Step(Struct, frozen=True):
    """One route of the ladder."""

    route: Route
    estimate_micros: int
    word: str
    """`chosen`, `possible` or `rejected`."""
    why: str


class Prospect(Struct, frozen=True):
    now: str
    """Why it stands where it stands."""
    next: str
    when: str
    at: datetime | None = None
    """The moment that `when` is about, where it is known."""
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    """Of the ladder: what was changed before any choice, and flags without effect."""


def prospect(one: Looked, view: Overview, catalogue: Catalogue, built: Collection[str]) -> Prospect:
    """Of a request that has not ended."""
    terms = view.known.terms(catalogue, built)
    ask, course = Requirements.from_json(one.data["ask"]), request_record.course_of(one.request_id, one.data)
    rungs, plan = ladder.ladder(ask, terms, course, among=terms.lanes), ladder.plan(ask, terms, course)
    route = plan.route if isinstance(plan, Planned) else None
    steps = () if isinstance(rungs, Unroutable) else tuple(_step(rung, route) for rung in rungs.rungs)
    notes = () if isinstance(rungs, Unroutable) else (*rungs.notes, *rungs.without_effect)
    now, following, when, at = _fate(one, view, plan)
    return Prospect(now, following, when, at, steps, notes)


def _step(rung: RouteOption, chosen: Route | None) -> Step:
    word = "chosen" if rung.route == chosen else "possible" if rung.struck is None else "rejected"
    flag = f" ({rung.flag_id})" if rung.flag_id else ""
    return Step(rung.route, rung.estimate_micros, word, f"{rung.struck or ''}{flag}")


def _fate(one: Looked, view: Overview, plan: Plan) -> tuple[str, str, str, datetime | None]:
    """Why it stands, what comes next, when, and the moment of that."""
    data = one.data
    match one.status:
        case "queued":
            return _queued(one, view, plan)
        case "released":
            return "It has a slot.", "A worker takes it and calls the model.", "at its slot", data["slot_at"]
        case "rendering":
            number = data["attempt_count"]
            begun = one.attempts[-1]["started_at"] if one.attempts else None
            since = f" for {display.age(begun, view.now)}" if begun else ""
            return (
                f"Attempt {number} runs{since} on {one.route}.",
                "Its image is stored and announced; a failure is retried, or takes the next route.",
                "usually within the model time on the overview; a worker that is gone is noticed",
                data["lease_until"],
            )
        case _:
            reason = data["reason"] or "in a batch"
            return f"By batch: {reason}.", "The provider's file is read when it is done.", "within a day", None


def _queued(one: Looked, view: Overview, plan: Plan) -> tuple[str, str, str, datetime | None]:
    data = one.data
    own = view.reason(data["model"], data["tenant"])
    asleep = data["wake_at"] is not None
    reason = own or (data["reason"] if asleep or data["reason"] != "new" else "next in turn")
    now = f"Waits since {display.age(data['queued_at'], view.now)}: {reason}."
    match plan:
        case Unroutable():
            return now, f"It ends as failed: {plan.problem}", "at its turn", None
        case Waits(paused=True):
            pause = next((shown.flag for shown in view.flags if shown.flag.name == "pause"), None)
            until = pause.expires_at if pause is not None else None
            return now, "It goes on when the pause is reset or expires.", "at the latest", until
        case Waits():
            return now, f"It goes on when one of its routes opens: {plan.reason}.", _probes(view), data["wake_at"]
        case Planned():
            route, opens = plan.route, view.known.opens.get(plan.route.pool)
            following = f"It takes {route}, estimated {display.dollars(plan.estimate_micros)}."
            if opens is not None and opens > view.now:
                return now, following, "when the model opens", opens
            if asleep:
                return now, following, "it is looked at again", data["wake_at"]
            return now, following, _turn(view), None


def _probes(view: Overview) -> str:
    conclusions = view.known.routing.conclusions.reached.values()
    nearest = min((one.next_probe_at for one in conclusions), default=None)
    if nearest is None:
        return "breakers are probed every 15 s; it is looked at again"
    return f"next probe in {display.left(max(timedelta(0), nearest - view.now))}; it is looked at again"


def _turn(view: Overview) -> str:
    if view.scene.fleet.leader is None and view.scene.oldest() > verdict.UNTENDED_AFTER:
        return "no pump leads: unknown"
    left = view.scene.to_empty
    return f"within about {display.left(left)} at the present rate" if left else "as soon as there is a slot"
