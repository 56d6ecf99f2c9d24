"""Gathering what stands into the summary, and writing it now and then.

What it costs in reads where the store bills them: 3 for each priority, 2 for each model and priority of one that
waits, 2 for each queue of a tenant (and one for each thousand in it), one for each of at most 50 attempts in flight
(where there are more, 12 more), one for each model, and 3 for ends. What ended is read again when something did, at
most 100 a status. Of the day's ledger a lead reads each row once and then what was raised since, or one row that says
that nothing was; the budgets at most every 30 s, 33 for each. Once a minute the series has its point, in the same
commit: one more read and one more write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.core.accounting import budget
from shared.core.accounting.budget import OVER_BUDGET
from shared.core.accounting.cost_report import bills
from shared.core.admission import model_state
from shared.core.admission.model_state import ModelState
from shared.core.lifecycle import queries
from shared.core.limits import effective
from shared.core.limits.live_quota import PATH as LIVE
from shared.core.limits.live_quota import LiveQuota
from shared.core.messages.render_request import PRIORITIES
from shared.core.observability.meter import Meter
from shared.core.observability.status_summary import (  # fmt: skip
    HISTORY_WINDOW,
    PATH,
    WRITE_INTERVAL,
    BudgetStatus,
    EndedStatus,
    LatestEnd,
    QueueDepth,
    QuotaUse,
    Running,
    Spent,
    Summary,
    Waiting,
    grouped,
    sampled,
)
from shared.core.records.request import AwaitingRow, EndedRow, RunningRow, WaitingRow
from shared.core.records.tenant import TenantRecord
from shared.core.times.pacific import pacific_day
from shared.core.values.documents import Create, Document, Update, Write
from shared.flows.operations.budget_reading import read_balance
from shared.flows.requests.item_by_item import report
from shared.flows.status import series_point
from shared.flows.status.ledger_rows import LedgerRows
from shared.ports import Ports
from shared.ports.store import Store, StoreUnavailable

COUNTED_TO = 100_000
MOST_OF_THE_TIME = 0.1
"""Share of time that a pump may spend on it: if counting takes longer, it is done less often."""
MOST_TENANTS = 20
"""Tenants of one queue that are listed separately; the others show in the depth of the priority."""
MOST_RUNNING = 50
MOST_AWAITING = 10
"""Examined to find the longest waiting of many: those are to be looked at first."""
MOST_ENDED = 100
"""Of each status."""
SHOWN_ENDS = ("failed", "refused", "expired")
ENDED_ANEW = timedelta(minutes=5)
"""Groups are read again after this even if nothing has ended: some are no longer recent."""
SPENT_EVERY = timedelta(seconds=30)
MOST_BUDGETS = 20


class Summarizing:
    """One per lead of a pump: writes beside its ticks, which never wait for it."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._rows = LedgerRows(ports.store)
        self._due_at = float("-inf")
        self._writing: asyncio.Task[None] | None = None

    def tend(self) -> None:
        """Begin to write if that is due and nothing is being written; an error of a write is kept for `close`."""
        if self._ports.clock.monotonic() < self._due_at:
            return
        if self._writing is None or (self._writing.done() and self._writing.exception() is None):
            self._writing = asyncio.ensure_future(self._write())

    async def _write(self) -> None:
        began_at = self._ports.clock.monotonic()
        await write(self._ports, self._rows)
        took = self._ports.clock.monotonic() - began_at
        self._due_at = began_at + max(WRITE_INTERVAL.total_seconds(), took / MOST_OF_THE_TIME)

    async def close(self) -> None:
        """Write a final summary if any was begun. Raises the kept error."""
        if self._writing is not None:
            await self._writing
            await write(self._ports, self._rows)


async def read(ports: Ports) -> Summary | None:
    """As it was last written; None if it never was."""
    return await read_from(ports.store)


async def read_from(store: Store) -> Summary | None:
    document = await store.get(PATH)
    return Summary.from_json(document.data) if isinstance(document, Document) else None


async def write(ports: Ports, rows: LedgerRows | None = None) -> Summary | None:
    """The current summary; None if the store was unavailable. If another process wrote one meanwhile, that one stays.
    `rows` is what this process has already read of the ledger."""
    with contextlib.suppress(StoreUnavailable):  # the next one says it all
        document = await ports.store.get(PATH)
        before = Summary.from_json(document.data) if isinstance(document, Document) else Summary(document.read_at)
        after = await gather(ports, before, document.read_at, rows or LedgerRows(ports.store))
        after, point = await series_point.made(ports, after, before)
        data = after.to_json()
        change: Write = Update(PATH, data, document.version) if isinstance(document, Document) else Create(PATH, data)
        await ports.store.commit(change, *point)
        return after
    return None


