"""How an attempt ends: one commit of status, attempt, cost, receipt and ledger, each cent booked exactly once.

Closing the attempt document is what books its cost, so a settlement that comes twice changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from shared.core import budget, gateway, ledger, mismatch, price, record, savings
from shared.core.answer import Made, Usage
from shared.core.ask import Ask
from shared.core.calendar import next_pacific_midnight
from shared.core.catalogue import Catalogue
from shared.core.documents import Document, Fields, Increment, Update, Write
from shared.core.failure import Charge, Failure, FailureKind, Next
from shared.core.health import SICK
from shared.core.mismatch import Mismatch
from shared.core.mismatch import size_of_pixels as size_of_pixels
from shared.core.money import usd
from shared.core.outcome import SUCCEEDED, of_failure
from shared.core.price import Cost
from shared.core.retry import Again, End, Tally, after_failure, is_done_with
from shared.core.route import Route, circuit
from shared.core.testimony import DENIED


@dataclass(frozen=True, slots=True)
class Delivered:
    """An image that lies in the store, and what the answer that brought it said."""

    image_uri: str
    width: int
    height: int
    usage: Usage | None
    model: str
    lane: str
    provider_request_id: str

    @classmethod
    def of(cls, made: Made, image_uri: str) -> Delivered:
        return cls(
            image_uri,
            made.picture.width,
            made.picture.height,
            made.usage,
            made.model,
            made.lane,
            made.provider_request_id,
        )

    def to_facts(self) -> dict[str, str]:
        """As the stored image's metadata, so that a paid image can be settled without its worker."""
        facts = {
            "width": str(self.width),
            "height": str(self.height),
            "model": self.model,
            "lane": self.lane,
            "provider_request_id": self.provider_request_id,
        }
        if self.usage is not None:
            facts |= {f"usage_{name}": str(getattr(self.usage, name)) for name in Usage.__slots__}
        return facts

    @classmethod
    def from_facts(cls, image_uri: str, facts: Mapping[str, str]) -> Delivered:
        counted = {name: int(facts[f"usage_{name}"]) for name in Usage.__slots__ if f"usage_{name}" in facts}
        return cls(
            image_uri=image_uri,
            width=int(facts["width"]),
            height=int(facts["height"]),
            usage=Usage(**counted) if counted else None,
            model=facts["model"],
            lane=facts["lane"],
            provider_request_id=facts["provider_request_id"],
        )


Ending: TypeAlias = Delivered | Failure

Effect: TypeAlias = Literal["final", "queued", "booked", "settled before"]


@dataclass(frozen=True, slots=True)
class Settlement:
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
) -> Settlement:
    """The writes that end `attempt` with `ending`, given both documents as they were read. Pure."""
    closed_as = (attempt.data["outcome"] or {}).get("code")
    if closed_as not in (None, FailureKind.CRASHED.value):
        return Settlement((), "settled before")
    was_given_up = closed_as is not None
    if was_given_up and isinstance(ending, Failure) and ending.kind is FailureKind.CRASHED:
        return Settlement((), "settled before")
    cost = cost_of(ending, attempt.data, catalogue)
    booked = _booked(request.data, attempt.data, ending, cost, was_given_up=was_given_up)
    is_open = request.data["status"] in ("rendering", "batched")
    current = is_open and request.data["attempt_count"] == attempt.data["number"]
    match ending:
        case Delivered() if request.data["status"] not in record.FINAL:
            code = "succeeded"
            changes = record.finished("succeeded", SUCCEEDED, now) | {
                "image_uri": ending.image_uri,
                "route": attempt.data["route"],
                "receipt": receipt(request.data, attempt.data, ending, cost, catalogue),
            }
            effect: Effect = "final"
        case Delivered():
            code, changes, effect = "duplicate", {"updated_at": now}, "booked"
        case Failure() if current:
            code = ending.kind.value
            changes, effect = _after(ending, request.data, attempt.data, booked, now=now, jitter=jitter)
        case Failure():
            code, changes, effect = ending.kind.value, {"updated_at": now}, "booked"
    writes: tuple[Write, ...] = (
        Update(request.path, changes | booked, request.version),
        Update(attempt.path, _closed(ending, code, cost, now, latency_ms), attempt.version),
        _ledger(request.data, attempt.data, ending, code, cost, catalogue, now, shard, was_given_up=was_given_up),
        *_budget_writes(request, attempt.data, ending, cost, effect),
    )
    return Settlement(writes, effect)


