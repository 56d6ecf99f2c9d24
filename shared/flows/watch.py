"""The once-a-minute look round: lapsed leases, passed deadlines, results nobody heard of, limits, batches, a queue."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.core import queries, signals
from shared.core.documents import Absent, Delete, Document, Update
from shared.flows import flags, gauges, summary
from shared.flows.announce import announce
from shared.flows.batch_tend import tend_batches
from shared.flows.expire import expire_overdue
from shared.flows.kicks import Kicks
from shared.flows.live_quota import read_live_quota
from shared.flows.pump_view import PUMP
from shared.flows.settle import recover_all
from shared.ports import Ports

PAGE = 200
ANNOUNCE_AFTER = timedelta(seconds=30)
"""Whoever ended a request announces it at once; later than this, nobody will."""


async def watch(ports: Ports, kicks: Kicks) -> None:
    """Each part is safe to repeat and safe beside the others; a part that fails leaves its work for the next minute."""
    probe = await ports.store.get(PUMP)
    now = probe.read_at
    lapsed = await ports.store.query(queries.lapsed(now, PAGE))
    await recover_all(ports, lapsed)
    overdue = await expire_overdue(ports, now)
    unannounced = await ports.store.query(queries.unannounced(now - ANNOUNCE_AFTER, PAGE))
    for request in unannounced:
        await announce(ports, request)
    await read_live_quota(ports)
    await flags.expire(ports, now)
    await tend_batches(ports, now)
    if await ports.store.count(queries.in_status("queued", 1)) or await ports.store.count(
        queries.in_status("released", 1)
    ):
        await kicks.kick()
    gathered = None if _leads(probe, now) else await summary.write(ports)
    await gauges.observe(ports, gathered, now)
    forgotten = await _forget(ports, now)
    ports.signals.emit(
        signals.WATCHED, lapsed=len(lapsed), overdue=overdue, announced=len(unannounced), forgotten=forgotten
    )


def _leads(pump: Document | Absent, now: datetime) -> bool:
    """Somebody does, and writes the summary."""
    return isinstance(pump, Document) and pump.data["lead_until"] is not None and pump.data["lead_until"] > now


async def _forget(ports: Ports, now: datetime) -> int:
    """Remove what has outlived its time, attempts with their request. How many documents."""
    count = 0
    for collection in queries.EXPIRING:
        for document in await ports.store.query(queries.outlived(collection, now, PAGE)):
            parts: list[Document] = []
            if collection == "requests":
                parts = await ports.store.query(queries.attempts_of(document.id))
            # The request itself goes last: what dies halfway is found again.
            for each in [*parts, document]:
                await ports.store.commit(Delete(each.path, each.version))
            count += 1 + len(parts)
    return count


async def break_lead(ports: Ports) -> None:
    """The pump of an earlier boot leads no more."""
    pump = await ports.store.get(PUMP)
    if isinstance(pump, Document) and pump.data["lead_holder"] != ports.boot:
        await ports.store.commit(Update(PUMP, {"lead_holder": None, "lead_until": None}, pump.version))


async def break_leases(ports: Ports) -> int:
    """At the start of the one-machine home: attempts of earlier boots have no worker any more. How many were ended."""
    await break_lead(ports)
    count = 0
    while True:
        rendering = await ports.store.query(queries.rendering(PAGE))
        orphaned = [request for request in rendering if request.data["lease_holder"] != ports.boot]
        await recover_all(ports, orphaned)
        count += len(orphaned)
        if len(rendering) < PAGE or not orphaned:
            return count
