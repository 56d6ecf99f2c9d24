"""One request as the store keeps it: `requests/{key}` and `requests/{key}/attempts/{n}`; see request_key.py."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from shared.core.accounting.budget import Reservation
from shared.core.messages.render_request import RenderRequest, hash_of_content
from shared.core.messages.request_key import id_of, key_of, keys_of
from shared.core.provider.outcome import Outcome
from shared.core.records.request import FINAL as FINAL
from shared.core.records.request import UnusedSlot
from shared.core.routing.background_proof import Way
from shared.core.routing.context import NO_HISTORY, RequestHistory
from shared.core.routing.ladder import Planned
from shared.core.routing.requirements import Requirements
from shared.core.values.documents import Fields
from shared.core.values.route import Route
from shared.core.values.trace_context import Place

LEASE = timedelta(seconds=45)
RENEW_EVERY = timedelta(seconds=15)
KEEP_FOR = timedelta(days=30)
"""How long an id is remembered after its end."""

COUNTS = {
    "attempt_count": 0,
    "failure_count": 0,
    "ambiguous_count": 0,
    "no_image_count": 0,
    "crash_count": 0,
    "late_count": 0,
    "fetch_count": 0,
    "unclaimed_count": 0,
    "start_count": 0,
    "wait_count": 0,
    "denied_count": 0,
    "probe_count": 0,
}
"""fetch_count: fetching its references was begun so often without a call after it.
unclaimed_count: so many releases in a row were not taken up. start_count: so many of them were begun by a worker that
was not heard of again.

failure_count and the three after it are of this round; attempt numbers go on through rounds."""

NOT_AWAITING: Mapping[str, Any] = {"collect_at": None, "stopping": None}
"""It waits for no interaction."""

HEAD_FIELDS = (
    "ask", "model", "priority", "tenant", "fair_tag", "deadline", "round", "release", "unused_slot", "late_count",
    "wake_at", "cost_micros", "unknown_estimate_micros", "avoided", "sick_on", "no_image_count",
    "traceparent", "queued_at",
)  # fmt: skip


class Head(Struct, frozen=True):
    """A queued request as the pump sees it: no prompt, no references."""

    request_id: str
    """Its key."""
    version: str
    ask: Requirements
    model: str
    """The model id it queues for."""
    priority: str
    tenant: str
    fair_tag: float
    deadline: datetime | None
    round: int
    release: int
    unused_slot: UnusedSlot | None
    late_count: int
    sleeps: bool
    """It has a `wake_at`, and is no part of its queue until that is taken away."""
    course: RequestHistory = NO_HISTORY
    traceparent: str = ""
    queued_at: datetime | None = None
    """When its present wait began."""

    @classmethod
    def of(cls, request_id: str, version: str, data: Fields) -> Head:
        unused = data["unused_slot"]
        return cls(
            request_id=request_id,
            version=version,
            ask=Requirements.from_json(data["ask"]),
            model=data["model"],
            priority=data["priority"],
            tenant=data["tenant"],
            fair_tag=data["fair_tag"],
            deadline=data["deadline"],
            round=data["round"],
            release=data["release"],
            unused_slot=UnusedSlot.from_json(unused) if unused else None,
            late_count=data["late_count"],
            sleeps=data["wake_at"] is not None,
            course=course_of(request_id, data),
            traceparent=data["traceparent"],
            queued_at=data["queued_at"],
        )

    @property
    def trace_id(self) -> str | None:
        place = Place.parse(self.traceparent)
        return None if place is None else place.trace_id


def course_of(request_id: str, data: Fields) -> RequestHistory:
    """What the request has been through."""
    return RequestHistory(
        request_id=request_id,
        tenant=data["tenant"],
        deadline=data["deadline"],
        spent_micros=data["cost_micros"] + data["unknown_estimate_micros"],
        avoided=data["avoided"],
        sick_on=data["sick_on"],
        no_image_count=data["no_image_count"],
    )


def path(key: str) -> str:
    return f"requests/{key}"


def path_of(tenant: str, request_id: str) -> str:
    """Where a request lies that was accepted since ids are per tenant."""
    return path(key_of(tenant, request_id))


def paths_of(tenant: str, request_id: str) -> tuple[str, str]:
    """Where a request may lie, the usual place first: its document names the tenant (see `is_of`)."""
    first, second = keys_of(tenant, request_id)
    return path(first), path(second)


def is_of(data: Fields, tenant: str) -> bool:
    """Whether a document at one of a tenant's places is that tenant's request, not an older one of another tenant."""
    return bool(data["tenant"] == tenant)


def attempts(key: str) -> str:
    """The collection of a request's attempts."""
    return f"requests/{key}/attempts"


def attempt_path(key: str, number: int) -> str:
    """Zero-padded, so that attempts sort by id."""
    return f"{attempts(key)}/{number:04d}"


