"""A guard for what is paid: an image that was made is stored, or kept until it can be, and never bought again.

1. The image is put into the image store. Where that fails, it is kept in the spool at once (a disk, a bucket), with all
   that settling it needs, and storing it is tried for a minute more.
2. Where it is kept and still not stored, the worker lets go: the request stays `rendering` with a reason that says so,
   and its lease ends in a minute. A process that finds a lapsed lease (`watch`, a redelivery, the start of the
   one-machine home) calls `what_is_left`, tries again, and where that fails sets the lease another minute on.
3. Stored, the image leaves the spool and the request settles as `succeeded`, with one charge.
4. After `KeepRules.keep_for` the request ends `failed` / `image_store`, with the place of the bytes, which stay there.

Where neither place takes the image, it is held in memory for `KeepRules.hold_for`, and both are tried. A death between
any two steps is found by the lapsed lease: the image is in the store, in the spool, or in both, and the store wins.
A request that waits here counts as an attempt in flight: with a bucket away for long, nothing more is bought.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.core.lifecycle import request_record
from shared.core.observability import events, spans
from shared.core.provider import kept_image
from shared.core.provider.call import Made
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.kept_image import KeptImage
from shared.core.provider.stored_image import Delivered, Ending
from shared.core.records.versioned import Attempt, Request, request_in, update
from shared.core.values.documents import Committed, Document
from shared.flows import tracing
from shared.flows.requests.output_format import in_format
from shared.ports import Ports
from shared.ports.images import ImagesUnavailable

TRIES = 6
"""About a minute in total, before a kept image is left to other processes."""
LONGEST_PAUSE = 30.0
RUNBOOK = "paid-image-waits"


async def store_image(ports: Ports, request: Request, number: int, made: Made) -> Delivered | KeptImage | Failure:
    """Put a paid image away with all that settling it needs: stored, else kept, else (if neither is possible) lost."""
    made = await in_format(ports, request, made)
    key = _key(request, number) + made.picture.extension
    facts = Delivered.of(made, "").to_facts()
    began_at, since = ports.clock.now(), ports.clock.monotonic()
    in_spool: KeptImage | None = None
    tries = 0
    while True:
        tries += 1
        try:
            stored = await ports.images.put(key, made.picture, facts)
        except ImagesUnavailable as error:
            in_spool = in_spool or await _keep(ports, key, made, facts)
            waited = timedelta(seconds=ports.clock.monotonic() - since)
            if tries >= TRIES and (in_spool is not None or waited >= ports.keep_rules.hold_for):
                _trace(ports, request, number, made, began_at, tries, FailureKind.IMAGE_STORE.value)
                return in_spool or _lost(made, str(error))
            pause = min(2.0 ** (tries - 1), LONGEST_PAUSE)
            await ports.clock.sleep(pause * (0.5 + 0.5 * ports.chance()))
            continue
        _trace(ports, request, number, made, began_at, tries)
        if in_spool is not None:
            await _let_go(ports, in_spool)
        return Delivered.of(made, stored.uri)


async def keep_waiting(ports: Ports, request: Request, reason: str) -> None:
    """Let the request wait, `rendering`, until storing is tried again. A newer state written by another process
    stays."""
    number = request.record.attempt_count
    while request.record.status == "rendering" and request.record.attempt_count == number:
        now = max(ports.clock.now(), request.read_at)
        waiting = replace(
            request.record,
            reason=reason,
            lease_holder=ports.boot,
            lease_until=now + kept_image.RETRY_EVERY,
            collect_at=None,
            updated_at=now,
        )
        if isinstance(await ports.store.commit(update(request, waiting)), Committed):
            if request.record.reason != reason:
                ports.signals.emit(
                    events.ESCALATION, what=reason, request_id=request.id, runbook=RUNBOOK,
                    trace_id=request.record.trace_id,
                )  # fmt: skip
            return
        newer = await ports.store.get(request.path)
        if not isinstance(newer, Document):
            return
        request = request_in(newer)


async def what_is_left(ports: Ports, request: Request, attempt: Attempt) -> Ending | None:
    """How an attempt ends whose worker is gone: by its image, or as crashed. None: its image waits to be stored."""
    key = _key(request, attempt.record.number)
    in_spool: KeptImage | None = None
    try:
        stored = await ports.images.find(key)
        in_spool = await ports.spool.find(key)
        if stored is None and in_spool is None:
            return Failure(FailureKind.CRASHED, "The worker stopped during the attempt.")
        if stored is None:
            assert in_spool is not None
            picture = await ports.spool.read(in_spool)
            stored = await ports.images.put(in_spool.key, picture, in_spool.facts)
    except ImagesUnavailable as error:
        in_spool = in_spool or await _look_in_spool(ports, key)
        now = max(ports.clock.now(), request.read_at)
        if kept_image.gives_up(attempt.record.started_at, now, ports.keep_rules):
            return _given_up(in_spool, str(error))
        reason = kept_image.unseen_reason() if in_spool is None else kept_image.reason(in_spool.place)
        await keep_waiting(ports, request, reason)
        return None
    if in_spool is not None:
        await _let_go(ports, in_spool)
    facts = stored.facts or (in_spool.facts if in_spool is not None else {})
    if not facts:
        return Failure(FailureKind.CRASHED, f"The worker stopped; nothing is known of the image at {stored.uri}.")
    return Delivered.from_facts(stored.uri, facts)


async def _keep(ports: Ports, key: str, made: Made, facts: dict[str, str]) -> KeptImage | None:
    try:
        return await ports.spool.keep(key, made.picture, facts)
    except ImagesUnavailable:
        return None  # as long as it is in memory it is tried again


async def _look_in_spool(ports: Ports, key: str) -> KeptImage | None:
    try:
        return await ports.spool.find(key)
    except ImagesUnavailable:
        return None


async def _let_go(ports: Ports, in_spool: KeptImage) -> None:
    try:
        await ports.spool.drop(in_spool)
    except ImagesUnavailable:
        pass  # it is stored: a copy too many costs room and nothing else


def _lost(made: Made, reason: str) -> Failure:
    return Failure(
        FailureKind.IMAGE_STORE, f"{reason}; it could not be kept elsewhere either", http_status=made.http_status,
        provider_request_id=made.provider_request_id, usage=made.usage, model=made.model, lane=made.lane,
    )  # fmt: skip


def _given_up(in_spool: KeptImage | None, reason: str) -> Failure:
    if in_spool is None:
        return Failure(FailureKind.CRASHED, f"The worker stopped during the attempt, and {reason}.")
    of = Delivered.from_facts("", in_spool.facts)
    return Failure(
        FailureKind.IMAGE_STORE, f"{reason}. The image is kept at {in_spool.place}.", http_status=200,
        provider_request_id=of.provider_request_id, usage=of.usage, model=of.model, lane=of.lane,
    )  # fmt: skip


def _key(request: Request, number: int) -> str:
    return request_record.image_key(request.id, request.record.tenant, request.record.created_at, number)


def _trace(
    ports: Ports, request: Request, number: int, made: Made, began_at: datetime, tries: int, failed: str | None = None
) -> None:
    parent = tracing.attempt_of(request.record, number)
    tracing.write(
        ports, spans.STORE_IMAGE, tracing.below(ports, parent), parent, began_at, ports.clock.now(), failed=failed,
        request_id=request.id, attempt=number, image_bytes=len(made.picture.data), tries=tries,
    )  # fmt: skip
