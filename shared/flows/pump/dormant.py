"""Requests without an open route for a while leave the front of their queue, and return when there may be one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from shared.core.admission.slot_calendar import Blocked
from shared.core.lifecycle import head_changes, queries, request_record
from shared.core.lifecycle.request_record import Head
from shared.core.records.request import SleepingRow
from shared.core.routing.ladder import Waits
from shared.core.values.documents import Committed, Fields, Update
from shared.flows.pump.queue_fronts import PAGE, QueueFronts
from shared.flows.requests.item_by_item import heads
from shared.ports import Ports

SLEEP_AFTER = timedelta(seconds=60)
"""How long without an open route, and with none expected for as long."""
LONGEST_SLEEP = timedelta(minutes=10)
"""If it is unknown when a route opens."""


class Dormant:
    """Suspends and wakes requests. Keeps no state: everything it depends on is in the PumpState."""

    def __init__(self, ports: Ports, fronts: QueueFronts) -> None:
        self._ports = ports
        self._fronts = fronts

    async def suspend_behind(
        self, blocked: Mapping[str, Blocked], shut_since: Mapping[str, datetime], epoch: int, now: datetime
    ) -> dict[str, datetime]:
        """Suspend a page of requests if more wait behind it and nothing opens soon.

        `shut_since` by model: when it was first found closed, or its last page was suspended; the current values are
        returned.
        """
        shut = {model: full for model, full in blocked.items() if _is_shut(full, now)}
        since = {model: shut_since.get(model, now) for model in shut}
        for model, full in shut.items():
            if now - since[model] < SLEEP_AFTER:
                continue
            since[model] = now
            until = full.until or now + LONGEST_SLEEP
            changes = head_changes.suspend(f"no open route: {full.reason}", until, epoch, now)
            await self._change(self._fronts.full(model), changes)
        return since

    async def suspend_without_route(self, waiting: Sequence[tuple[Head, Waits]], epoch: int, now: datetime) -> None:
        """Requests whose every route is closed are suspended if they fill a page and hide others behind it."""
        by_queue: dict[tuple[str, str], list[tuple[Head, Waits]]] = {}
        for head, waits in waiting:
            by_queue.setdefault((head.model, head.priority), []).append((head, waits))
        for (model, priority), pairs in by_queue.items():
            if self._fronts.is_full_of(model, priority, len(pairs)):
                changes = head_changes.suspend(f"no open route: {pairs[0][1].reason}", now + LONGEST_SLEEP, epoch, now)
                await self._change([head for head, _ in pairs], changes)

    async def suspend(self, heads: Sequence[Head], reason: str, until: datetime, now: datetime) -> None:
        """Out of their queues until then, or until these very requests are woken."""
        await self._change(list(heads), head_changes.suspend(reason, until, None, now))

    async def wake_for_money(self, heads: Sequence[Head], now: datetime) -> None:
        """Back into their queues early."""
        await self._change(list(heads), {**head_changes.resume(now), "reason": "there is money again"})

    async def wake_older_than(self, epoch: int, woken_epoch: int, now: datetime) -> int:
        """Wake a page of those that were suspended before the last change of limits. Returns the epoch up to which all
        are awake."""
        if woken_epoch >= epoch:
            return woken_epoch
        documents = await self._ports.store.query(queries.asleep_before(epoch, PAGE))
        await self._change(heads(self._ports, documents), head_changes.resume(now))
        return epoch if len(documents) < PAGE else woken_epoch

    async def return_to_queue(self, woken: Iterable[Head], now: datetime) -> None:
        """Those that woke and got no slot take their places in the queue: requests of a closed model must not hide
        others."""
        await self._change(list(woken), head_changes.resume(now))

    async def _change(self, heads: list[Head], changes: Fields) -> None:
        updates = (Update(request_record.path(head.request_id), changes, head.version) for head in heads)
        done = await asyncio.gather(*(self._ports.store.commit(update) for update in updates))
        self._fronts.gone(head.request_id for head in heads)
        for head, committed in zip(heads, done, strict=True):
            if isinstance(committed, Committed) and changes["wake_at"] is None:
                self._fronts.left(head)


def _is_shut(full: Blocked, now: datetime) -> bool:
    """Certainly for longer than a request should block others."""
    if full.reason == "zero":
        return True
    return full.lasts and full.until is not None and full.until > now + SLEEP_AFTER


async def wake_from_the_future(ports: Ports, now: datetime) -> None:
    """Those that were suspended by a clock that has been set back since: they would wake too late."""
    after = now
    while True:
        page = await ports.store.query(queries.asleep_since(after, WOKEN_AT_ONCE))
        for document in page:
            if document.is_readable and SleepingRow.from_json(document.data).updated_at > now:
                await ports.store.commit(Update(document.path, head_changes.resume(now), document.version))
        if len(page) < WOKEN_AT_ONCE or not page[-1].is_readable:
            return
        after = SleepingRow.from_json(page[-1].data).wake_at


WOKEN_AT_ONCE = 200
