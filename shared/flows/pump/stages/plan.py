"""Stage 3: breakers and conclusions are judged, and every head gets the route that is best under them."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from shared.core.admission.planning import Planning
from shared.core.admission.tick import Memory
from shared.core.lifecycle.request_record import Head
from shared.core.provider.outcome import EXPIRED, Outcome
from shared.core.provider.outcome_code import PlainEnd
from shared.core.routing.breaker import open_breakers
from shared.flows.pump.breakers import InForce
from shared.flows.pump.rerouted import RerouteSearch, rerouted
from shared.flows.pump.stages import reporting
from shared.flows.pump.stages.observe import Observation
from shared.flows.pump.stages.ports import TickPorts
from shared.flows.pump.state import PumpState


class TickPlan(Struct, frozen=True):
    heads: tuple[Head, ...]
    """Those of the observation, and sleeping requests that an open breaker has given another route."""
    reroutes: RerouteSearch
    in_force: InForce
    planning: Planning
    memory: Memory
    """In the epoch of what is in force."""
    stuck: frozenset[str]
    """Models whose requests have no route left, as already reported."""


async def plan(act: TickPorts, state: PumpState, observation: Observation) -> TickPlan:
    """A request that no route can take any more ends here, with the reason.

    The clock is read again after each step that may take a while: whether a probe is due depends on fractions of a
    second.
    """
    in_force = await act.breakers.judge(
        observation.routing, observation.memory, observation.sight, observation.reports, state.blocked,
        state.suspected, act.time.now(),
    )  # fmt: skip
    now = act.time.now()
    closed = open_breakers(in_force.sight.flags.board.in_force(now))
    search = state.reroutes.after(closed, observation.reports.health, now)
    freed = await rerouted(act.ports, act.planner, in_force.context, search, closed, now)
    heads = {head.request_id: head for head in [*observation.heads, *freed]}
    now = act.time.now()
    overdue = [head for head in heads.values() if head.deadline is not None and head.deadline <= now]
    for head in overdue:
        await act.overdue.end(head, "expired", EXPIRED)
    in_time = [head for head in heads.values() if head not in overdue]
    planning = act.planner.plan_all(in_time, in_force.context, in_force.routing, observation.reports.health, now)
    for head, unroutable in planning.unroutable:
        problem = unroutable.problem
        code = PlainEnd.COST_CAP if problem.field == "max_cost_usd" else PlainEnd.UNROUTABLE
        await act.overdue.end(head, "failed", Outcome.of(code, str(problem), problem.remedy))
    stuck = reporting.tell_stuck(act.ports.signals, planning, state.stuck)
    return TickPlan(
        heads=tuple(heads.values()),
        reroutes=search,
        in_force=in_force,
        planning=planning,
        memory=replace(observation.memory, epoch=in_force.epoch),
        stuck=stuck,
    )
