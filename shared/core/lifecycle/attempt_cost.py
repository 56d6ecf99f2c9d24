"""What an attempt costs when it ends, and where that is booked: on the request, in the ledger, against the budget.
Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.core.accounting import budget, ledger, savings
from shared.core.accounting.traffic import Timing
from shared.core.catalogue import price
from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.price import Cost
from shared.core.lifecycle.mismatch import size_of_pixels
from shared.core.provider.failure import RULES, Charge, Failure, FailureKind
from shared.core.provider.outcome_code import OutcomeCode, PlainEnd
from shared.core.provider.stored_image import Delivered, Ending
from shared.core.provider.usage import Usage
from shared.core.records.attempt import AttemptRecord
from shared.core.records.request import RequestRecord
from shared.core.records.versioned import Request
from shared.core.routing import gateway
from shared.core.values.documents import Increment
from shared.core.values.lanes import BATCH


def cost_of(ending: Ending, attempt: AttemptRecord, catalogue: Catalogue) -> Cost:
    """What is known to be owed for the attempt."""
    route = attempt.route
    if isinstance(ending, Delivered) and ending.paid_before:
        return price.NOTHING
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
            return price.NOTHING if ending.charge is Charge.NOTHING else price.UNKNOWN


def _of_gateway(ending: Ending, attempt: AttemptRecord, catalogue: Catalogue) -> Cost:
    """By the provider's price and rules: Google's rates do not apply."""
    if isinstance(ending, Delivered):
        return gateway.of_made(attempt.estimate_micros)
    provider = catalogue.gateways.get(attempt.contract.removeprefix(gateway.CONTRACT))
    return gateway.of_failed(provider, ending, attempt.estimate_micros)


def on_request(
    request: RequestRecord, attempt: AttemptRecord, ending: Ending, cost: Cost, *, was_given_up: bool
) -> RequestRecord:
    """The request's money after this attempt. An attempt given up as crashed was booked as unknown: that booking is
    reversed."""
    unknown = int(cost.basis == "unknown") - int(was_given_up)
    is_ambiguous = isinstance(ending, Failure) and ending.ambiguous and cost.basis == "unknown"
    ambiguous = int(is_ambiguous) - int(was_given_up)
    unknown_attempts = request.cost_unknown_attempts + unknown
    before = request.cost_basis if request.cost_micros else None
    return replace(
        request,
        cost_micros=request.cost_micros + cost.micros,
        cost_basis=_basis(before, cost, unknown_attempts),
        cost_unknown_attempts=unknown_attempts,
        unknown_estimate_micros=request.unknown_estimate_micros + ambiguous * attempt.estimate_micros,
    )


def _basis(before: price.CostBasis | None, cost: Cost, unknown_attempts: int) -> price.CostBasis:
    """How the booked sum was determined. `before` is None while nothing is booked: a sum of 0 together with an attempt
    of unknown cost is unknown. Beside a known sum, unknown attempts are counted separately."""
    if before is None and not cost.micros:
        return "unknown" if unknown_attempts else cost.basis
    if before is None:
        return cost.basis
    return "listed" if "listed" in (before, cost.basis) and cost.micros else before


def in_ledger(
    request: RequestRecord,
    attempt: AttemptRecord,
    ending: Ending,
    code: OutcomeCode,
    cost: Cost,
    catalogue: Catalogue,
    now: datetime,
    shard: int,
    *,
    was_given_up: bool,
    latency_ms: int,
    mismatched: bool,
) -> Increment:
    """What this attempt adds to the ledger."""
    route = attempt.route
    made = isinstance(ending, Delivered)
    usage = ending.usage
    succeeded = code is PlainEnd.SUCCEEDED and cost.basis != "unknown"
    booking = ledger.Booking(
        cost=cost,
        why=why(code, attempt.number),
        number=attempt.number,
        estimate_micros=attempt.estimate_micros,
        made=made,
        ambiguous=isinstance(ending, Failure) and ending.ambiguous,
        was_given_up=was_given_up,
        searches=usage.grounding_searches if usage is not None and cost.micros else 0,
        mismatched=mismatched,
        saved=savings.saved(request.ask, route, usage, cost.micros, catalogue) if succeeded else {},
        paid_before=_paid_before(request, attempt, was_given_up=was_given_up),
        failed_as=ending.kind if isinstance(ending, Failure) else None,
        timing=Timing() if was_given_up else _timing(request, attempt, latency_ms if made else None),
    )
    cell = ledger.Cell(
        day=now.date().isoformat(),
        tenant=request.tenant,
        model=price.billed_model(catalogue, ending.model, route.model),
        lane=route.lane if route.lane == ledger.GATEWAY else ending.lane or route.lane,
        flags=attempt.flags,
    )
    return cell.increment(booking.amounts(), shard, now)


def _paid_before(request: RequestRecord, attempt: AttemptRecord, *, was_given_up: bool) -> bool:
    """Whether another attempt of the request has cost something, or may have been billed."""
    own = attempt.estimate_micros if was_given_up else 0
    return bool(request.cost_micros or request.unknown_estimate_micros > own)


def _timing(request: RequestRecord, attempt: AttemptRecord, latency_ms: int | None) -> Timing:
    """How long the attempt waited for its slot, and how long its model took for an image. A batch takes hours: that
    does not count as a call's time. The wait is known only for the latest attempt of the request."""
    if attempt.route.lane == BATCH:
        return Timing()
    latest = attempt.number == request.attempt_count and request.status == "rendering"
    waited = attempt.started_at - request.queued_at if latest else None
    return Timing(waited, None if latency_ms is None else timedelta(milliseconds=latency_ms))


def against_budget(
    request: Request, attempt: AttemptRecord, ending: Ending, cost: Cost, *, is_final: bool
) -> budget.BudgetDelta:
    """The attempt's reservation is returned and its cost is charged; what may have been billed stays held."""
    may_be_billed = cost.basis == "unknown" and (isinstance(ending, Delivered) or ending.ambiguous)
    tenant = request.record.tenant
    moved = budget.settle_reservation(tenant, request.id, attempt.budget, cost.micros, may_be_billed=may_be_billed)
    if is_final and not request.record.has_begun:  # the next attempt will not begin
        moved = moved.plus(budget.settle_reservation(tenant, request.id, request.record.budget, 0, may_be_billed=False))
    return moved


def why(code: OutcomeCode, number: int) -> ledger.Why:
    """What the attempt's money was spent on."""
    match code:
        case PlainEnd.DUPLICATE:
            return "duplicate"
        case PlainEnd.SUCCEEDED:
            return ledger.plain(number)
        case PlainEnd.EXPIRED | PlainEnd.UNROUTABLE | PlainEnd.COST_CAP | PlainEnd.BUDGET:
            raise ValueError(f"no attempt ends as {code}: such a request never began")
        case FailureKind():
            rule = RULES[code]
            if rule.status == "refused":
                return "refused"
            return "no_image" if rule.spoiled else ledger.plain(number)
