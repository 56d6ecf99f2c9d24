"""How an attempt ends: one commit of status, attempt, cost, receipt and ledger, each cent booked exactly once.

Closing the attempt document is what books its cost, so a settlement that comes twice changes nothing the second time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import asdict, replace

from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.price import Cost
from shared.core.conclusions.claims import claim_id
from shared.core.lifecycle import attempt_cost, request_record
from shared.core.lifecycle.receipt import receipt
from shared.core.lifecycle.retry import Again, End, Tally, after_failure, is_done_with, refuses_addresses
from shared.core.provider.failure import Failure, FailureKind, Next
from shared.core.provider.outcome import CANCELLED_IN_FLIGHT, SUCCEEDED, of_failure
from shared.core.provider.stored_image import Delivered, Ending, storable
from shared.core.provider.usage import Usage
from shared.core.references import reference_set
from shared.core.values.documents import Document, Fields, Update, Write
from shared.core.values.lanes import is_apart
from shared.core.values.route import Route, circuit

Effect: TypeAlias = Literal["final", "queued", "booked", "settled before", "kept", "awaiting"]
"""`kept`: nothing is settled; the attempt's paid image waits to be stored. `awaiting`: its interaction goes on."""
LOST = frozenset([FailureKind.CRASHED.value, FailureKind.TIMEOUT.value, FailureKind.CONNECTION_LOST.value])
"""Endings without an answer: the provider may have made the image nevertheless."""
DELETE_WITHIN = timedelta(seconds=30)
"""The settling deletes an interaction at once; later than this, `watch` does."""


class Settlement(Struct, frozen=True):
    writes: tuple[Write, ...]
    effect: Effect


def open_attempt(
    data: Fields, number: int, *, holder: str, key_kind: str, owner: str, now: datetime, contract: str = "google"
) -> dict[str, Any]:
    """The attempt document before the call leaves."""
    return {
        "number": number,
        "round": data["round"],
        "release": data["release"],
        "route": data["route"],
        "route_reasons": data["route_reasons"],
        "thinking": data.get("thinking"),
        "changed": list(Route.from_json(data["route"]).changes_from(Route.from_json(data["last_route"])))
        if data["last_route"]
        else [],
        "flags": data["flags"],
        "probe": data["probe"],
        "estimate_micros": data["estimate_micros"],
        "budget": data["budget"],
        "holder": holder,
        "key_kind": key_kind,
        "contract": contract,
        "operating_owner": owner,
        "model": None,
        "started_at": now,
        "ended_at": None,
        "outcome": None,
        "http_status": None,
        "provider_request_id": None,
        "usage": None,
        "cost_micros": 0,
        "cost_basis": None,
        "cost_parts": {},
        "latency_ms": None,
        "image_uri": None,
        "image_address": None,
    }


