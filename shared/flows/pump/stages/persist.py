"""Stage 6: what was decided is written, before anything of it is handed out.

A pump that dies after this stage wastes slots, and exceeds no limit.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from shared.core.admission.planning import with_shadow_effects
from shared.core.admission.route_memory import Routing
from shared.flows.pump.budgets import BudgetState
from shared.flows.pump.lead import PumpEntry, write
from shared.flows.pump.stages import reporting
from shared.flows.pump.stages.afford import Affordable
from shared.flows.pump.stages.decide import Decisions
from shared.flows.pump.stages.observe import Observation
from shared.flows.pump.stages.plan import TickPlan
from shared.flows.pump.stages.ports import TickPorts
from shared.flows.pump.state import PumpDocuments


class Persisted(Struct, frozen=True):
    documents: PumpDocuments
    """In the versions that this stage has written; as before, if nothing had changed."""
    routing: Routing
    """With the starts, the probes and what flags changed among the grants."""
    budgets: BudgetState
    """With the money of the grants reserved."""


async def persist(
    act: TickPorts, observation: Observation, plan: TickPlan, affordable: Affordable, decisions: Decisions
) -> Persisted:
    """Raises LeadLost if another pump has written since."""
    result, in_force = decisions.result, plan.in_force
    granted = [grant.candidate for grant in result.grants]
    act.fronts.gone(candidate.head.request_id for candidate in granted)
    reporting.tell_changes(act.ports.signals, decisions.before, result.memory)
    budgets, balances = affordable.budgets, affordable.budgets.balances
    for candidate in granted:
        balances = balances.reserve(candidate)
    act.breakers.tell_probes(result.grants)
    routing = with_shadow_effects(affordable.routing, granted, in_force.context, in_force.shadows)
    routing = routing.granted(result.grants)
    entry = PumpEntry(
        memory=result.memory,
        routing=routing,
        blocked=reporting.wait_reasons(result, plan.planning),
        waiting=act.fronts.waiting,
        over_budget=budgets.over_budget,
    )
    written = await write(
        act.ports, decisions.documents, PumpEntry(decisions.before, observation.routing), entry,
        accounts=[(account, budgets.accounts[account.path]) for account in balances.unwritten.values()],
        done=[document for document in observation.sight.taken.documents if document.id in result.done],
        now=act.time.now(),
    )  # fmt: skip
    if written is None:
        return Persisted(decisions.documents, routing, replace(budgets, balances=balances))
    act.time.observe(written.at)
    accounts = {**budgets.accounts, **written.accounts}
    budgets = replace(budgets, balances=balances.all_written(), accounts=accounts)
    return Persisted(written.documents, routing, budgets)
