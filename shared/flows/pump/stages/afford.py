"""Stage 4: what the tenants' budgets leave of the candidates, and which of those go by batch."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from shared.core.admission.allocation import Candidate
from shared.core.admission.planning import with_shadow_effects
from shared.core.admission.route_memory import Routing
from shared.core.values.lanes import BATCH
from shared.flows.pump.budgets import BudgetState
from shared.flows.pump.stages.observe import Observation
from shared.flows.pump.stages.plan import TickPlan
from shared.flows.pump.stages.ports import TickPorts


class Affordable(Struct, frozen=True):
    candidates: tuple[Candidate, ...]
    """For slots."""
    batched: tuple[Candidate, ...]
    """For a batch: they take no slot. Their money is reserved."""
    budgets: BudgetState
    routing: Routing
    """With what flags changed among `batched`."""


async def afford(act: TickPorts, observation: Observation, plan: TickPlan) -> Affordable:
    """What a budget refuses ends here; what waits for money is suspended."""
    in_force = plan.in_force
    judged = await act.budgets.judge(observation.budgets, plan.planning.candidates, in_force.context, act.time.now())
    verdict = judged.verdict
    for head in verdict.stale:
        act.fronts.gone([head.request_id])
        act.fronts.left(head)
    for head, outcome in verdict.refused:
        await act.overdue.end(head, "failed", outcome)
    by_batch = [candidate for candidate in verdict.kept if _goes_by_batch(candidate)]
    balances, batched = judged.state.balances.take(by_batch)
    routing = in_force.routing.batched([candidate.planned for candidate in batched])
    return Affordable(
        candidates=tuple(candidate for candidate in verdict.kept if not _goes_by_batch(candidate)),
        batched=batched,
        budgets=replace(judged.state, balances=balances),
        routing=with_shadow_effects(routing, batched, in_force.context, in_force.shadows),
    )


def _goes_by_batch(candidate: Candidate) -> bool:
    return candidate.planned.route.lane == BATCH