def settle(
    request: Document,
    attempt: Document,
    ending: Ending,
    catalogue: Catalogue,
    *,
    now: datetime,
    latency_ms: int,
    jitter: float,
    shard: int,
    is_own: bool = False,
    interaction_id: str | None = None,
) -> Settlement:
    """The writes that end `attempt` with `ending`, given both documents as they were read. Pure.

    `interaction_id`: the provider's record of it, where the request does not name it. `is_own`: others are served by
    the same key and project, so that a denial is about this request.
    """
    ending = storable(ending)
    was_given_up = is_given_up(attempt.data)
    if attempt.data["outcome"] is not None and not was_given_up:
        return Settlement((), "settled before")
    if was_given_up and isinstance(ending, Failure) and ending.kind.value in LOST:
        return Settlement((), "settled before")
    cost = attempt_cost.cost_of(ending, attempt.data, catalogue)
    booked = attempt_cost.on_request(request.data, attempt.data, ending, cost, was_given_up=was_given_up)
    is_open = request.data["status"] in ("rendering", "batched")
    current = is_open and request.data["attempt_count"] == attempt.data["number"]
    match ending:
        case Delivered() if request.data["status"] not in request_record.FINAL:
            code = "succeeded"
            changes = request_record.finished("succeeded", SUCCEEDED, now) | {
                "image_uri": ending.image_uri,
                "route": attempt.data["route"],
                "receipt": receipt(request.data, attempt.data, ending, cost, catalogue),
            }
            effect: Effect = "final"
        case Delivered():
            code, changes, effect = "duplicate", {"updated_at": now}, "booked"
        case Failure() if current:
            code = ending.kind.value
            changes, effect = _after(
                ending, request.data, attempt.data, booked, catalogue, now=now, jitter=jitter, is_own=is_own
            )
        case Failure():
            code, changes, effect = ending.kind.value, {"updated_at": now}, "booked"
    changes |= _left_over(request.data, attempt.data["number"], changes, interaction_id, now)
    writes: tuple[Write, ...] = (
        Update(request.path, changes | booked, request.version),
        Update(attempt.path, _closed(ending, code, cost, now, latency_ms), attempt.version),
        attempt_cost.in_ledger(
            request.data,
            attempt.data,
            ending,
            code,
            cost,
            catalogue,
            now,
            shard,
            was_given_up=was_given_up,
            latency_ms=latency_ms,
        ),
        *attempt_cost.against_budget(request, attempt.data, ending, cost, is_final=effect == "final"),
    )
    return Settlement(writes, effect)


def is_given_up(attempt: Fields) -> bool:
    """Its answer was lost, and is booked as unknown: should it come after all, that is undone."""
    return (attempt["outcome"] or {}).get("code") in LOST and attempt["cost_basis"] == "unknown"


def _left_over(
    request: Fields, number: int, changes: Fields, interaction_id: str | None, now: datetime
) -> dict[str, Any]:
    """The interactions that the provider keeps and that nobody waits for after this settlement."""
    due_at, own = now + DELETE_WITHIN, request.get("interaction_id")
    left: dict[str, Any] = {}
    if request["status"] == "rendering" and own is not None and "status" in changes:
        left = request_record.with_leftover(request, own, request["attempt_count"], due_at)
    if interaction_id is not None and interaction_id != own:
        left = request_record.with_leftover({**request, **left}, interaction_id, number, due_at)
    return left


def bare(ending: Ending) -> Ending:
    """Only what is needed to end the attempt: for an answer that no store takes whole. A paid image is kept."""
    if isinstance(ending, Delivered):
        return replace(ending, usage=None, model="", provider_request_id="")
    return Failure(ending.kind, "The provider's own words could not be stored.", http_status=ending.http_status)


