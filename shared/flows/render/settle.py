"""Ending an attempt in one commit, in any process: the worker, a redelivery, the watch, or a restart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.core.accounting import ledger
from shared.core.lifecycle import awaiting, request_record, settlement, transitions
from shared.core.lifecycle.settlement import Effect, SettledBefore, Settlement
from shared.core.observability import events, spans
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.outcome_code import PlainEnd
from shared.core.provider.stored_image import Delivered, Ending
from shared.core.records.versioned import Attempt, Request, attempt_in, committed, request_in, update
from shared.core.values.documents import Committed, Document, InvalidDocument
from shared.core.values.lanes import BATCH
from shared.flows import tracing
from shared.flows.requests import paid_image
from shared.flows.requests.item_by_item import attempt as guarded
from shared.flows.requests.item_by_item import report
from shared.flows.requests.result_events import Tidy, ended
from shared.ports import Ports


async def settle(
    ports: Ports,
    request: Request,
    attempt: Attempt,
    ending: Ending,
    latency_ms: int,
    *,
    is_own: bool = False,
    interaction_id: str | None = None,
    tidy: Tidy | None = None,
) -> Effect:
    """Commit the end of `attempt`; after a lost race read again and book what is owed, with any status by then.

    `is_own`: others are served by the same key and project, so a denial is about this request. `interaction_id`: the
    provider's record of this attempt, which `tidy` deletes.
    """
    began_at = ports.clock.now()
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
            is_own=is_own,
            interaction_id=interaction_id,
        )
        if isinstance(settled, SettledBefore):
            return "settled before"
        try:
            answer = await ports.store.commit(*settled.writes())
        except InvalidDocument as error:
            if ending == (bare := settlement.bare(ending)):
                raise
            report(ports, "settle an attempt with all that its answer said", attempt.path, error)
            ending = bare
            continue
        if isinstance(answer, Committed):
            _trace(ports, settled, began_at, now)
            await _report(ports, ending, settled, answer, tidy)
            return settled.effect
        await ports.clock.sleep(0.02 * ports.chance())
        request, attempt = await _read_again(ports, request, attempt)


def _trace(ports: Ports, settled: Settlement, began_at: datetime, now: datetime) -> None:
    """Write the attempt span and its `settle` child. If the attempt was already closed as crashed, write the late
    result as a linked span instead."""
    request, opened, closed = settled.request, settled.attempt.record, settled.closed
    root, own = tracing.root_of(request.record), tracing.attempt_of(request.record, opened.number)
    given_up = opened.outcome is not None
    place = own.named("late") if given_up else own
    outcome = settled.outcome.code
    tracing.write(
        ports, spans.ATTEMPT, place, root, opened.started_at, now, links=(own,) if given_up else (),
        failed=None if outcome == "succeeded" else outcome, request_id=request.id, attempt=opened.number,
        route=str(opened.route), flags=opened.flags, reasons=opened.route_reasons, outcome=outcome,
        effect=settled.effect, http_status=closed.http_status, cost_micros=closed.cost_micros,
        cost_basis=closed.cost_basis, latency_ms=closed.latency_ms, key_kind=opened.key_kind,
        recovered=opened.route.lane != BATCH and opened.holder != ports.boot,
    )  # fmt: skip
    tracing.write(
        ports, spans.SETTLE, tracing.below(ports, place), place, began_at, ports.clock.now(), request_id=request.id,
        attempt=opened.number, effect=settled.effect, cost_micros=closed.cost_micros,
    )  # fmt: skip


AWAY_AFTER = 3
"""Images in a row that could not be stored: the image store is down, and each try takes long."""


async def recover_all(ports: Ports, requests: Sequence[Document]) -> int:
    """Recover each of them, in any order: one image that can never be stored must not block the others.

    Returns how many were recovered or left waiting; a document that stops its own recovery is reported and not counted.
    """
    failed = settled = 0
    for request in sorted(requests, key=lambda _: ports.chance()):
        step = _recovered(ports, request, is_away=failed >= AWAY_AFTER)
        effect = await guarded(ports, "recover an attempt", request.path, step)
        failed = failed + 1 if effect == "kept" else 0
        settled += effect is not None
    return settled


async def _recovered(ports: Ports, document: Document, *, is_away: bool) -> Effect:
    request = request_in(document)
    if is_away and request.record.reason is not None:
        await paid_image.keep_waiting(ports, request, request.record.reason)
        return "kept"
    return await recover(ports, request)


async def recover(ports: Ports, request: Request) -> Effect:
    """End an attempt whose worker is gone: by its image if there is one, else as crashed.

    An image that cannot be stored yet ends nothing: see `shared.flows.requests.paid_image`. Nor does a background call
    that a webhook may still name.
    """
    number = request.record.attempt_count
    document = await ports.store.get(request_record.attempt_path(request.id, number))
    assert isinstance(document, Document), "the attempt is on record before a request is rendering"
    attempt = attempt_in(document)
    ending = await paid_image.what_is_left(ports, request, attempt)
    if ending is None:
        return "kept"
    if isinstance(ending, Failure) and ending.kind is FailureKind.CRASHED and await _may_be_named(ports, request):
        return "awaiting"
    latency = request.read_at - attempt.record.started_at
    effect = await settle(ports, request, attempt, ending, int(latency.total_seconds() * 1000))
    ports.signals.emit(
        events.RECOVERED, request_id=request.id, attempt=number, effect=effect, trace_id=request.record.trace_id
    )
    return effect


async def _may_be_named(ports: Ports, request: Request) -> bool:
    """Whether it now waits for the webhook that names its interaction. A call that left is not bought again because its
    worker died; if it did not leave, only time is lost."""
    record = request.record
    if not ports.webhooks_name_attempts or not record.is_unnamed(record.attempt_count):
        return False
    now = max(ports.clock.now(), request.read_at)
    usual = None if record.usual_ms is None else timedelta(milliseconds=record.usual_ms)
    until = awaiting.named_by(record.slot_start, usual)
    if now >= until:
        return False
    if record.reason != awaiting.UNNAMED:
        # A conflict: another process works on it, or a webhook has named it.
        await ports.store.commit(update(request, transitions.unnamed(record, awaiting.UNNAMED, until, now)))
        ports.signals.emit(
            events.RECOVERED, request_id=request.id, attempt=record.attempt_count, effect="awaiting",
            trace_id=record.trace_id,
        )  # fmt: skip
    return True


async def _read_again(ports: Ports, request: Request, attempt: Attempt) -> tuple[Request, Attempt]:
    now_request, now_attempt = await ports.store.get_all([request.path, attempt.path])
    assert isinstance(now_request, Document), "requests are never deleted within their time"
    assert isinstance(now_attempt, Document), "attempts are never deleted once their call has left"
    return request_in(now_request), attempt_in(now_attempt)


async def _report(ports: Ports, ending: Ending, settled: Settlement, answer: Committed, tidy: Tidy | None) -> None:
    """Report what was settled, then announce a result that has become final."""
    request, opened, closed = settled.request, settled.attempt.record, settled.closed
    after = committed(request, settled.after, update(request, settled.after), answer)
    ports.signals.emit(
        events.ATTEMPT_ENDED,
        request_id=request.id,
        attempt=opened.number,
        route=str(opened.route),
        outcome=(PlainEnd.SUCCEEDED if isinstance(ending, Delivered) else ending.kind).value,
        http_status=closed.http_status,
        latency_ms=closed.latency_ms,
        effect=settled.effect,
        provider_request_id=ending.provider_request_id,
        trace_id=request.record.trace_id,
    )
    if settled.cost.micros > opened.estimate_micros:
        ports.signals.emit(
            events.COST_OVER_ESTIMATE,
            request_id=request.id,
            attempt=opened.number,
            route=str(opened.route),
            cost_micros=settled.cost.micros,
            estimate_micros=opened.estimate_micros,
            trace_id=request.record.trace_id,
        )
    if settled.effect == "final":
        await ended(ports, after, tidy=tidy)
    elif tidy is not None and (tidied := await tidy(after)) != after.record:
        # A conflict: another process has the request by now. Leftovers are found by their mark.
        await ports.store.commit(update(after, tidied))