def image_key(key: str, tenant: str, created_at: datetime, number: int) -> str:
    """`{tenant}/{created date}/{hash of the id}/{attempt}.`, to which the extension is added."""
    digest = hashlib.sha256(id_of(key).encode()).hexdigest()[:16]
    return f"{tenant}/{created_at.date().isoformat()}/{digest}/{number}."


def new_document(
    request: RenderRequest,
    planned: Planned,
    *,
    fair_tag: float,
    message_id: str,
    trace_id: str,
    traceparent: str,
    now: datetime,
    above: str | None = None,
    caller_span_id: str | None = None,
    published_at: datetime | None = None,
    revives: str | None = None,
) -> dict[str, Any]:
    """A request as intake writes it: queued, unpaid. Every field that a query names is present from the start.

    `traceparent` is the place of its root span, `caller_span_id` the caller's span that the root is a part of,
    `revives` the id of the request that this one is the revival of.
    """
    return {
        "status": "queued",
        "reason": "new",
        "request_id": request.request_id,
        "request": request.to_json(),
        "content_hash": request.content_hash,
        "ask": Requirements.of(request, above).to_json(),
        "tenant": request.tenant,
        "group": request.group,
        "model": planned.route.model,
        "priority": request.priority,
        "fair_tag": fair_tag,
        "wake_at": None,
        "asleep_epoch": None,
        "deadline": request.deadline,
        "round": 1,
        "release": 0,
        "slot_at": None,
        "slot_until": None,
        "unused_slot": None,
        "lease_holder": None,
        "lease_until": None,
        "batch": None,
        "batched_at": None,
        "asked_model": planned.asked_model,
        "route": planned.route.to_json(),
        "route_reasons": list(planned.reasons),
        "thinking": planned.thinking,
        "estimate_micros": planned.estimate_micros,
        "input_tokens": planned.input_tokens,
        "flags": [],
        "next_route": None,
        "least_estimate_micros": planned.least_estimate_micros,
        "last_route": None,
        "avoided": {},
        "sick_on": {},
        "denied_at": {},
        "paid_at": None,
        "probe": None,
        "gateway": planned.gateway,
        "way": "foreground",
        "usual_ms": None,
        "budget": None,
        "interaction_id": None,
        "collect_at": None,
        "stopping": None,
        "leftovers": [],
        "leftovers_at": None,
        **COUNTS,
        "cost_micros": 0,
        "cost_basis": None,
        "cost_unknown_attempts": 0,
        "unknown_estimate_micros": 0,
        "receipt": None,
        "image_uri": None,
        "outcome": None,
        "announce": None,
        "cancel_requested_at": None,
        "revives": revives,
        "revived_as": None,
        "revived_by": None,
        "revived_at": None,
        "message_id": message_id,
        "trace_id": trace_id,
        "traceparent": traceparent,
        "caller_span_id": caller_span_id,
        "published_at": min(published_at or now, now),
        "queued_at": now,
        "created_at": now,
        "updated_at": now,
        "finished_at": None,
        "expire_at": None,
    }


def released(
    head: Head,
    planned: Planned,
    slot_at: datetime,
    slot_until: datetime,
    now: datetime,
    reservation: Reservation | None = None,
    way: Way = "foreground",
    usual_ms: int | None = None,
) -> dict[str, Any]:
    """What the pump changes when it grants a slot. No slot is good beyond its request's deadline.

    `usual_ms`: how long a background call of the kind usually takes.
    """
    return {
        "status": "released",
        "reason": None,
        "release": head.release + 1,
        "slot_at": slot_at,
        "slot_until": slot_until if head.deadline is None else min(slot_until, head.deadline),
        **_taken(planned, reservation),
        "way": way,
        "usual_ms": usual_ms,
        "updated_at": now,
    }


def batched(head: Head, planned: Planned, now: datetime, reservation: Reservation | None = None) -> dict[str, Any]:
    """What the pump changes when the route goes by batch: no slot, and no place in its queue any more.

    It takes a release number all the same: that tells whether what was reserved for it has arrived.
    """
    return {
        "status": "batched",
        "reason": "collected for a batch",
        "release": head.release + 1,
        "slot_at": None,
        "slot_until": None,
        "batch": None,
        "batched_at": now,
        **_taken(planned, reservation),
        "updated_at": now,
    }


def in_batch(batch_id: str, number: int, now: datetime) -> dict[str, Any]:
    """Its batch is closed, with attempt `number`: it cannot be cancelled any more."""
    return {"reason": f"in batch {batch_id}", "batch": batch_id, "attempt_count": number, "updated_at": now}


