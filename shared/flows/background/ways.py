"""How each granted attempt is called: in the foreground, in the background, or as the one canary of its circuit.

The pump decides this, as it decides all admission: so one canary at a time needs no lock, and a worker reads nothing
but its request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from shared.core.admission.allocation import Grant
from shared.core.admission.open_slots import CalledBy
from shared.core.catalogue.catalogue import Catalogue
from shared.core.routing.background_proof import CANARY_GRACE, BackgroundProof, Proofs, Way
from shared.core.values.lanes import AT_ONCE
from shared.core.values.route import Route
from shared.flows.background import proofs
from shared.ports import Ports

READ_EVERY = 5.0
"""Seconds; 1 while a canary is out."""


class Chosen(Struct, frozen=True):
    way: Way = "foreground"
    usual_ms: int | None = None


FOREGROUND = Chosen()


class Ways:
    """One per lead."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._proofs = Proofs()
        self._due_at = float("-inf")

    async def choose(self, grants: Sequence[Grant], now: datetime) -> Mapping[str, Chosen]:
        """By request; a request that is missing is called in the foreground."""
        ports = self._ports
        if ports.background == "off" or not grants:
            return {}
        await self._read(now)
        chosen: dict[str, Chosen] = {}
        for grant in grants:
            planned, request_id = grant.candidate.planned, grant.candidate.head.request_id
            if not may_be_in_background(ports.catalogue, planned.route):
                continue
            proof = self._proofs.of(planned.route.circuit)
            way = self._way(planned.route, proof, request_id, now)
            if way == "canary" and (planned.probe is not None or not await self._send(planned.route, request_id, now)):
                way = "foreground"
            chosen[request_id] = Chosen(way, proof.usual_ms)
        return chosen

    async def settled(self, models: Collection[str], now: datetime) -> dict[str, CalledBy]:
        """How calls of each circuit of these models are made; none for a circuit that wants a canary or has one under
        way: its result would come too late for a request that starts now."""
        ports, ways = self._ports, {}
        for route in [
            Route(lane, model, "") for model in models if model in ports.catalogue.models for lane in AT_ONCE
        ]:
            way, usual_ms = "foreground", None
            if ports.background != "off" and may_be_in_background(ports.catalogue, route):
                await self._read(now)
                proof = self._proofs.of(route.circuit)
                if proof.has_canary(now):
                    continue
                way, usual_ms = self._way(route, proof, "", now), proof.usual_ms
            if way != "canary":
                ways[route.circuit] = (way, usual_ms)
        return ways

    def _way(self, route: Route, proof: BackgroundProof, request_id: str, now: datetime) -> Way:
        if proof.has_canary(now) and proof.canary == request_id:
            return "canary"  # its last release came to nothing
        hint = self._ports.catalogue.models[route.model].capabilities.background_in(route.lane)
        return proof.way(hint, self._ports.background, now)

    async def _send(self, route: Route, request_id: str, now: datetime) -> bool:
        """Record that this request is the canary. False if another pump was first."""
        until = now + self._ports.catalogue.models[route.model].timeout + CANARY_GRACE

        def decide(proof: BackgroundProof) -> BackgroundProof:
            is_taken = proof.has_canary(now) and proof.canary != request_id
            return proof if is_taken or proof.state == "proven" else proof.with_canary(request_id, until)

        _, after = await proofs.change(self._ports, route.circuit, decide)
        self._proofs = self._proofs.having(route.circuit, after)
        self._due_at = self._ports.clock.monotonic() + 1.0
        return after.canary == request_id

    async def _read(self, now: datetime) -> None:
        monotonic = self._ports.clock.monotonic()
        if monotonic < self._due_at:
            return
        self._proofs, _ = await proofs.read(self._ports)
        is_waiting = any(proof.has_canary(now) for proof in self._proofs.by_circuit.values())
        self._due_at = monotonic + (1.0 if is_waiting else READ_EVERY)


def may_be_in_background(catalogue: Catalogue, route: Route) -> bool:
    """Only Google's interactions have background calls."""
    rates = catalogue.models[route.model].lanes.get(route.lane)
    return route.lane in AT_ONCE and rates is not None and rates.api == "interactions"
