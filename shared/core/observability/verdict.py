"""The one line that says how things are, and the next step: what on-call reads first. Pure.

A green line is a promise: every state that needs a person has a finding of its own here, and none hides another. The
findings are listed with the most severe first; that one decides the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import Struct, field

from shared.core.accounting import traffic
from shared.core.accounting.budget import Over
from shared.core.conclusions.claims import Claim
from shared.core.conclusions.conclusion import Conclusion
from shared.core.observability import display, next_steps
from shared.core.observability.display import count
from shared.core.observability.meter import RECENT, RouteTraffic
from shared.core.observability.next_steps import next_step, that_wait
from shared.core.observability.status_summary import Summary
from shared.core.observability.workers import Fleet
from shared.core.routing.flag import BREAKER, Flag
from shared.core.values.documents import Fields

Level: TypeAlias = Literal["green", "amber", "red"]
State: TypeAlias = Literal[
    "idle", "busy", "short of quota", "one route failing", "all failing", "paused", "budget gone", "worker gone"
]
GRAVEST: tuple[State, ...] = (
    "worker gone", "all failing", "one route failing", "paused", "budget gone", "short of quota", "busy", "idle",
)  # fmt: skip
STALE_AFTER = timedelta(seconds=150)
"""The pump writes the summary while it leads; watch writes it once a minute when no pump does."""
UNTENDED_AFTER = timedelta(seconds=90)
"""If requests wait this long without a reason while no pump leads, no pump serves them."""
SHORT_AFTER = timedelta(minutes=2)
"""A longer wait for a per-minute quota is worth mentioning."""
LONG_BACKLOG = timedelta(minutes=10)
QUOTA_KINDS = ("quota_minute", "quota_day", "quota_spend", "quota_unknown")
SHORT_REASONS = ("minute", "pace", "concurrency")
"""For a queue that moves, as fast as its limit allows."""
SHUT_REASONS = ("day", "closed", "spend")
"""For a queue that stands still until a known moment."""


class Finding(Struct, frozen=True):
    """One state that needs attention, with the step that follows from it."""

    state: State
    level: Level
    title: str
    detail: str
    next_step: str
    heading: str | None = None
    """The RUNBOOK heading with the details."""
    link: str | None = None
    """Path below the console's address: where the step is taken."""
    about: str = ""
    """The circuit, flag or tenant: one subject has one finding."""


class Verdict(Struct, frozen=True):
    findings: tuple[Finding, ...]
    """At least one."""

    @property
    def first(self) -> Finding:
        return self.findings[0]

    @property
    def level(self) -> Level:
        return "red" if any(one.level == "red" for one in self.findings) else self.first.level

    @property
    def others(self) -> tuple[Finding, ...]:
        return self.findings[1:]


class Scene(Struct, frozen=True):
    """What the verdict is based on, as of one look."""

    now: datetime
    summary: Summary | None
    fleet: Fleet
    flags: Sequence[Flag] = ()
    """Flags in force, including shadow flags."""
    reasons: Mapping[str, Fields] = field(default_factory=dict)
    """Why the pump blocks queues, by model."""
    conclusions: Mapping[str, Conclusion] = field(default_factory=dict)
    """Conclusions that are reached, by id."""
    is_stopped: bool = False
    """Certainly no worker runs: the lock of a one-machine home is free."""

    @property
    def routes(self) -> list[RouteTraffic]:
        return [] if self.summary is None else self.summary.meter.routes(self.now)

    @property
    def images_per_minute(self) -> float:
        return sum(route.images for route in self.routes) / (RECENT / timedelta(minutes=1))

    @property
    def failing_percent(self) -> int:
        """Share of the attempts that ended within RECENT."""
        attempts = sum(route.attempts for route in self.routes)
        return round(100 * sum(route.failed for route in self.routes) / attempts) if attempts else 0

    @property
    def wait_95(self) -> timedelta | None:
        """Of attempts that ended within RECENT."""
        if self.summary is None:
            return None
        seconds = traffic.percentile(self.summary.meter.times(self.now), "wait", 0.95)
        return None if seconds is None else timedelta(seconds=seconds)

    @property
    def waiting(self) -> int:
        return 0 if self.summary is None else self.summary.queued_count

    @property
    def to_empty(self) -> timedelta | None:
        """At the rate of RECENT; None if nothing waits or nothing is made."""
        if not self.waiting or not self.images_per_minute:
            return None
        return timedelta(minutes=self.waiting / self.images_per_minute)

    def waiting_for(self, model: str) -> int:
        if self.summary is None:
            return 0
        return sum(group.count for group in self.summary.waiting if group.model == model)

    def oldest(self) -> timedelta:
        times = [] if self.summary is None else [depth.oldest_at for depth in self.summary.depths if depth.oldest_at]
        return self.now - min(times) if times else timedelta(0)


