"""Stage 5: who starts when. The pure decision is `shared.core.admission.tick`; this stage reads what it still lacks."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from shared.core.admission.tick import Memory, TickInputs, TickResult, tick
from shared.flows.clock import ClockReading
from shared.flows.pump import open_slots
from shared.flows.pump.lead import read_standings
from shared.flows.pump.stages.afford import Affordable
from shared.flows.pump.stages.observe import Observation
from shared.flows.pump.stages.plan import TickPlan
from shared.flows.pump.stages.ports import TickPorts
from shared.flows.pump.state import PumpDocuments, PumpState

LONGEST_SINCE = 60.0
"""Longest time in seconds between two decisions that is taken into account."""


class Decisions(Struct, frozen=True):
    at: ClockReading
    documents: PumpDocuments
    before: Memory
    """With the states of every model that this tick concerns."""
    result: TickResult


async def decide(
    act: TickPorts, state: PumpState, observation: Observation, plan: TickPlan, affordable: Affordable
) -> Decisions:
    ports, sight, reports, routing = act.ports, observation.sight, observation.reports, affordable.routing
    candidates, taken = affordable.candidates, observation.taken
    models = {candidate.model for candidate in candidates} | {slot.pool for slot in taken}
    models |= {slot.model for candidate in candidates if (slot := candidate.head.unused_slot) is not None}
    models |= {*plan.memory.standings, *plan.memory.limits}
    concluded = routing.conclusions.closings()
    documents, memory = await read_standings(
        ports, observation.documents, plan.memory, models | set(reports.by_model) | set(concluded)
    )
    at = act.time.moment()
    open_terms = await open_slots.open_terms(
        act.ways, plan.in_force.sight, reports, routing, candidates, models, at.now
    )
    inputs = TickInputs(
        now=at.now,
        candidates=candidates,
        configured=ports.quota,
        capacity=ports.capacity,
        reports=reports.by_model,
        live=sight.live.limits,
        running=sight.in_flight.running,
        in_air=sight.in_air,
        concluded=concluded,
        day_goes_on=routing.conclusions.day_goes_on,
        drift=reports.drift,
        lost=state.lost,
        balances=affordable.budgets.balances.available,
        since_last=timedelta(seconds=min(at.monotonic - state.decided_at, LONGEST_SINCE)),
        taken=taken,
        taken_from=sight.taken.read_from,
        open_terms=open_terms,
    )
    return Decisions(at, documents, memory, tick(memory, inputs))