def _taken(planned: Planned, reservation: Reservation | None) -> dict[str, Any]:
    """The route as it is planned, for the attempt to come."""
    return {
        "unused_slot": None,
        "wake_at": None,
        "asleep_epoch": None,
        "model": planned.route.pool,
        "route": planned.route.to_json(),
        "route_reasons": list(planned.reasons),
        "thinking": planned.thinking,
        "estimate_micros": planned.estimate_micros,
        "input_tokens": planned.input_tokens,
        "flags": list(planned.flags),
        "next_route": planned.next.route.to_json() if planned.next else None,
        "least_estimate_micros": planned.least_estimate_micros,
        "probe": planned.probe,
        "gateway": planned.gateway,
        "budget": reservation.to_json() if reservation is not None else None,
    }


def requeued(reason: str, now: datetime, *, wake_at: datetime | None = None) -> dict[str, Any]:
    """Back to its place in the queue after an attempt."""
    return {
        "status": "queued",
        "reason": reason,
        "wake_at": wake_at,
        "queued_at": now,
        "slot_at": None,
        "slot_until": None,
        "unused_slot": None,
        "lease_holder": None,
        "lease_until": None,
        "batch": None,
        "batched_at": None,
        "budget": None,
        **NOT_AWAITING,
        "interaction_id": None,
        "updated_at": now,
    }


def suspend(reason: str, wake_at: datetime, epoch: int | None, now: datetime) -> dict[str, Any]:
    """Out of its queue while no route is open to it; a new epoch of the limits wakes it before its time, where it
    names one.
    """
    return {"reason": reason, "wake_at": wake_at, "asleep_epoch": epoch, "updated_at": now}


def resume(now: datetime) -> dict[str, Any]:
    """Back in its place in the queue."""
    return {"wake_at": None, "asleep_epoch": None, "updated_at": now}


def claimed(holder: str, number: int, now: datetime) -> dict[str, Any]:
    """What a worker changes when it takes a release up, with attempt `number`."""
    return {
        "status": "rendering",
        "attempt_count": number,
        "fetch_count": 0,
        "lease_holder": holder,
        "lease_until": now + LEASE,
        **NOT_AWAITING,
        "interaction_id": None,
        "updated_at": now,
    }


def awaiting(interaction_id: str, collect_at: datetime, now: datetime) -> dict[str, Any]:
    """The provider has the call: no worker is needed until it has ended, so there is no lease."""
    return {
        "interaction_id": interaction_id,
        "collect_at": collect_at,
        "lease_holder": None,
        "lease_until": None,
        "updated_at": now,
    }


def is_awaiting(data: Fields) -> bool:
    """It waits for its interaction; any worker may collect it."""
    return data["status"] == "rendering" and data.get("collect_at") is not None


def with_leftover(data: Fields, interaction_id: str, attempt: int, due_at: datetime) -> dict[str, Any]:
    """One more interaction of this request that nobody waits for and that the provider still keeps."""
    kept = [item for item in data.get("leftovers") or [] if item["id"] != interaction_id]
    return {"leftovers": [*kept, {"id": interaction_id, "attempt": attempt}], "leftovers_at": due_at}


def without_leftovers(data: Fields, gone: Collection[str], due_at: datetime) -> dict[str, Any]:
    """Those of these ids are gone; what is left is due again at `due_at`."""
    kept = [item for item in data.get("leftovers") or [] if item["id"] not in gone]
    return {"leftovers": kept, "leftovers_at": due_at if kept else None}


def has_begun(data: Fields) -> bool:
    """Whether an attempt may be on its way: cancellation and deadline come too late for it."""
    return data["status"] == "rendering" or (data["status"] == "batched" and data["batch"] is not None)


def return_to_queue(data: Fields, reason: str, now: datetime) -> dict[str, Any]:
    """Back to the front: its slot passed unused, and is kept here for the pump to give back."""
    route = Route.from_json(data["route"])
    unused = UnusedSlot(route.pool, data["slot_at"], data["release"], data["input_tokens"])
    return requeued(reason, now) | {
        "model": route.model,
        "unused_slot": unused.to_json(),
        "late_count": data["late_count"] + 1,
        "paid_at": None,  # the last look at it may be what took so long
    }


def finished(status: str, outcome: Outcome, now: datetime) -> dict[str, Any]:
    """What every final commit writes; the announcement is still owed."""
    assert status in FINAL, status
    return {
        "status": status,
        "reason": None,
        "outcome": outcome.to_json(),
        "announce": "pending",
        "wake_at": None,
        "lease_holder": None,
        "lease_until": None,
        "budget": None,
        **NOT_AWAITING,
        "updated_at": now,
        "finished_at": now,
        "expire_at": now + KEEP_FOR,
    }


def content_hash(data: Fields) -> str:
    """Of the content on record, by today's recipe: the hash stored beside it may be of an earlier release's."""
    return hash_of_content(data["request"])


def request_of(data: Fields) -> RenderRequest:
    return RenderRequest.restored(data["request"])