def verdict(scene: Scene) -> Verdict:
    findings = sorted(_findings(scene), key=lambda one: (one.level != "red", GRAVEST.index(one.state)))
    return Verdict(tuple(findings) or (_calm(scene),))


def _findings(scene: Scene) -> Iterator[Finding]:
    gone = list(_worker_gone(scene))
    yield from gone
    if gone and (scene.summary is None or scene.now - scene.summary.at > STALE_AFTER):
        return  # all other findings would be outdated
    yield from _failing(scene)
    yield from _conclusions(scene)
    yield from _paused(scene)
    yield from _budgets(scene)
    yield from _short(scene)


def _worker_gone(scene: Scene) -> Iterator[Finding]:
    summary, now = scene.summary, scene.now
    if scene.is_stopped:
        queued, running = (0, 0) if summary is None else (summary.queued_count, summary.running_count)
        left = f"{count(queued, 'request')} waited and {running:,} ran when it stopped. " if queued or running else ""
        yield Finding(
            "worker gone", "red" if left else "amber", "No worker is running",
            f"{left}What is published waits until one starts; nothing is lost.", "Start one: `renderlane up`.",
            heading="watch-is-silent",
        )  # fmt: skip
    elif summary is None:
        yield Finding(
            "worker gone", "amber", "No worker has reported yet", "Nothing was ever counted in this store.",
            "Start one: `renderlane up`. In the cloud, check that the scheduler calls watch every minute.",
            heading="watch-is-silent",
        )  # fmt: skip
    elif now - summary.at > STALE_AFTER:
        left = f"{count(summary.queued_count, 'request')} waited and {summary.running_count:,} ran then."
        last = scene.fleet.last
        version = f" Its release was {last.version}." if last is not None and last.version else ""
        yield Finding(
            "worker gone", "red", f"No worker: silent for {display.age(summary.at, now)}",
            f"The last figures are of {display.moment(summary.at)}. {left}{version}",
            "Start it: `renderlane up`. In the cloud, read the logs of watch and pump. Nothing queued is lost.",
            heading="watch-is-silent",
        )  # fmt: skip
    elif _is_untended(scene):
        yield Finding(
            "worker gone", "red", f"No pump leads, and {that_wait(summary.queued_count)}",
            f"The longest wait is {display.left(scene.oldest())}; nothing says why.",
            "Read the logs of pump. watch wakes it every minute.", heading="pump-tick-failed",
        )  # fmt: skip


def _is_untended(scene: Scene) -> bool:
    summary = scene.summary
    if summary is None or not summary.queued_count or scene.fleet.leader is not None:
        return False
    spent = summary.spent
    explained = bool(scene.reasons) or bool(spent and any(budget.waiting for budget in spent.budgets))
    paused = any(flag.name == "pause" and not flag.shadow for flag in scene.flags)
    return not explained and not paused and not summary.running_count and scene.oldest() > UNTENDED_AFTER


