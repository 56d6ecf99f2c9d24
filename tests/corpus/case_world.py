"""The worker's world of one case: the usual one in memory, with the real lanes and SDK against a real HTTP server."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from shared.adapters.gateway.router import GatewayLane, lane_of
from shared.adapters.gemini.api_router import ByApiLane
from shared.adapters.gemini.generate_content_lane import GenerateContentLane
from shared.adapters.gemini.interactions_lane import GeminiLane
from shared.adapters.gemini_batch.batches import GeminiBatches
from shared.adapters.object_storage.references import AllowedReferences
from shared.core.catalogue.catalogue import Catalogue, Gateway
from shared.core.catalogue.gateway_proof import ITEMS, TEST, GatewayProof, ProofEvidence
from shared.core.catalogue.gateway_proof import path as proof_path
from shared.core.provider.call import Answer, Order
from shared.core.routing import gateway
from shared.core.routing.flag import Flag
from shared.core.routing.gateway import serving
from shared.core.values.documents import Create
from shared.flows import pump_status, wakeups
from shared.flows.intake import fair_queue
from shared.flows.operations import flags
from shared.flows.pump import loop
from shared.flows.render import limit_reports
from shared.ports.lanes import AtSlot, Lane
from tests.corpus.case import Case
from tests.corpus.stand_in import StandIn
from tests.corpus.virtual_loop import LoopClock, VirtualLoop
from tests.fakes.virtual_clock import START
from tests.world import World, shipped_catalogue

KEY = "AQ.a-key-of-nobody-0123456789"
GATEWAY_FORMS: Mapping[str, str] = {
    "chat": "gemini-3-pro-image",
    "images": "gemini-nano-banana-2.1",
    "native": "gemini-3.1-flash-lite-image",
}
"""Three gateways, each with one model: the model that a request names chooses the form."""


class CorpusWorld(World):
    """A world whose lanes call a real server."""

    def __init__(self, case: Case, provider: StandIn, loop: VirtualLoop, folder: Path) -> None:
        self._case = case
        self._loop = loop
        self._catalogue = _catalogue(case, provider.url)
        self._google = _Busy(loop, _google(self._catalogue, provider.url, loop))
        self._gateways = _Busy(loop, _gateways(self._catalogue))
        self._batches = _BusyBatches(loop, GeminiBatches(KEY, provider.url))
        self._references = _BusyReferences(loop, AllowedReferences([f"file://{folder}"]))
        super().__init__(quota="*=rpm:600", clock=LoopClock(loop, START))  # type: ignore[arg-type]

    def boot(self) -> None:
        self.catalogue = self._catalogue
        super().boot()
        lanes = dict.fromkeys(("standard", "priority", "flex"), self._google)
        served = serving(self.catalogue, self.catalogue.gateways)
        self.ports = replace(
            self.ports,
            lanes={**lanes, "gateway": self._gateways},
            gateways=served,
            batches=self._batches,
            references=self._references,
        )
        view = pump_status.PumpView(self.ports)
        self.kicks = wakeups.Kicks(self.ports, view)
        self.tags = fair_queue.FairTags(self.ports, view)
        self.evidence = limit_reports.Evidence(self.ports)
        self.pump = loop.Pump(self.ports, self.kicks)

    async def prove(self) -> None:
        """Open the gateways, where the case has any."""
        if not self._case.gateways:
            return
        now = self.clock.now()
        for name, row in self.catalogue.gateways.items():
            about = gateway.fingerprint(row)
            items = {
                item: ProofEvidence("seen", "ann", now, about, {"passed": True} if item == TEST else {})
                for item in ITEMS
            }
            await self.store.commit(Create(proof_path(name), GatewayProof(items).to_json()))
        flag = Flag("use-gateway-ann", "use-gateway", "ann", "Google is slow", now, now + timedelta(days=1))
        await flags.trip(self.store, self.signals, flag)

    async def close(self) -> None:
        await self._google.close()
        await self._gateways.close()
        await self._batches.close()

    def in_ledger(self, amount: str) -> int:
        return sum(document.data.get(amount, 0) for document in self.store.all("ledger"))


def _catalogue(case: Case, url: str) -> Catalogue:
    shipped = shipped_catalogue()
    row = shipped.gateways["laozhang"]
    gateways = {form: _gateway(row, form, model, url) for form, model in GATEWAY_FORMS.items()}
    models = dict(shipped.models)
    if case.generate or case.form == "generate":
        for name, model in models.items():
            lanes = {lane: replace(rates, api="generate_content") for lane, rates in model.lanes.items()}
            models[name] = replace(model, lanes=lanes)
    return replace(shipped, gateways=gateways, models=models)


def _gateway(row: Gateway, form: Any, model: str, url: str) -> Gateway:
    sizes = row.sizes if form == "native" else ("1K",)
    return replace(row, base_url=url, form=form, sizes=sizes, prices={model: row.prices[model]}, edit_prices={})


def _google(catalogue: Catalogue, url: str, loop: VirtualLoop) -> Lane:
    lanes: dict[Any, Lane] = {
        "interactions": GeminiLane(KEY, url),
        "generate_content": GenerateContentLane(KEY, url),
    }
    return ByApiLane(catalogue, lanes)


def _gateways(catalogue: Catalogue) -> Lane:
    return GatewayLane(catalogue.gateways, {name: lane_of(row, KEY) for name, row in catalogue.gateways.items()})


class _Busy:
    """A lane: the loop knows from the slot on that bytes are moving."""

    def __init__(self, loop: VirtualLoop, lane: Lane) -> None:
        self._loop = loop
        self._lane = lane

    async def prepare(self) -> None:
        await self._lane.prepare()

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        async def waited() -> timedelta:
            self._loop.busy -= 1
            try:
                return await at_slot()
            finally:
                self._loop.busy += 1

        self._loop.busy += 1
        try:
            return await self._lane.generate(order, timeout, waited)
        finally:
            self._loop.busy -= 1

    async def close(self) -> None:
        await self._lane.close()


class _BusyBatches:
    """The Batches port, the same way."""

    def __init__(self, loop: VirtualLoop, batches: GeminiBatches) -> None:
        self._loop = loop
        self._inner = batches

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def busy(*args: Any, **more: Any) -> Any:
            self._loop.busy += 1
            try:
                answer = await method(*args, **more)
            finally:
                self._loop.busy -= 1
            return self._lines(answer) if name == "results" else answer

        return busy

    async def _lines(self, inner: AsyncIterator[Any]) -> AsyncIterator[Any]:
        while True:
            self._loop.busy += 1
            try:
                line = await anext(inner)
            except StopAsyncIteration:
                return
            finally:
                self._loop.busy -= 1
            yield line


class _BusyReferences(_BusyBatches):
    """The References port, the same way."""

    def __init__(self, loop: VirtualLoop, references: AllowedReferences) -> None:
        self._loop = loop
        self._inner = references  # type: ignore[assignment]