async def gather(ports: Ports, before: Summary, now: datetime, ledger: LedgerRows) -> Summary:
    """Raises StoreUnavailable."""
    depths, (running, running_count, awaiting_count, awaiting_since), batched, quota, ended = await asyncio.gather(
        _depths(ports), _running(ports), ports.store.count(queries.in_status("batched", COUNTED_TO)),
        _quota(ports, before, now), asyncio.gather(*(_ended(ports, status, before, now) for status in SHOWN_ENDS)),
    )  # fmt: skip
    waiting = await _waiting(ports, [depth.priority for depth in depths if depth.count])
    busy = bool(waiting or running_count or batched or any(depth.count for depth in depths))
    busy_at = now if busy else before.busy_at
    meter = await _metered(before.meter, ledger, now)
    spent_is_due = _spent_is_due(before.spent, meter.read_at, busy_at, now)
    return Summary(
        at=now,
        depths=tuple(depths),
        waiting=waiting,
        running=running,
        running_count=running_count,
        awaiting_count=awaiting_count,
        awaiting_since=awaiting_since,
        batched_count=batched,
        quota=quota,
        spent=await _spent(ports, ledger, now) if spent_is_due else before.spent,
        ended=tuple(ended),
        busy_at=busy_at,
        meter=meter,
        release=ports.release.name,
    )


async def _metered(before: Meter, ledger: LedgerRows, now: datetime) -> Meter:
    """After a read of the ledger; unchanged if nothing was booked since the last one."""
    today = now.date().isoformat()
    days = sorted({before.day or today, today})
    if before.read_at is not None:
        news = [await ledger.has_news(day, before.read_at) for day in days]
        if not any(news):
            return before
    return before.read({day: await ledger.of(day, now) for day in days}, now)


async def _depths(ports: Ports) -> list[QueueDepth]:
    async def of(priority: str) -> QueueDepth:
        first = await ports.store.query(queries.longest_queued(priority, 1))
        if not first:
            return QueueDepth(priority, 0, None)
        count = await ports.store.count(queries.longest_queued(priority, COUNTED_TO))
        return QueueDepth(
            priority, count, WaitingRow.from_json(first[0].data).queued_at if first[0].is_readable else None
        )

    return list(await asyncio.gather(*(of(priority) for priority in PRIORITIES)))


async def _waiting(ports: Ports, priorities: Sequence[str]) -> tuple[Waiting, ...]:
    """By priority, then the model's place in the catalogue, then the tenant."""
    queues = [(model, priority) for priority in priorities for model in ports.catalogue.models]
    waitingses = await asyncio.gather(*(_of_queue(ports, model, priority) for model, priority in queues))
    return tuple(item for queue in waitingses for item in queue)


async def _of_queue(ports: Ports, model: str, priority: str) -> list[Waiting]:
    """From tenant to tenant: each look returns the next one's longest waiting request."""
    firsts: list[WaitingRow] = []
    while len(firsts) < MOST_TENANTS:
        after = firsts[-1].tenant if firsts else None
        page = await ports.store.query(queries.first_of_next_tenant(model, priority, after))
        if not page:
            break
        firsts += [WaitingRow.from_json(document.data) for document in page]
    tenants = [row.tenant for row in firsts]
    counts = await asyncio.gather(
        *(ports.store.count(queries.waiting_of(tenant, model, priority)) for tenant in tenants)
    )
    return [
        Waiting(model, priority, tenant, count, first.queued_at)
        for tenant, count, first in zip(tenants, counts, firsts, strict=True)
    ]


async def _running(ports: Ports) -> tuple[tuple[Running, ...], int, int, datetime | None]:
    """Some attempts in flight and how many there are; how many of all wait for the provider, and since when."""
    page = await ports.store.query(queries.running(MOST_RUNNING))
    running = tuple(_attempt(document) for document in page if document.is_readable)
    rows = [RunningRow.from_json(document.data) for document in page if document.is_readable]
    starts: list[datetime | None] = [row.slot_at for row in rows if row.collect_at is not None]
    count, awaiting_count = len(page), len(starts)
    if len(page) == MOST_RUNNING:
        count, awaiting_count, longest = await asyncio.gather(
            ports.store.count(queries.in_status("rendering", COUNTED_TO)),
            ports.store.count(queries.awaiting(queries.FAR_AHEAD, COUNTED_TO)),
            ports.store.query(queries.awaiting(queries.FAR_AHEAD, MOST_AWAITING)),
        )
        starts = [AwaitingRow.from_json(document.data).slot_at for document in longest if document.is_readable]
    return running, count, awaiting_count, min((start for start in starts if start is not None), default=None)


def _attempt(request: Document) -> Running:
    row = RunningRow.from_json(request.data)
    return Running(request.id, row.tenant, row.route.model, row.route.lane, row.slot_at)


