"""Google's lanes if some routes are called in one form of the API and some in the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from shared.core.catalogue.catalogue import Api, Catalogue
from shared.core.provider.call import Answer, Order
from shared.ports.lanes import AtSlot, Lane


class ByApiLane:
    """The Lane port on both forms: the catalogue says how each lane of each model is called."""

    def __init__(self, catalogue: Catalogue, lanes: Mapping[Api, Lane]) -> None:
        self._catalogue = catalogue
        self._lanes = lanes

    def of(self, api: Api) -> Lane:
        """The lane that calls in this form."""
        return self._lanes[api]

    async def prepare(self) -> None:
        """Only the forms that are used: each has a client of its own."""
        used = {rates.api for model in self._catalogue.models.values() for rates in model.lanes.values()}
        await asyncio.gather(*(lane.prepare() for api, lane in self._lanes.items() if api in used))

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        rates = self._catalogue.models[order.model].lanes[order.lane]
        return await self._lanes[rates.api].generate(order, timeout, at_slot)

    async def close(self) -> None:
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
