"""Slots that are open to arriving requests: which ones were taken, and which ones the pump withdraws."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from shared.core.admission.allocation import Candidate
from shared.core.admission.open_slots import OpenTerms, TakenSlot, Withdrawn
from shared.core.admission.route_memory import Routing
from shared.core.provider.circuit_health import ALL_WELL
from shared.core.routing.breaker import open_breakers, probes_allowed
from shared.core.values.documents import Create, Document
from shared.flows.background.ways import Ways
from shared.flows.pump.sight import Reports, Sight
from shared.flows.requests.item_by_item import report
from shared.ports import Ports

NEXT_TICK = timedelta(seconds=1.2)


def taken(ports: Ports, documents: Sequence[Document]) -> list[TakenSlot]:
    """Those that can be read. An unreadable one keeps its slot open, which is reserved until it ends."""
    slots = []
    for document in documents:
        try:
            slots.append(TakenSlot.from_json(document.data))
        except Exception as error:  # noqa: BLE001  one document stops nothing but itself
            report(ports, "count a taken slot", document.path, error)
    return slots


async def open_terms(
    ways: Ways, sight: Sight, reports: Reports, routing: Routing, candidates: Sequence[Candidate],
    models: Collection[str], now: datetime,
) -> OpenTerms:  # fmt: skip
    """What this tick plans by. A request that is wanted as a probe before the next tick has to queue."""
    soon = now + NEXT_TICK
    probed = {slot.planned.probe for slot in candidates}
    probing = [slot.subject for slot in routing.conclusions.due(soon) if slot.id not in probed]
    for circuit in open_breakers(sight.flags.board.in_force(now)):
        state = routing.circuits.get(circuit)
        most = 1 if state is None else probes_allowed(state, reports.health.get(circuit, ALL_WELL), soon)
        if most > 1 or (most == 1 and circuit not in probed):
            probing.append(circuit)
    return OpenTerms(routing.lacking, tuple(sorted(probing)), await ways.settled(models, now))


async def withdraw(ports: Ports, slots: Sequence[Withdrawn], now: datetime) -> None:
    """Each by the document that would take it: one that a request has taken meanwhile stays taken."""
    takings = [TakenSlot(slot.slot, slot.pool, now) for slot in slots]
    await asyncio.gather(*(ports.store.commit(Create(slot.path, slot.to_json())) for slot in takings))