def cost_of(ending: Ending, attempt: Fields, catalogue: Catalogue) -> Cost:
    """What the attempt is known to owe."""
    route = Route.from_json(attempt["route"])
    if route.lane == gateway.GATEWAY:
        return _of_gateway(ending, attempt, catalogue)
    match ending:
        case Delivered():
            size = size_of_pixels(ending.width, ending.height)
            return price.of_made(catalogue, ending.usage, ending.model, ending.lane, route.model, size)
        case Failure(kind=FailureKind.IMAGE_STORE):
            return price.of_made(
                catalogue, ending.usage, ending.model or route.model, ending.lane or route.lane, route.model,
                route.image_size,
            )  # fmt: skip
        case Failure(usage=Usage() as usage) if usage != Usage():  # nothing counted is no statement of the bill
            return price.of_failed(
                catalogue, usage, ending.model or route.model, ending.lane or route.lane, route.model
            )
        case Failure():
            return price.NOTHING if ending.rule.charge is Charge.NOTHING else price.UNKNOWN


def _of_gateway(ending: Ending, attempt: Fields, catalogue: Catalogue) -> Cost:
    """By the provider's price and rules: none of Google's rates concerns it."""
    if isinstance(ending, Delivered):
        return gateway.of_made(attempt["estimate_micros"])
    provider = catalogue.gateways.get(attempt["contract"].removeprefix(gateway.CONTRACT))
    return gateway.of_failed(provider, ending, attempt["estimate_micros"])


def mismatches(ask: Fields, route: Route, delivered: Delivered, catalogue: Catalogue) -> tuple[Mismatch, ...]:
    """What came otherwise than this attempt ordered it."""
    return mismatch.mismatches(
        route,
        ask["aspect_ratio"],
        width=delivered.width,
        height=delivered.height,
        usage=delivered.usage,
        model=delivered.model,
        lane=delivered.lane,
        catalogue=catalogue,
    )


def receipt(request: Fields, attempt: Fields, delivered: Delivered, cost: Cost, catalogue: Catalogue) -> dict[str, Any]:
    """Requested beside delivered, what it cost, and why they differ; `mismatches` names what nobody had ordered."""
    ask = request["ask"]
    found = mismatches(ask, Route.from_json(attempt["route"]), delivered, catalogue)
    reasons = [*attempt["route_reasons"], *(each.reason for each in found)]
    if cost.micros > attempt["estimate_micros"]:
        reasons.append(
            f"the bill of {usd(cost.micros)} is over the estimate of {usd(attempt['estimate_micros'])}: "
            "more thinking, searches or image tokens than allowed for"
        )
    return {
        "requested": {
            "model": request["asked_model"],
            "image_size": ask["image_size"],
            "lane": ask["lane"],
        },
        "delivered": {
            "model": delivered.model.removeprefix("models/"),
            "image_size": size_of_pixels(delivered.width, delivered.height),
            "lane": delivered.lane,
            "width": delivered.width,
            "height": delivered.height,
            "image_tokens": delivered.usage.image_out if delivered.usage is not None else None,
        },
        "mismatches": [each.what for each in found],
        "cost_micros": cost.micros,
        "cost_basis": cost.basis,
        "estimate_micros": attempt["estimate_micros"],
        "reasons": reasons,
        "flags": attempt["flags"],
    }


def _after(
    failure: Failure, request: Fields, attempt: Fields, booked: Fields, *, now: datetime, jitter: float
) -> tuple[dict[str, Any], Effect]:
    """The request's own changes after the failure of its current attempt."""
    if failure.kind is FailureKind.QUOTA_DAY:  # its hint is not to be trusted: one real body said 856 ms
        failure = replace(failure, retry_after=next_pacific_midnight(now) - now)
    counts = {
        "failure_count": request["failure_count"] + int(failure.rule.next is Next.AGAIN and not attempt["probe"]),
        "ambiguous_count": request["ambiguous_count"] + int(failure.rule.ambiguous),
        "no_image_count": request["no_image_count"]
        + int(failure.kind in (FailureKind.NO_IMAGE, FailureKind.MALFORMED_ANSWER)),
        "crash_count": request["crash_count"] + int(failure.kind is FailureKind.CRASHED),
        "wait_count": request["wait_count"] + int(failure.rule.next is Next.WAIT),
        "denied_count": request["denied_count"] + int(failure.kind is FailureKind.PERMISSION),
    }
    route = Route.from_json(attempt["route"])
    sick_before = request["sick_on"].get(route.circuit, 0)
    elsewhere = is_done_with(failure, sick_before, route.lane)
    left = circuit(route.lane, "*") if elsewhere and failure.kind.value in DENIED else route.circuit
    met = {
        "model": route.model,
        "last_route": route.to_json(),
        "sick_on": request["sick_on"] | ({route.circuit: sick_before + 1} if failure.kind in SICK else {}),
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
        elsewhere=elsewhere,
        fallback=request["next_route"] is not None,
    )
    decision = after_failure(failure, tally, now=now, jitter=jitter)
    match decision:
        case Again():
            return record.requeued(decision.reason, now, wake_at=decision.wake_at) | counts | met, "queued"
        case End():
            return record.finished(decision.status, decision.outcome, now) | counts, "final"


