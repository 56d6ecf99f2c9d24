"""One tick of the pump: eight stages, each of which makes a value from those before it."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from shared.flows.pump.breakers import next_tick_at
from shared.flows.pump.lead import Lead
from shared.flows.pump.stages.afford import afford
from shared.flows.pump.stages.decide import Decisions, decide
from shared.flows.pump.stages.hand_out import HandedOut, hand_out
from shared.flows.pump.stages.observe import observe
from shared.flows.pump.stages.park import Parked, park
from shared.flows.pump.stages.persist import Persisted, persist
from shared.flows.pump.stages.plan import TickPlan, plan
from shared.flows.pump.stages.ports import TickPorts
from shared.flows.pump.stages.sweep import Swept, sweep
from shared.flows.pump.state import PumpState
from shared.ports import Ports


class TickRunner:
    """The ticks of one lead, and the only owner of the pump's state."""

    def __init__(self, ports: Ports, lead: Lead) -> None:
        self._act = TickPorts.of(ports, lead.time)
        self.state = lead.state

    async def tick(self, kicked: Collection[str] | None = ()) -> bool:
        """Grant what can be granted now. True while there is work that the pump should stay for.

        `kicked`: queues that have something new; None = any may have, and the flags too. Raises LeadLost. After any
        error the state is as it was. If the tick had already written, its documents are newer than the state: the next
        write of this runner raises LeadLost instead of overwriting what was decided.
        """
        after, stays = await self._run(self.state, kicked)
        self.state = after
        return stays

    def next_at(self, usual: float) -> float:
        """When the next tick is due, by the monotonic clock: as usual, or earlier if a breaker's probes need it."""
        at = self._act.time.moment()
        wanted = next_tick_at(self.state.routing, self.state.sight, at.now)
        return usual if wanted is None else min(usual, at.monotonic + (wanted - at.now).total_seconds())

    async def _run(self, state: PumpState, kicked: Collection[str] | None) -> tuple[PumpState, bool]:
        act = self._act
        if kicked is None or kicked:
            act.fronts.kicked(kicked or ())
        swept = await sweep(act, state)
        observation = await observe(act, state, flags_may_differ=kicked is None)
        planned = await plan(act, state, observation)
        affordable = await afford(act, observation, planned)
        decisions = await decide(act, state, observation, planned, affordable)
        persisted = await persist(act, observation, planned, affordable, decisions)
        handed_out = await hand_out(act, swept, planned, affordable, decisions, persisted)
        parked = await park(act, state, observation, planned, affordable, decisions, handed_out)
        return after_tick(state, swept, planned, decisions, persisted, handed_out, parked), parked.stays


def after_tick(
    state: PumpState, swept: Swept, planned: TickPlan, decisions: Decisions, persisted: Persisted,
    handed_out: HandedOut, parked: Parked,
) -> PumpState:  # fmt: skip
    """The state for the next tick."""
    result, sight = decisions.result, planned.in_force.sight
    started = [grant.candidate.model for grant in result.grants] + [slot.pool for slot in result.started]
    return PumpState(
        documents=persisted.documents,
        memory=result.memory,
        routing=persisted.routing,
        budgets=handed_out.budgets,
        decided_at=decisions.at.monotonic,
        swept_at=swept.swept_at,
        sight=replace(sight, in_flight=sight.in_flight.plus(started)),
        context=planned.in_force.context,
        reroutes=planned.reroutes,
        blocked=result.blocked,
        lost=handed_out.lost,
        shut_since=parked.shut_since,
        woken_epoch=swept.woken_epoch,
        stuck=planned.stuck,
        suspected=planned.in_force.suspected,
        crowded=result.crowded,
        recounts=result.recounts,
        ticks=state.ticks + 1,
    )
