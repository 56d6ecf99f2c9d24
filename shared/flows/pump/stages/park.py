"""Stage 8: what cannot start for a while leaves the front of its queue, and the pump decides whether to stay."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from shared.core.admission.slot_calendar import Blocked
from shared.core.lifecycle import queries
from shared.core.records.request import SleepingRow
from shared.flows.pump.deadlines import WORTH_WAITING
from shared.flows.pump.stages.afford import Affordable
from shared.flows.pump.stages.decide import Decisions
from shared.flows.pump.stages.hand_out import HandedOut
from shared.flows.pump.stages.observe import Observation
from shared.flows.pump.stages.plan import TickPlan
from shared.flows.pump.stages.ports import TickPorts
from shared.flows.pump.state import PumpState


class Parked(Struct, frozen=True):
    shut_since: Mapping[str, datetime]
    """By model: see PumpState."""
    stays: bool
    """There is work that the pump should stay for."""


async def park(
    act: TickPorts, state: PumpState, observation: Observation, plan: TickPlan, affordable: Affordable,
    decisions: Decisions, handed_out: HandedOut,
) -> Parked:  # fmt: skip
    now, result, epoch, dormant = act.time.now(), decisions.result, decisions.result.memory.epoch, act.dormant
    await act.overdue.end_missed(result, state.blocked, plan.in_force.context, now)
    granted = {grant.candidate.head.request_id for grant in result.grants}
    await dormant.return_to_queue([head for head in plan.heads if head.sleeps and head.request_id not in granted], now)
    shut_since = await dormant.suspend_behind(result.blocked, state.shut_since, epoch, now)
    await dormant.suspend_without_route(plan.planning.waiting, epoch, now)
    await act.net.tend(now)
    has_begun = bool(affordable.batched) or bool(result.started) or act.net.holds
    return Parked(shut_since, has_begun or await _expects_work(act, observation, plan, decisions, handed_out, now))


async def _expects_work(
    act: TickPorts, observation: Observation, plan: TickPlan, decisions: Decisions, handed_out: HandedOut, now: datetime
) -> bool:
    """Something opens soon, is under way, is to be probed, or a sleeping request wakes before the next scheduled
    kick."""
    result, waiting = decisions.result, plan.planning.waiting
    soon = now + WORTH_WAITING
    if any(_opens(full, soon) for full in result.blocked.values()) or result.grants or handed_out.lost:
        return True
    if observation.sight.in_air or any(not waits.paused for _, waits in waiting):
        return True
    if act.fronts.waiting and not result.blocked and not waiting:
        return True
    sleeping = await act.ports.store.query(queries.sleeping(now, 1))
    return bool(sleeping) and SleepingRow.from_json(sleeping[0].data).wake_at < soon


def _opens(full: Blocked, soon: datetime) -> bool:
    return full.reason != "zero" and (full.until is None or full.until < soon)