async def _quota(ports: Ports, before: Summary, now: datetime) -> tuple[QuotaUse, ...]:
    models = ports.catalogue.ladder
    live_document, *calendars = await ports.store.get_all([LIVE, *(model_state.path(model) for model in models)])
    live = LiveQuota.from_json(live_document.data) if isinstance(live_document, Document) else None
    quota_uses = []
    for model, document in zip(models, calendars, strict=True):
        standing = ModelState.from_json(document.data).forget(now) if isinstance(document, Document) else ModelState()
        calendar, minute = standing.calendar, standing.calendar.used(now)
        read = live.by_model.get(model) if live else None
        use = QuotaUse(
            model=model,
            used={
                "rpm": minute.requests, "ipm": minute.images, "tpm": minute.tokens,
                "rpd": calendar.days.get(pacific_day(now), 0),
            },
            limits=effective.effective_limits(ports.quota.limits(model), read, standing.learned),
            closed_until=calendar.closed_until if calendar.closed_until and calendar.closed_until > now else None,
            closed_why=calendar.closed_why,
            denied_until=standing.denied_until if standing.denied_until and standing.denied_until > now else None,
        )  # fmt: skip
        quota_uses.append(sampled(before.of_model(model), use, now))
    return tuple(quota_uses)


async def _ended(ports: Ports, status: str, before: Summary, now: datetime) -> EndedStatus:
    ended_status = next((ended_status for ended_status in before.ended if ended_status.status == status), None)
    first = await ports.store.query(queries.newest_ended(status, 1))
    newest = _newest(first[0]) if first and first[0].is_readable else None
    if (
        ended_status is not None
        and ended_status.at is not None
        and ended_status.newest == newest
        and now - ended_status.at < ENDED_ANEW
    ):
        return ended_status
    page = await ports.store.query(queries.newest_ended(status, MOST_ENDED)) if first else []
    ends = [end for document in page if (end := _end(ports, document)) is not None]
    complete = len(page) < MOST_ENDED or not ends or ends[-1][0].at < now - HISTORY_WINDOW
    return EndedStatus(status, grouped(status, ends, since=now - HISTORY_WINDOW), complete, newest, now)


def _end(ports: Ports, document: Document) -> tuple[LatestEnd, str, str] | None:
    """None if it cannot be read."""
    try:
        row = EndedRow.from_json(document.data)
        return LatestEnd(document.id, row.finished_at), row.outcome.code, row.outcome.message
    except Exception as error:  # noqa: BLE001  any error of a damaged document
        report(ports, "summarize an end", document.path, error)
        return None


def _newest(document: Document) -> LatestEnd:
    return LatestEnd(document.id, EndedRow.from_json(document.data).finished_at)


def _spent_is_due(before: Spent | None, booked_at: datetime | None, busy_at: datetime | None, now: datetime) -> bool:
    """At most every SPENT_EVERY, and no longer once it was read after the last work and the last booking."""
    if before is None or before.day != now.date().isoformat():
        return True
    if now - before.at < SPENT_EVERY:
        return False
    last = max((moment for moment in (booked_at, busy_at) if moment is not None), default=None)
    return last is not None and before.at <= last + SPENT_EVERY


async def _spent(ports: Ports, ledger: LedgerRows, now: datetime) -> Spent:
    day = now.date().isoformat()
    rows = await ledger.of(day, now)
    bill = bills(rows, "tenant")
    unknown = bill.google.total["unknown_attempts"] + bill.gateways.total["unknown_attempts"]
    return Spent(
        at=now,
        day=day,
        google_micros=bill.google.total.micros,
        gateway_micros=bill.gateways.total.micros,
        unknown_attempts=unknown,
        by_tenant={tenant: total.micros for tenant, total in list(bill.google.groups.items())[:MOST_TENANTS]},
        complete=ledger.is_complete(day),
        budgets=await _budgets(ports, now),
        by_use={use: micros for use, micros in bill.google.total.by_use.items() if micros},
        free_attempts=bill.google.total["attempts_free"] + bill.gateways.total["attempts_free"],
    )


async def _budgets(ports: Ports, now: datetime) -> tuple[BudgetStatus, ...]:
    tenants = await ports.store.query(queries.tenants(10 * MOST_BUDGETS))
    limits = [(tenant.id, limit) for tenant in tenants if (limit := TenantRecord.of(tenant).budget) is not None]

    async def of(tenant: str, limit: budget.Budget) -> BudgetStatus:
        balance = await read_balance(ports.store, tenant, limit, now)
        waiting = await ports.store.count(queries.waiting_for(tenant, OVER_BUDGET, COUNTED_TO))
        return BudgetStatus(
            tenant, limit.period, limit.over, limit.limit_micros, balance.spent_micros, balance.held_micros, waiting
        )  # fmt: skip

    budget_statuses = await asyncio.gather(*(of(tenant, limit) for tenant, limit in limits[:MOST_BUDGETS]))
    return tuple(
        sorted(
            budget_statuses,
            key=lambda budget_status: (budget_status.limit_micros - budget_status.spent_micros, budget_status.tenant),
        )
    )
