"""Stage 2: the fronts of the queues, what workers reported, flags, limits and budgets are read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from shared.core.admission.fair_queueing import queue_name
from shared.core.admission.open_slots import TakenSlot
from shared.core.admission.route_memory import Routing
from shared.core.admission.tick import Memory, is_counted
from shared.core.lifecycle.request_record import Head
from shared.core.messages.render_request import PRIORITIES
from shared.flows.clock import ClockReading
from shared.flows.pump import open_slots
from shared.flows.pump.budgets import BudgetsRead
from shared.flows.pump.lead import read_standings
from shared.flows.pump.sight import Reports, Sight, look
from shared.flows.pump.stages.ports import TickPorts
from shared.flows.pump.state import PumpDocuments, PumpState


class Observation(Struct, frozen=True):
    """What one tick observes."""

    heads: tuple[Head, ...]
    sight: Sight
    reports: Reports
    """Of `sight`."""
    budgets: BudgetsRead
    taken: tuple[TakenSlot, ...]
    """Open slots that requests took, or that were withdrawn, as far as their documents can be read."""
    documents: PumpDocuments
    memory: Memory
    """With the states of models whose open slots were taken."""
    routing: Routing
    """With the starts in open slots: breakers are judged with them."""


async def observe(act: TickPorts, state: PumpState, *, flags_may_differ: bool) -> Observation:
    """Reads the clock twice: the newest read of the fronts corrects it."""
    heads = await act.fronts.read(act.time.now())
    if act.fronts.read_at is not None:
        act.time.observe(act.fronts.read_at)
    at = act.time.moment()
    sight, budgets = await asyncio.gather(
        _look(act, state, heads, at, flags_may_differ=flags_may_differ),
        act.budgets.look(state.budgets, heads, at),
    )
    assert sight.reports is not None, "each look reads them"
    taken = open_slots.taken(act.ports, sight.taken.documents)
    pools = {slot.pool for slot in taken}
    documents, memory = await read_standings(act.ports, state.documents, state.memory, pools)
    starts = [slot for slot in taken if not is_counted(memory.standings, slot)]
    return Observation(
        heads=tuple(heads),
        sight=sight,
        reports=sight.reports,
        budgets=budgets,
        taken=tuple(taken),
        documents=documents,
        memory=memory,
        routing=state.routing.started(starts),
    )


async def _look(
    act: TickPorts, state: PumpState, heads: Sequence[Head], at: ClockReading, *, flags_may_differ: bool
) -> Sight:
    memory = state.memory
    models = {head.model for head in heads} | set(memory.standings) | set(memory.limits)
    sight = await look(
        act.ports, state.sight, sorted(models), at, flags_may_differ=flags_may_differ, recounts=state.recounts,
        air=bool(heads) or memory.fleet.in_air > 0,
    )  # fmt: skip
    if sight.reports is not None:
        for model in sight.reports.late:
            act.fronts.kicked([queue_name(model, priority) for priority in PRIORITIES])
    return sight
