"""The proofs of gateways: reading them for the pump, recording evidence, and the small logged test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.core.catalogue import gateway_proof
from shared.core.catalogue.catalogue import Catalogue, Gateway
from shared.core.catalogue.gateway_proof import GatewayProof, ProofEvidence
from shared.core.provider.call import Answer, Made, Order
from shared.core.provider.failure import Failure
from shared.core.routing import gateway
from shared.core.values.documents import Committed, Create, Document, Update, Write
from shared.core.values.money import usd
from shared.core.values.route import GATEWAY
from shared.ports.clock import Clock
from shared.ports.lanes import Lane
from shared.ports.store import Store

LEAVES_WITHIN = timedelta(seconds=30)


async def read_proofs(store: Store, names: Sequence[str]) -> dict[str, GatewayProof]:
    """By name; an empty one if nothing is recorded."""
    documents = await store.get_all([gateway_proof.path(name) for name in names])
    return {
        name: GatewayProof.from_json(document.data) if isinstance(document, Document) else GatewayProof()
        for name, document in zip(names, documents, strict=True)
    }


async def read_off(
    store: Store, catalogue: Catalogue, gateways: Mapping[str, Sequence[str]], now: datetime
) -> Mapping[str, str | None]:
    """Why nothing goes to the gateways in use, by name; None = the proof is complete. `gateways` by model."""
    names = sorted({name for item in gateways.values() for name in item})
    proofs = await read_proofs(store, names)
    declared = {name: catalogue.gateways[name] for name in names}
    return {
        name: proofs[name].off(name, gateway.fingerprint(item), now, item.fresh_for) for name, item in declared.items()
    }


async def record(
    store: Store, catalogue: Catalogue, name: str, item: str, text: str, by: str, facts: Mapping[str, Any] | None = None
) -> ProofEvidence:
    """Record one item's evidence, replacing any earlier one. Raises ProofRefused."""
    about = gateway.fingerprint(catalogue.gateways[name])
    while True:
        document = await store.get(gateway_proof.path(name))
        now = document.read_at
        before = GatewayProof.from_json(document.data) if isinstance(document, Document) else GatewayProof()
        evidence = ProofEvidence(text.strip(), by.strip(), now, about, facts or {})
        data = before.with_item(item, evidence).to_json() | {"updated_at": now}
        write: Write = (
            Update(document.path, data, document.version)
            if isinstance(document, Document)
            else Create(document.path, data)
        )
        if isinstance(await store.commit(write), Committed):
            return evidence


async def prove(
    store: Store, catalogue: Catalogue, lane: Lane, clock: Clock, name: str, model: str, by: str
) -> ProofEvidence:
    """The small logged test: one charged call, whose facts are recorded whether it passed or not."""
    provider = catalogue.gateways[name]
    started_at = clock.now()
    size = "1K" if "1K" in provider.sizes else provider.sizes[0]
    order = Order(
        request_id=f"proof-{name}-{started_at:%Y%m%dT%H%M%S}",
        model=model,
        lane=GATEWAY,
        prompt=gateway_proof.TEST_PROMPT,
        image_size=size if catalogue.models[model].sends_image_size else None,
        aspect_ratio=None,
        gateway=name,
    )
    await lane.prepare()
    began = clock.monotonic()
    answer = await lane.generate(order, gateway.timeout(provider, size), _at_once)
    latency_ms = round((clock.monotonic() - began) * 1000)
    facts = _facts(provider, order, answer, started_at, latency_ms)
    return await record(store, catalogue, name, gateway_proof.TEST, _text(facts), by, facts)


async def _at_once() -> timedelta:
    """A proof does not wait for a slot."""
    return LEAVES_WITHIN


def _facts(provider: Gateway, order: Order, answer: Answer, at: datetime, latency_ms: int) -> dict[str, Any]:
    """What the provider's log should say about the same call."""
    price = gateway.price(provider, order.model, 0)
    provider_name = gateway.alias(provider, order.model)
    common = {
        "prompt_sha256": hashlib.sha256(order.prompt.encode()).hexdigest(),
        "model": order.model,
        "asked_as": provider_name,
        "returned_model": answer.model,
        "latency_ms": latency_ms,
        "started_at": at,
        "http_status": answer.http_status,
        "provider_request_id": answer.provider_request_id,
    }
    match answer:
        case Made(picture=picture):
            passed = answer.model in (order.model, provider_name)
            outcome = "made" if passed else f"{answer.model} served, and {provider_name} was asked for"
            cost = gateway.of_made(price)
            size = {"width": picture.width, "height": picture.height}
        case Failure():
            passed, outcome, size = False, f"{answer.kind.value}: {answer.message}", {}
            cost = gateway.of_failed(provider, answer, price)
    return common | size | {"passed": passed, "outcome": outcome} | cost.to_json()


def _text(facts: Mapping[str, Any]) -> str:
    cost = f"${usd(facts['cost_micros'])}" if facts["cost_basis"] != "unknown" else "cost unknown"
    return f"{facts['outcome']}; HTTP {facts['http_status']}, {facts['latency_ms']} ms, {cost} by the catalogue"