def _booked(request: Fields, attempt: Fields, ending: Ending, cost: Cost, *, was_given_up: bool) -> dict[str, Any]:
    """The request's money after this attempt. An attempt given up as crashed was booked as unknown: that is undone."""
    unknown = int(cost.basis == "unknown") - int(was_given_up)
    held = int(isinstance(ending, Failure) and ending.rule.ambiguous and cost.basis == "unknown") - int(was_given_up)
    unknown_attempts = request["cost_unknown_attempts"] + unknown
    before = request["cost_basis"] if request["cost_micros"] else None
    return {
        "cost_micros": request["cost_micros"] + cost.micros,
        "cost_basis": _basis(before, cost, unknown_attempts),
        "cost_unknown_attempts": unknown_attempts,
        "unknown_estimate_micros": request["unknown_estimate_micros"] + held * attempt["estimate_micros"],
    }


def _basis(before: price.CostBasis | None, cost: Cost, unknown_attempts: int) -> price.CostBasis:
    """How the booked sum was found. `before` is None while nothing is booked: a sum of 0 beside an attempt of unknown
    cost is unknown. Beside a known sum unknown attempts are counted apart.
    """
    if before is None and not cost.micros:
        return "unknown" if unknown_attempts else cost.basis
    if before is None:
        return cost.basis
    return "listed" if "listed" in (before, cost.basis) and cost.micros else before


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
            }


_DUPLICATE = "The request had ended when this image came; its cost is booked as a duplicate."


def _usage(usage: Usage | None) -> dict[str, int] | None:
    return None if usage is None else {name: getattr(usage, name) for name in Usage.__slots__}


def _ledger(
    request: Fields,
    attempt: Fields,
    ending: Ending,
    code: str,
    cost: Cost,
    catalogue: Catalogue,
    now: datetime,
    shard: int,
    *,
    was_given_up: bool,
) -> Increment:
    """What this attempt adds to the ledger."""
    route = Route.from_json(attempt["route"])
    made = isinstance(ending, Delivered)
    usage = ending.usage
    mismatched = isinstance(ending, Delivered) and bool(mismatches(request["ask"], route, ending, catalogue))
    succeeded = code == "succeeded" and cost.basis != "unknown"
    booking = ledger.Booking(
        cost=cost,
        why=_why(ending, code, attempt["number"]),
        number=attempt["number"],
        estimate_micros=attempt["estimate_micros"],
        made=made,
        ambiguous=isinstance(ending, Failure) and ending.rule.ambiguous,
        was_given_up=was_given_up,
        searches=usage.grounding_searches if usage is not None and cost.micros else 0,
        mismatched=mismatched,
        saved=savings.saved(Ask.from_json(request["ask"]), route, usage, cost.micros, catalogue) if succeeded else {},
    )
    cell = ledger.Cell(
        day=now.date().isoformat(),
        tenant=request["tenant"],
        model=price.billed_model(catalogue, ending.model, route.model),
        lane=route.lane if route.lane == ledger.GATEWAY else ending.lane or route.lane,
        flags=tuple(attempt["flags"]),
    )
    return cell.increment(booking.amounts(), shard)


def _budget_writes(
    request: Document, attempt: Fields, ending: Ending, cost: Cost, effect: Effect
) -> tuple[Increment, ...]:
    """What was reserved for the attempt comes back, and its cost is taken; what may have been billed stays held."""
    held = cost.basis == "unknown" and (isinstance(ending, Delivered) or ending.rule.ambiguous)
    tenant = request.data["tenant"]
    moved = budget.ended(tenant, request.id, budget.Reservation.of(attempt), cost.micros, held=held)
    if effect == "final" and not record.has_begun(request.data):  # the next attempt will not begin
        unused = budget.Reservation.of(request.data)
        moved = moved.plus(budget.ended(tenant, request.id, unused, 0, held=False))
    return moved.writes()


def _why(ending: Ending, code: str, number: int) -> ledger.Why:
    """What the attempt's money went for."""
    if code == "duplicate":
        return "duplicate"
    match ending:
        case Failure(kind=FailureKind.REFUSED):
            return "refused"
        case Failure(kind=FailureKind.NO_IMAGE | FailureKind.MALFORMED_ANSWER | FailureKind.IMAGE_STORE):
            return "no_image"
        case _:
            return ledger.plain(number)
