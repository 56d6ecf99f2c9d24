"""The lane `gateway`: each order goes to the provider that it names, under that provider's name for the model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from msgspec.structs import replace

from shared.adapters.gateway.openai_lane import OpenAiLane
from shared.adapters.gemini import http_call
from shared.adapters.gemini.generate_content_lane import GenerateContentLane
from shared.adapters.gemini.paid_images import PaidImages, Sleep
from shared.core.catalogue.catalogue import Gateway
from shared.core.provider.call import Answer, Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.routing import gateway
from shared.core.values.route import GATEWAY
from shared.ports.lanes import AtSlot, Lane


class GatewayLane:
    """The Lane port on all gateways that have a key here, by name. Their keys and clients are separate; nothing of
    Google's is sent there."""

    def __init__(self, gateways: Mapping[str, Gateway], lanes: Mapping[str, Lane]) -> None:
        self._gateways = gateways
        self._lanes = lanes

    async def prepare(self) -> None:
        await asyncio.gather(*(lane.prepare() for lane in self._lanes.values()))

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        """The answer names the model by the catalogue's id if the provider named it by its own alias."""
        lane = self._lanes.get(order.gateway)
        if lane is None:
            return Failure(FailureKind.CREDENTIAL, f"this worker has no key of the gateway {order.gateway}")
        called = gateway.alias(self._gateways[order.gateway], order.model)
        answer = await lane.generate(replace(order, model=called, lane=GATEWAY), timeout, at_slot)
        return replace(answer, model=order.model if answer.model == called else answer.model, lane=GATEWAY)

    async def close(self) -> None:
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))


def lane_of(provider: Gateway, api_key: str, *, sleep: Sleep = asyncio.sleep) -> Lane:
    """The lane of one gateway in the form that it speaks; `sleep` between attempts to fetch a picture. Raises
    ValueError for a key that could never work."""
    http_call.check_base_url(provider.base_url)
    paid = PaidImages(provider.base_url, hosts=provider.image_hosts, sleep=sleep)
    match provider.form:
        case "native":
            return GenerateContentLane(api_key, provider.base_url, bearer=True, paid=paid)
        case "chat" | "images":
            return OpenAiLane(api_key, provider.base_url, provider.form, modalities=provider.modalities, paid=paid)
