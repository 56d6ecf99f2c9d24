"""The position of a new request in its queue: behind its own tenant's requests, in turn with other tenants'."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from shared.core.admission.fair_queueing import DEFAULT_WEIGHT, fair_tag, queue_name
from shared.core.lifecycle import queries
from shared.core.records.tenant import TenantRecord, tenant_path
from shared.flows.pump_status import PumpView
from shared.ports import Ports

if TYPE_CHECKING:
    from shared.flows.intake.open_slot import OpenSlots

COUNT_GOOD_FOR = 2.0
"""Seconds: a count over a long queue costs the store more than the write it is for."""


class _Count(Struct):
    at: float
    waiting: int
    """As counted, plus those that this process has queued since."""
    weight: float
    has_budget: bool


class FairTags:
    """One per process."""

    def __init__(self, ports: Ports, view: PumpView) -> None:
        self._ports = ports
        self._view = view
        self._counts: dict[tuple[str, str], asyncio.Future[_Count]] = {}
        self._open_slots: OpenSlots | None = None

    async def next(self, tenant: str, model: str, priority: str) -> float:
        """The tag of one more request of that tenant."""
        count = await self._count(tenant, model, priority)
        waiting, count.waiting = count.waiting, count.waiting + 1
        return fair_tag(await self._view.served(queue_name(model, priority)), waiting, count.weight)

    @property
    def open_slots(self) -> OpenSlots:
        """Loaded when the first request may take one: a start does not wait for it."""
        if self._open_slots is None:
            from shared.flows.intake.open_slot import OpenSlots

            self._open_slots = OpenSlots(self._ports)
        return self._open_slots

    def expect(self, model: str | None) -> None:
        """A request that names this model is being looked up."""
        if self._open_slots is not None:
            self._open_slots.expect(model)

    def placed(self, model: str | None, pool: str | None) -> None:
        """A request that named this model has taken an open slot of `pool`; None: it was queued."""
        if self._open_slots is not None:
            self._open_slots.took(model, pool)

    async def has_budget(self, tenant: str, model: str, priority: str) -> bool:
        """Its money is reserved by the pump, as of at most COUNT_GOOD_FOR ago."""
        return (await self._count(tenant, model, priority)).has_budget

    async def _count(self, tenant: str, model: str, priority: str) -> _Count:
        """One query at a time for one queue, for all callers."""
        key, now = (tenant, queue_name(model, priority)), self._ports.clock.monotonic()
        counting = self._counts.get(key)
        if counting is not None and (not counting.done() or now - (await counting).at < COUNT_GOOD_FOR):
            return await counting
        self._counts = {pair: count for pair, count in self._counts.items() if not self._is_old(count, now)}
        future: asyncio.Future[_Count] = asyncio.get_running_loop().create_future()
        self._counts[key] = future
        try:
            waiting, owner = await asyncio.gather(
                self._ports.store.count(queries.waiting_of(tenant, model, priority)),
                self._ports.store.get(tenant_path(tenant)),
            )
            record = TenantRecord.of(owner)
        except BaseException as error:
            del self._counts[key]
            future.set_exception(error)
            future.exception()  # waiting callers get it; without any it is ignored
            raise
        weight = DEFAULT_WEIGHT if record.weight is None else record.weight
        future.set_result(_Count(now, waiting, weight, (record.budget or self._ports.default_budget) is not None))
        return future.result()

    @staticmethod
    def _is_old(future: asyncio.Future[_Count], now: float) -> bool:
        return future.done() and now - future.result().at >= COUNT_GOOD_FOR