def _failing(scene: Scene) -> Iterator[Finding]:
    routes = scene.routes
    failing = [route for route in routes if route.is_failing and route.kind not in QUOTA_KINDS]
    dead = bool(failing) and not any(route.images for route in routes)
    breakers = {flag.circuit: flag for flag in scene.flags if flag.circuit is not None}
    for route in failing:
        since = f" since {route.since:%H:%M} UTC" if route.since else ""
        share = f"{route.failed:,} of {count(route.attempts, 'call')} ({route.percent} %) failed in 5 min"
        blocked = scene.waiting_for(route.circuit.partition("/")[2])
        if dead and route is failing[0]:
            names = ", ".join(other.circuit for other in failing)
            attempts, failed = sum(other.attempts for other in failing), sum(other.failed for other in failing)
            yield Finding(
                "all failing", "red", f"Every call fails: {route.kind}",
                f"{failed:,} of {count(attempts, 'call')} failed in 5 min{since}, on {names}. "
                f"{doing(route.circuit, scene)}",
                next_step(route.kind), heading=route.kind, link="/requests?status=queued", about=route.circuit,
            )  # fmt: skip
        if dead:
            breakers.pop(route.circuit, None)
            continue
        stuck = _has_no_route(scene, route.circuit.partition("/")[2])
        yield Finding(
            "one route failing", "red" if stuck else "amber", f"{route.circuit} fails: {route.kind}",
            f"{share}{since}. {doing(route.circuit, scene)}"
            + (f" {next_steps.that_accept_no_other(blocked)}" if stuck and blocked else ""),
            next_steps.only_a_floor(blocked) if stuck and blocked else next_step(route.kind),
            heading="no-route" if stuck else route.kind, about=route.circuit,
            link=next_steps.waiting_for(route.circuit) if stuck and blocked else next_steps.link(route.kind),
        )  # fmt: skip
        breakers.pop(route.circuit, None)
    for circuit, flag in breakers.items():
        stuck = _has_no_route(scene, circuit.partition("/")[2])
        cause = flag.reason.removeprefix(f"{circuit}: ")
        yield Finding(
            "one route failing", "red" if stuck else "amber", f"{circuit} is out: breaker open",
            f"{cause[:1].upper()}{cause[1:]}, {display.age(flag.tripped_at, scene.now)} ago. {doing(circuit, scene)}",
            "Wait for its probes, or reset it if you know that the route is well.",
            heading="no-route" if stuck else None, link=f"/flags#{flag.id}", about=circuit,
        )  # fmt: skip
    named = {route.circuit.partition("/")[2] for route in failing} | {circuit.partition("/")[2] for circuit in breakers}
    for model, why in scene.reasons.items():
        if _has_no_route(scene, model) and model not in named and not dead:
            yield Finding(
                "one route failing", "red", f"{model}: no route is available",
                f"{that_wait(scene.waiting_for(model))}: {_no_route_why(why)}",
                "Lower the floor of these requests, or fix the route.", heading="no-route",
                link=f"/requests?status=queued&model={model}", about=model,
            )  # fmt: skip


def _has_no_route(scene: Scene, model: str) -> bool:
    why = scene.reasons.get(model)
    if why is None:
        return False
    tenants = why.get("tenants") or {}
    return why["reason"] == "no route" or any(own["reason"] == "no route" for own in tenants.values())


def _no_route_why(why: Fields) -> str:
    own = [tenant["why"] for tenant in (why.get("tenants") or {}).values() if tenant["reason"] == "no route"]
    return str(why["why"] if why["reason"] == "no route" or not own else own[0])


def _conclusions(scene: Scene) -> Iterator[Finding]:
    alive = any(route.images for route in scene.routes)
    for conclusion in scene.conclusions.values():
        claim, closes = conclusion.claim, conclusion.policy.effect == "closes"
        if claim is Claim.QUOTA_DAY:
            yield Finding(
                "short of quota", "amber", f"{conclusion.subject}: the day's quota is used up", conclusion.why,
                "Wait for midnight in Los Angeles, raise the quota, or send drafts to another model.",
                heading="quota_day", about=conclusion.subject,
            )  # fmt: skip
            continue
        yield Finding(
            "all failing" if closes and not alive else "one route failing", "red" if closes else "amber",
            f"{conclusion.subject} {conclusion.policy.means}", conclusion.why, next_step(claim.value),
            heading=conclusion.policy.runbook or claim.value, link="/flags", about=conclusion.subject,
        )  # fmt: skip


def _paused(scene: Scene) -> Iterator[Finding]:
    for flag in scene.flags:
        if flag.name != "pause" or flag.shadow or flag.actor == BREAKER:
            continue
        scope = "" if str(flag.scope) == "everybody" else f" for {flag.scope}"
        yield Finding(
            "paused", "amber", f"Paused{scope} by {flag.actor}",
            f"Reason: {flag.reason.rstrip('.')}. {count(scene.waiting, 'request')} in all queues; it expires in "
            f"{display.left(flag.expires_at - scene.now)}.",
            "Reset the flag when the reason is gone.", link=f"/flags#{flag.id}", about=flag.id,
        )  # fmt: skip