def _after(
    failure: Failure,
    request: Fields,
    attempt: Fields,
    booked: Fields,
    catalogue: Catalogue,
    *,
    now: datetime,
    jitter: float,
    is_own: bool,
) -> tuple[dict[str, Any], Effect]:
    """The request's own changes after the failure of its current attempt."""
    if failure.kind is FailureKind.QUOTA_DAY:  # its hint is not to be trusted: one real body said 856 ms
        failure = replace(failure, retry_after=None)
    route = Route.from_json(attempt["route"])
    claim = claim_id(failure.kind, route)
    as_concluded = attempt["probe"] is not None and attempt["probe"] == claim
    is_repeated = failure.rule.next is Next.AGAIN
    is_free_probe = bool(attempt["probe"]) and not failure.limits_repeats
    counts = {
        "failure_count": request["failure_count"] + int(is_repeated and not is_free_probe),
        "probe_count": request.get("probe_count", 0) + int(is_repeated and is_free_probe),
        "ambiguous_count": request["ambiguous_count"]
        + int(failure.limits_repeats and not _in_the_start(failure, request)),
        "no_image_count": request["no_image_count"]
        + int(failure.kind in (FailureKind.NO_IMAGE, FailureKind.MALFORMED_ANSWER)),
        "crash_count": request["crash_count"] + int(failure.kind is FailureKind.CRASHED),
        "wait_count": request["wait_count"]
        + int(failure.rule.next is Next.WAIT and failure.kind is not FailureKind.BACKGROUND_REFUSED),
        "denied_count": request["denied_count"]
        + int(not as_concluded and (is_own or (failure.kind is FailureKind.PERMISSION and not failure.explicit))),
    }
    sick_before = request["sick_on"].get(route.circuit, 0)
    elsewhere = is_done_with(failure, sick_before, route.lane)
    is_account = is_apart(route.lane) and failure.rule.denied
    left = circuit(route.lane, "*") if is_account else route.circuit
    denied = failure.rule.denied and claim is not None
    met = {
        "denied_at": ({claim: request.get("slot_at") or attempt["started_at"]} if denied else {})
        | request.get("denied_at", {}),
        "model": route.model,
        "last_route": route.to_json(),
        "sick_on": request["sick_on"] | ({route.circuit: sick_before + 1} if failure.rule.sick_route else {}),
        "paid_at": failure.address or (request.get("paid_at") if failure.rule.next is Next.WAIT else None),
        "avoided": request["avoided"] | ({left: failure.kind.value} if elsewhere else {}),
    }
    tally = Tally(
        failures=counts["failure_count"],
        ambiguous=counts["ambiguous_count"],
        no_image=counts["no_image_count"],
        waits=counts["wait_count"],
        spent_micros=booked["cost_micros"] + booked["unknown_estimate_micros"],
        next_estimate_micros=request["least_estimate_micros"],
        max_cost_micros=request["ask"]["max_cost_micros"],
        deadline=request["deadline"],
        denied=counts["denied_count"],
        is_own=is_own,
        elsewhere=elsewhere,
        fallback=request["next_route"] is not None,
        probes=counts["probe_count"],
        interactive=request["ask"].get("priority") == "interactive",
        by_uri=reference_set.goes_by_uri(request, route, catalogue),
    )
    if refuses_addresses(failure, tally):
        met["references_as_bytes"] = True
    decision = after_failure(failure, tally, now=now, jitter=jitter)
    if isinstance(decision, Again) and request.get("cancel_requested_at") is not None:
        decision = End("cancelled", CANCELLED_IN_FLIGHT)
    if as_concluded and isinstance(decision, End) and failure.rule.next is Next.ELSEWHERE:
        decision = Again(now, f"no route but one that is out: {failure.kind.value}")  # it asked for all: it waits on
    match decision:
        case Again():
            return request_record.requeued(decision.reason, now, wake_at=decision.wake_at) | counts | met, "queued"
        case End():
            return request_record.finished(decision.status, decision.outcome, now) | counts, "final"


def _in_the_start(failure: Failure, request: Fields) -> bool:
    """Its worker died between the claim and the id of a background call: most likely the call had not left. Its
    estimate is held against the cap, and it counts as a failure, but not as a call that was probably paid.
    """
    return failure.kind is FailureKind.CRASHED and request.get("way", "foreground") != "foreground"


def _closed(ending: Ending, code: str, cost: Cost, now: datetime, latency_ms: int) -> dict[str, Any]:
    common = {"ended_at": now, "latency_ms": latency_ms, **cost.to_json()}
    match ending:
        case Delivered():
            outcome = SUCCEEDED if code == "succeeded" else replace(SUCCEEDED, code=code, message=_DUPLICATE)
            return common | {
                "outcome": outcome.to_json(),
                "http_status": 200,
                "provider_request_id": ending.provider_request_id,
                "usage": _usage(ending.usage),
                "model": ending.model,
                "image_uri": ending.image_uri,
            }
        case Failure():
            return common | {
                "outcome": of_failure(ending).to_json(),
                "http_status": ending.http_status,
                "provider_request_id": ending.provider_request_id,
                "usage": _usage(ending.usage),
                "model": ending.model or None,
                "image_address": ending.address or None,
            }


_DUPLICATE = "The request had ended when this image came; its cost is booked as a duplicate."


def _usage(usage: Usage | None) -> dict[str, int] | None:
    return None if usage is None else asdict(usage)
