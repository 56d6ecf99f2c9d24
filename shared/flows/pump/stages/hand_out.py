"""Stage 7: slots go to workers, batch requests to their collection, and open slots that are in the way are
withdrawn."""

from __future__ import annotations

import asyncio
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from shared.core.admission.allocation import Candidate
from shared.core.admission.tenant_balances import TenantBalances
from shared.core.admission.tick import LostSlot
from shared.core.observability import spans
from shared.flows import tracing
from shared.flows.background.ways import FOREGROUND
from shared.flows.pump import open_slots
from shared.flows.pump.budgets import BudgetState
from shared.flows.pump.release import OnRecord, RequestChanged, Turn, Unconfirmed, release
from shared.flows.pump.stages.afford import Affordable
from shared.flows.pump.stages.decide import Decisions
from shared.flows.pump.stages.persist import Persisted
from shared.flows.pump.stages.plan import TickPlan
from shared.flows.pump.stages.ports import TickPorts
from shared.flows.pump.stages.sweep import Swept


class HandedOut(Struct, frozen=True):
    lost: tuple[LostSlot, ...]
    """Slots that no worker took, for the next tick to give back."""
    budgets: BudgetState
    """Without the reservations that their requests now carry themselves."""


async def hand_out(
    act: TickPorts, swept: Swept, plan: TickPlan, affordable: Affordable, decisions: Decisions,
    persisted: Persisted,
) -> HandedOut:  # fmt: skip
    await open_slots.withdraw(act.ports, decisions.result.withdrawn, act.time.now())
    balances = persisted.budgets.balances
    released, lost = await _release(act, swept, plan, decisions, balances)
    put_aside, unused = await _put_aside(act, affordable, balances)
    balances = balances.handed_out([*released, *put_aside])
    return HandedOut((*lost, *unused), replace(persisted.budgets, balances=balances))


async def _release(
    act: TickPorts, swept: Swept, plan: TickPlan, decisions: Decisions, balances: TenantBalances
) -> tuple[list[Candidate], list[LostSlot]]:
    """The requests that now carry their money themselves, and the slots of those that changed meanwhile. A tick that
    grants is traced."""
    ports, time, grants = act.ports, act.time, decisions.result.grants
    if not grants:
        return [], []
    turn = Turn(tracing.begun(ports), swept.at.now, time)
    ways = await act.ways.choose(grants, time.now())
    results = await asyncio.gather(
        *(
            release(
                ports,
                grant,
                turn,
                balances.reservation(grant.candidate),
                ways.get(grant.candidate.head.request_id, FOREGROUND),
            )
            for grant in grants
        )
    )
    released, lost = [], []
    for grant, result in zip(grants, results, strict=True):
        match result:
            case OnRecord():
                released.append(grant.candidate)
            case RequestChanged(slot):
                lost.append(slot)
            case Unconfirmed():
                pass  # its reservation stays named in the budget until a look at the request finds out
            case _:
                assert_never(result)
    tracing.write(
        ports, spans.TICK, turn.place, None, turn.began_at, time.now(), heads=len(plan.heads),
        grants=len(grants), holder=ports.boot,
    )  # fmt: skip
    return released, lost


async def _put_aside(
    act: TickPorts, affordable: Affordable, balances: TenantBalances
) -> tuple[list[Candidate], list[LostSlot]]:
    """Requests that go by batch leave their queue: those that now carry their money, and the slots that they had not
    used."""
    put_aside = await act.collecting.put(affordable.batched, act.time.now(), balances.reservation)
    act.fronts.gone(candidate.head.request_id for candidate in affordable.batched)
    sure = [candidate for candidate in put_aside.candidates if candidate.head.request_id not in put_aside.unsure]
    return sure, [
        slot for candidate in put_aside.candidates if (slot := LostSlot.unused_by(candidate.head)) is not None
    ]
