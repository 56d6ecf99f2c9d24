"""Ending an attempt in one commit, whoever does it: the worker, a redelivery, the watch, or a restart."""

from __future__ import annotations

from shared.core import ledger, record, settlement, signals
from shared.core.answer import Made
from shared.core.documents import Committed, Document, Update
from shared.core.failure import Failure, FailureKind
from shared.core.route import Route
from shared.core.settlement import Delivered, Effect, Ending
from shared.flows.announce import announce
from shared.ports import ImagesUnavailable, Ports

STORE_IMAGE_ATTEMPTS = 6
"""A paid image is worth some patience: about a minute in all."""


async def store_image(ports: Ports, request: Document, number: int, made: Made) -> Delivered | Failure:
    """Put a paid image away with all that settling it needs. It exists from here on, whatever happens to us."""
    key = record.image_key(request.id, request.data["tenant"], request.data["created_at"], number)
    for attempt in range(STORE_IMAGE_ATTEMPTS):
        delivered = Delivered.of(made, "")
        try:
            stored = await ports.images.put(key + made.picture.extension, made.picture, delivered.to_facts())
        except ImagesUnavailable as error:
            failure = Failure(
                FailureKind.IMAGE_STORE,
                str(error),
                http_status=made.http_status,
                provider_request_id=made.provider_request_id,
                usage=made.usage,
                model=made.model,
                lane=made.lane,
            )
            await ports.clock.sleep(2.0**attempt * (0.5 + 0.5 * ports.chance()))
            continue
        return Delivered.of(made, stored.uri)
    return failure


async def settle(ports: Ports, request: Document, attempt: Document, ending: Ending, latency_ms: int) -> Effect:
    """Commit the end of `attempt`; on a lost race read again and book what is owed, whatever the status is by then."""
    while True:
        now = max(ports.clock.now(), request.read_at)
        settled = settlement.settle(
            request,
            attempt,
            ending,
            ports.catalogue,
            now=now,
            latency_ms=latency_ms,
            jitter=ports.chance(),
            shard=int(ports.chance() * ledger.SHARDS),
        )
        if settled.effect == "settled before":
            return settled.effect
        committed = await ports.store.commit(*settled.writes)
        if isinstance(committed, Committed):
            await _report(ports, request, attempt, ending, settled, committed, latency_ms)
            return settled.effect
        await ports.clock.sleep(0.02 * ports.chance())
        request, attempt = await _read_again(ports, request, attempt)


async def recover(ports: Ports, request: Document) -> Effect:
    """End an attempt whose worker is gone: from its stored image where there is one, else as crashed."""
    number = request.data["attempt_count"]
    attempt = await ports.store.get(record.attempt_path(request.id, number))
    assert isinstance(attempt, Document), "the attempt is on record before a request is rendering"
    key = record.image_key(request.id, request.data["tenant"], request.data["created_at"], number)
    stored = await ports.images.find(key)
    ending: Ending
    if stored is not None:
        ending = Delivered.from_facts(stored.uri, stored.facts)
    else:
        ending = Failure(FailureKind.CRASHED, "The worker stopped during the attempt.")
    latency = request.read_at - attempt.data["started_at"]
    effect = await settle(ports, request, attempt, ending, int(latency.total_seconds() * 1000))
    ports.signals.emit(signals.RECOVERED, request_id=request.id, attempt=number, effect=effect)
    return effect


async def _read_again(ports: Ports, request: Document, attempt: Document) -> tuple[Document, Document]:
    now_request, now_attempt = await ports.store.get_all([request.path, attempt.path])
    assert isinstance(now_request, Document), "requests are never deleted within their time"
    assert isinstance(now_attempt, Document), "attempts are never deleted once their call has left"
    return now_request, now_attempt


async def _report(
    ports: Ports,
    request: Document,
    attempt: Document,
    ending: Ending,
    settled: settlement.Settlement,
    committed: Committed,
    latency_ms: int,
) -> None:
    """Say what was settled, then announce a result that has become final."""
    changed = settled.writes[0]
    assert isinstance(changed, Update)
    after = Document(request.path, {**request.data, **changed.changes}, committed.versions[0], committed.at)
    ports.signals.emit(
        signals.ATTEMPT_ENDED,
        request_id=request.id,
        attempt=attempt.data["number"],
        route=str(Route.from_json(attempt.data["route"])),
        outcome="succeeded" if isinstance(ending, Delivered) else ending.kind.value,
        http_status=200 if isinstance(ending, Delivered) else ending.http_status,
        latency_ms=latency_ms,
        effect=settled.effect,
        provider_request_id=ending.provider_request_id,
        trace_id=request.data["trace_id"],
    )
    closed = settled.writes[1]
    assert isinstance(closed, Update)
    if closed.changes["cost_micros"] > attempt.data["estimate_micros"]:
        ports.signals.emit(
            signals.COST_OVER_ESTIMATE,
            request_id=request.id,
            attempt=attempt.data["number"],
            route=str(Route.from_json(attempt.data["route"])),
            cost_micros=closed.changes["cost_micros"],
            estimate_micros=attempt.data["estimate_micros"],
        )
    if settled.effect == "final":
        ports.signals.emit(
            signals.FINISHED,
            request_id=request.id,
            status=after.data["status"],
            outcome=after.data["outcome"]["code"],
            cost_micros=after.data["cost_micros"],
            trace_id=request.data["trace_id"],
        )
        await announce(ports, after)