def _budgets(scene: Scene) -> Iterator[Finding]:
    spent = None if scene.summary is None else scene.summary.spent
    for budget in spent.budgets if spent is not None else ():
        used_up = budget.spent_micros >= budget.limit_micros
        if not budget.waiting and not used_up:
            continue
        then = _BY_OVER[budget.over]
        if budget.waiting:
            then = f"{that_wait(budget.waiting)} for budget"
        yield Finding(
            "budget gone", "amber", f"Budget of {budget.tenant} is used up",
            f"{display.money(budget.spent_micros)} of {display.money(budget.limit_micros)} a {budget.period} spent, "
            f"{display.money(budget.held_micros)} held; {then}.",
            "Raise the budget, or leave it: the tenant's own limit works as agreed.",
            heading="budget", link=f"/budgets#{budget.tenant}", about=budget.tenant,
        )  # fmt: skip


_BY_OVER: Mapping[Over, str] = {
    "queue": "requests that come wait for budget",
    "step-down": "requests that come take cheaper routes, or wait",
    "refuse": "requests that come are refused",
}


def _short(scene: Scene) -> Iterator[Finding]:
    for model, why in scene.reasons.items():
        waiting = scene.waiting_for(model)
        reason, words = why["reason"], display.wait_reason(model, why)
        if reason == "zero":
            yield Finding(
                "short of quota", "red", f"{model}: its limit is 0", f"{that_wait(waiting)}: {words}",
                "Set up billing, or ask for quota; nothing of this model starts until then.",
                heading="no-balance", about=model,
            )  # fmt: skip
        elif reason in SHUT_REASONS:
            until = f" until {why['until']:%H:%M} UTC" if why["until"] else ""
            yield Finding(
                "short of quota", "amber", f"Short of quota: {model} is closed{until}",
                f"{that_wait(waiting)}: {words}.",
                "Wait, raise the quota, or trip use-nano-banana-2 for what may take another model.",
                heading="quota_day" if reason == "day" else "quota_spend" if reason == "spend" else "quota_minute",
                link=next_steps.FLAG_FORM, about=model,
            )  # fmt: skip
        elif reason in SHORT_REASONS and _is_long(scene):
            left = f"about {display.left(scene.to_empty)} to empty" if scene.to_empty else "no image came in 5 min"
            yield Finding(
                "short of quota", "amber", f"Short of quota: {model} runs at its limit",
                f"{that_wait(waiting)}, the longest for {display.left(scene.oldest())}; {left}. "
                f"{words[:1].upper()}{words[1:]}.",
                "Wait, raise the quota, or lower size or model by a flag.", heading="quota_minute",
                link="/flags", about=model,
            )  # fmt: skip
    for route in scene.routes:
        model = route.circuit.partition("/")[2]
        if route.is_failing and route.kind in QUOTA_KINDS and model not in scene.reasons:
            yield Finding(
                "short of quota", "amber", f"Short of quota: {route.circuit} is rejected ({route.kind})",
                f"{route.failed:,} of {count(route.attempts, 'call')} in 5 min. The worker slows down automatically.",
                "Check who else uses this project's quota.", heading=route.kind, about=route.circuit,
            )  # fmt: skip


def _is_long(scene: Scene) -> bool:
    return scene.oldest() > SHORT_AFTER or (scene.to_empty is not None and scene.to_empty > LONG_BACKLOG)


def _calm(scene: Scene) -> Finding:
    summary = scene.summary
    assert summary is not None
    running = summary.running_count + summary.batched_count
    if not summary.queued_count and not running:
        busy = f"Last busy {display.age(summary.busy_at, scene.now)} ago." if summary.busy_at else "Nothing came yet."
        return Finding("idle", "green", "Idle: nothing waits, nothing runs", busy, "Nothing to do.")
    left = f", about {display.left(scene.to_empty)} to empty" if scene.to_empty else ""
    return Finding(
        "busy", "green", f"Working: {running:,} in flight, {summary.queued_count:,} waiting",
        f"{scene.images_per_minute:.0f} images a minute{left}.", "Nothing to do.", link="/requests?status=queued",
    )  # fmt: skip


def doing(circuit: str, scene: Scene) -> str:
    """What the worker does about a failing circuit."""
    model = circuit.partition("/")[2]
    flag = next((flag for flag in scene.flags if flag.circuit == circuit), None)
    if flag is not None:
        return "The worker keeps requests off this route and probes it every 15 s; it reopens automatically."
    for conclusion in scene.conclusions.values():
        if conclusion.subject in (circuit, model, f"*/{model}"):
            probe = max(timedelta(0), conclusion.next_probe_at - scene.now)
            return f"The worker sends nothing there; next probe in {display.left(probe)}."
    return "The worker retries each request; a breaker opens when at least 4 requests and most calls fail."
