"""The proofs of background calls: one document, read by the pump, written by the workers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from shared.core.observability import events
from shared.core.routing.background_proof import PATH, BackgroundProof, Proofs
from shared.core.values.documents import Absent, Committed, Create, Document, Update, Write
from shared.ports import Ports
from shared.ports.store import Store

USUAL_EVERY = timedelta(seconds=30)
"""The usual time of a proven circuit is corrected at most this often."""


async def read(ports: Ports) -> tuple[Proofs, Document | Absent]:
    """What is known, and the document that holds it."""
    document = await ports.store.get(PATH)
    return (Proofs.from_json(document.data) if isinstance(document, Document) else Proofs()), document


async def change(
    ports: Ports, circuit: str, decide: Callable[[BackgroundProof], BackgroundProof]
) -> tuple[BackgroundProof, BackgroundProof]:
    """The circuit's proof before and after; if nothing changed, nothing is written."""
    while True:
        proofs, document = await read(ports)
        before = proofs.of(circuit)
        after = decide(before)
        if after == before or isinstance(await ports.store.commit(written(proofs.having(circuit, after), document)),
                                         Committed):  # fmt: skip
            return before, after
        await ports.clock.sleep(0.05 * ports.chance())


def written(proofs: Proofs, before: Document | Absent) -> Write:
    data = proofs.to_json()
    return Update(PATH, data, before.version) if isinstance(before, Document) else Create(PATH, data)


async def proven(ports: Ports, circuit: str, request_id: str, took: timedelta) -> None:
    """A background call of this circuit returned its image with its usage."""

    def decide(proof: BackgroundProof) -> BackgroundProof:
        is_known = proof.state == "proven" and proof.seen_at is not None
        if is_known and proof.seen_at is not None and now - proof.seen_at < USUAL_EVERY:
            return proof
        return proof.proven(f"request {request_id} brought its image with its usage", took, now)

    now = ports.clock.now()
    before, after = await change(ports, circuit, decide)
    if before.state != "proven" and after.state == "proven":
        seconds = round(took.total_seconds(), 1)
        ports.signals.emit(events.BACKGROUND_PROVEN, circuit=circuit, request_id=request_id, seconds=seconds)


async def refused(ports: Ports, circuit: str, request_id: str, why: str) -> None:
    """The provider refused a background call, or its canary did not finish. Calls already under way when the first was
    refused add nothing."""

    def decide(proof: BackgroundProof) -> BackgroundProof:
        is_known = proof.state == "refused" and proof.canary != request_id
        return proof if is_known else proof.refused(why, now)

    now = ports.clock.now()
    before, after = await change(ports, circuit, decide)
    if after != before:
        ports.signals.emit(
            events.BACKGROUND_REFUSED, circuit=circuit, request_id=request_id, why=why, probe_at=after.probe_at
        )


async def inconclusive(ports: Ports, circuit: str, request_id: str) -> None:
    """A canary ended in a way that says nothing about background calls."""
    await change(ports, circuit, lambda proof: proof.inconclusive(request_id))


async def reset(store: Store, circuit: str) -> BackgroundProof:
    """By hand: the next call is a canary. Returns the proof as it was."""
    while True:
        document = await store.get(PATH)
        proofs = Proofs.from_json(document.data) if isinstance(document, Document) else Proofs()
        before = proofs.of(circuit)
        write = written(proofs.having(circuit, before.reset(document.read_at)), document)
        if isinstance(await store.commit(write), Committed):
            return before
