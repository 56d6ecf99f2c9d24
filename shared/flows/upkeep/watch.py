"""Once a minute: lapsed leases, passed deadlines, unannounced results, limits, batches, and the queues are checked."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.core.lifecycle import queries
from shared.core.observability import events
from shared.core.observability.status_summary import PATH as SUMMARY
from shared.core.observability.status_summary import Summary
from shared.core.records.pump import PumpRecord
from shared.core.records.versioned import request_in
from shared.core.values.documents import Absent, Delete, Document, UnreadableDocument, Update
from shared.flows.batch.poll import tend_batches
from shared.flows.collect.leftovers import delete_leftovers
from shared.flows.collect.look import Collector
from shared.flows.collect.net import publish_overdue
from shared.flows.operations import flags
from shared.flows.pump_status import PUMP
from shared.flows.render.settle import recover_all
from shared.flows.requests.expiry import expire_overdue
from shared.flows.requests.item_by_item import attempt
from shared.flows.requests.result_events import announce
from shared.flows.status import gauges, summary
from shared.flows.upkeep.account import read_account
from shared.flows.upkeep.live_quota import read_live_quota
from shared.flows.wakeups import Kicks
from shared.flows.webhooks.fan_out import publish_due
from shared.ports import Ports

PAGE = 200
ANNOUNCE_AFTER = timedelta(seconds=30)
"""The process that ended a request announces it at once; after this long it will not any more."""


async def watch(ports: Ports, kicks: Kicks, collector: Collector) -> None:
    """Each part is safe to repeat and safe beside the others; a part that fails leaves its work for the next minute."""
    probe = await ports.store.get(PUMP)
    now = probe.read_at
    lapsed = await ports.store.query(queries.lapsed(now, PAGE))
    await recover_all(ports, lapsed)
    overdue = await expire_overdue(ports, now)
    await publish_overdue(ports, now, pump_leads=_leads(probe, now))
    await attempt(ports, "delete interactions", "requests", delete_leftovers(ports, collector))
    unannounced = await ports.store.query(queries.unannounced(now - ANNOUNCE_AFTER, PAGE))
    for request in unannounced:
        await attempt(ports, "announce a result", request.path, _announce(ports, request))
    due = publish_due(ports.store, ports.topics, now)
    await attempt(ports, "send due webhooks", "webhook_deliveries", due)
    await attempt(ports, "read the live limits", "quota/live", read_live_quota(ports))
    await attempt(ports, "read the account's spend", "quota/account", read_account(ports))
    await attempt(ports, "expire flags", "flags", flags.expire(ports, now))
    await attempt(ports, "look after batches", "batches", tend_batches(ports, now))
    if ports.probe_every:
        from shared.flows.upkeep.prober import probe as send_probe

        await attempt(ports, "send a probe", "requests/probe", send_probe(ports, now))
    if await ports.store.count(queries.in_status("queued", 1)) or await ports.store.count(
        queries.in_status("released", 1)
    ):
        await kicks.kick()
    gathered = await attempt(ports, "write the summary", SUMMARY, _summary(ports, probe, now))
    await attempt(ports, "observe the gauges", PUMP, gauges.observe(ports, gathered, now))
    forgotten = await _forget(ports, now)
    ports.signals.emit(
        events.WATCHED, lapsed=len(lapsed), overdue=overdue, announced=len(unannounced), forgotten=forgotten
    )


async def _announce(ports: Ports, request: Document) -> None:
    await announce(ports, request_in(request))


async def _summary(ports: Ports, pump: Document | Absent, now: datetime) -> Summary | None:
    """Written here if no leading pump writes it."""
    return None if _leads(pump, now) else await summary.write(ports)


def _leads(pump: Document | Absent, now: datetime) -> bool:
    """A pump leads, and writes the summary."""
    until = PumpRecord.of(pump).lead_until
    return until is not None and until > now


async def _forget(ports: Ports, now: datetime) -> int:
    """Remove what has expired, attempts together with their request. Returns how many documents."""
    count = 0
    for collection in queries.EXPIRING:
        for document in await ports.store.query(queries.outlived(collection, now, PAGE)):
            forgotten = await attempt(ports, "forget a document", document.path, _forget_one(ports, document))
            count += forgotten or 0
    return count


async def _forget_one(ports: Ports, document: Document) -> int:
    parts: list[Document] = []
    if document.path.startswith("requests/"):
        parts = await ports.store.query(queries.attempts_of(document.id))
    # The request itself goes last: what dies halfway is found again.
    for item in [*parts, document]:
        await ports.store.commit(Delete(item.path, item.version))
    return 1 + len(parts)


async def break_lead(ports: Ports) -> None:
    """A pump of an earlier start no longer leads."""
    pump = await ports.store.get(PUMP)
    if isinstance(pump, Document) and PumpRecord.of(pump).lead_holder != ports.boot:
        await ports.store.commit(Update(PUMP, {"lead_holder": None, "lead_until": None}, pump.version))


async def break_leases(ports: Ports) -> int:
    """At the start of the one-machine home: attempts of earlier starts have no worker any more. Returns how many were
    ended."""
    await break_lead(ports)
    count = 0
    while True:
        rendering = await ports.store.query(queries.leased(PAGE))
        orphaned = [request for request in rendering if _is_orphaned(ports, request)]
        recovered = await recover_all(ports, orphaned)
        count += recovered
        if len(rendering) < PAGE or not recovered:
            return count


def _is_orphaned(ports: Ports, request: Document) -> bool:
    """Its worker was of an earlier start. A request without a worker waits for its time. An unreadable one counts:
    recovering it reports it."""
    try:
        return request_in(request).record.lease_holder not in (None, ports.boot)
    except UnreadableDocument:
        return True
