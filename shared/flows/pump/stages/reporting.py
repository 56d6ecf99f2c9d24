"""What a tick reports: why queues wait, for console and `status`, and events for what closed, was learned or is
stuck."""

from __future__ import annotations

from typing import Any

from shared.core.admission.planning import Planning
from shared.core.admission.tick import Memory, TickResult
from shared.core.observability import events
from shared.ports.telemetry import Events

MOST_TENANTS = 20
"""Tenants of one model whose reasons are listed separately."""


def wait_reasons(result: TickResult, planning: Planning) -> dict[str, Any]:
    """By model, why its queue waits; `tenants` by name, if the reason is their own.

    A queue may hold requests that on-call has paused beside others that have no route: the pause of one tenant must not
    hide the reason of the others.
    """
    waiting: dict[str, dict[str, Any]] = {}
    for head, waits in planning.waiting:
        why = {"reason": "paused" if waits.paused else "no route", "until": None, "why": waits.reason}
        entry = waiting.setdefault(head.model, {**why, "tenants": {}})
        if entry["reason"] == "paused" and not waits.paused:
            entry |= why
        tenants = entry["tenants"]
        own = tenants.get(head.tenant)
        if (own is None and len(tenants) < MOST_TENANTS) or (own and own["reason"] == "paused" and not waits.paused):
            tenants[head.tenant] = {"reason": why["reason"], "why": waits.reason}
    full = {
        model: {
            "reason": full.reason,
            "until": full.until,
            "why": result.memory.standings[model].calendar.closed_why,
            "tenants": waiting.get(model, {}).get("tenants", {}),
        }
        for model, full in result.blocked.items()
    }
    return waiting | full


def tell_changes(signals: Events, before: Memory, after: Memory) -> None:
    """Emit an event for each calendar that closed and each limit that was learned."""
    for model, standing in after.standings.items():
        was = before.standings[model]
        closed = standing.calendar
        if closed.closed_until is not None and closed.closed_until != was.calendar.closed_until:
            signals.emit(events.CALENDAR_CLOSED, model=model, until=closed.closed_until, why=closed.closed_why)
        for dimension, learned in standing.learned.items():
            previous = was.learned.get(dimension)
            if previous is None or previous.value != learned.value:
                signals.emit(events.LIMIT_LEARNED, model=model, dimension=dimension, value=learned.value)
    for model, numbers in after.limits.items():
        gone = [name for name, limit in numbers.items() if limit == 0 != before.limits.get(model, {}).get(name)]
        if gone:
            what = f"{model}: a limit of 0 ({', '.join(gone)}); nothing of it starts"
            signals.emit(events.ESCALATION, what=what, request_id=None, runbook="no-balance")


def tell_stuck(signals: Events, planning: Planning, reported: frozenset[str]) -> frozenset[str]:
    """Report each model whose requests have no route left, once: not again while it is in `reported`. A pause by
    on-call does not count.

    A probe under way ends nothing: only a request that has its route again does.
    """
    stuck = {head.model: waits.reason for head, waits in planning.waiting if not waits.paused}
    for model in stuck.keys() - reported:
        what = f"{model}: no route is available, requests wait: {stuck[model]}"
        signals.emit(events.ESCALATION, what=what, request_id=None, runbook="no-route")
    routed = {candidate.head.model for candidate in planning.candidates if candidate.planned.probe is None}
    return frozenset(stuck) | (reported - routed)
