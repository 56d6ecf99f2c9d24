"""How an attempt ends: one commit of status, attempt, cost, receipt and ledger, each cent booked exactly once.

Closing the attempt document is what books its cost, so a repeated settlement changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.core.accounting.budget import BudgetDelta
from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.price import Cost
from shared.core.conclusions.claims import claim_id
from shared.core.lifecycle import attempt_cost, transitions
from shared.core.lifecycle.mismatch import Mismatch
from shared.core.lifecycle.receipt import mismatches, receipt
from shared.core.lifecycle.retry import Again, End, Tally, after_failure, is_done_with, refuses_addresses
from shared.core.provider.failure import BROKEN_OFF, Failure, FailureKind, Next
from shared.core.provider.outcome import CANCELLED_IN_FLIGHT, SUCCEEDED, Outcome, of_failure
from shared.core.provider.outcome_code import OutcomeCode, PlainEnd
from shared.core.provider.stored_image import Delivered, Ending, storable
from shared.core.records.attempt import GOOGLE, AttemptRecord
from shared.core.records.request import RequestRecord
from shared.core.records.versioned import Attempt, Request, update, with_record
from shared.core.references import reference_set
from shared.core.values.documents import Create, Increment, Write
from shared.core.values.lanes import is_apart
from shared.core.values.route import circuit

Effect: TypeAlias = Literal["final", "queued", "booked", "settled before", "kept", "awaiting"]
"""`kept`: nothing is settled; the attempt's paid image waits to be stored. `awaiting`: its interaction continues."""
"""Endings without an answer: the provider may nevertheless have made the image."""
DELETE_WITHIN = timedelta(seconds=30)
"""The process that settles deletes an interaction at once; after this, `watch` does."""


class Settlement(Struct, frozen=True):
    """The changes made by the end of an attempt."""

    request: Request
    """As it was read."""
    after: RequestRecord
    attempt: Attempt
    """As it was read."""
    closed: AttemptRecord
    booking: Increment
    """Of the ledger."""
    budget: BudgetDelta
    effect: Effect
    cost: Cost
    mismatches: tuple[Mismatch, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Of the attempt."""
        assert self.closed.outcome is not None
        return self.closed.outcome

    def writes(self) -> tuple[Write, ...]:
        """The request, the attempt, the ledger, the budget."""
        changed, closed = update(self.request, self.after), update(self.attempt, self.closed)
        return changed, closed, self.booking, *self.budget.writes()


class SettledBefore(Struct, frozen=True):
    """The attempt is already closed: nothing is left to write."""


def open_attempt(
    request: RequestRecord,
    number: int,
    *,
    holder: str,
    key_kind: str,
    owner: str,
    now: datetime,
    contract: str = GOOGLE,
) -> AttemptRecord:
    """The attempt as written before the call leaves."""
    return AttemptRecord(
        number=number,
        round=request.round,
        release=request.release,
        route=request.route,
        route_reasons=request.route_reasons,
        thinking=request.thinking,
        changed=request.route.changes_from(request.last_route) if request.last_route else (),
        flags=request.flags,
        probe=request.probe,
        estimate_micros=request.estimate_micros,
        budget=request.budget,
        holder=holder,
        key_kind=key_kind,
        contract=contract,
        operating_owner=owner,
        started_at=now,
    )


def settle(
    request: Request,
    attempt: Attempt,
    ending: Ending,
    catalogue: Catalogue,
    *,
    now: datetime,
    latency_ms: int,
    jitter: float,
    shard: int,
    is_own: bool = False,
    interaction_id: str | None = None,
) -> Settlement | SettledBefore:
    """How `attempt` ends with `ending`, given both documents as they were read. Pure. `interaction_id`: the provider's
    record of it, if the request does not name it. `is_own`: others are served by the same key and project, so a denial
    is about this request."""
    ending, record, opened = storable(ending), request.record, attempt.record
    was_given_up = is_given_up(opened)
    if opened.outcome is not None and not was_given_up:
        return SettledBefore()
    if was_given_up and isinstance(ending, Failure) and ending.kind.value in BROKEN_OFF:
        return SettledBefore()
    cost = attempt_cost.cost_of(ending, opened, catalogue)
    booked = attempt_cost.on_request(record, opened, ending, cost, was_given_up=was_given_up)
    current = record.status in ("rendering", "batched") and record.attempt_count == opened.number
    differing: tuple[Mismatch, ...] = ()
    code: OutcomeCode
    effect: Effect
    match ending:
        case Delivered():
            differing = mismatches(record.ask, opened.route, ending, catalogue)
            if record.is_final:
                code, after, effect = PlainEnd.DUPLICATE, replace(booked, updated_at=now), "booked"
            else:
                code, effect = PlainEnd.SUCCEEDED, "final"
                after = replace(
                    transitions.finished(booked, "succeeded", SUCCEEDED, now),
                    image_uri=ending.image_uri,
                    route=opened.route,
                    receipt=receipt(record, opened, ending, cost, differing),
                )
        case Failure() if current:
            code = ending.kind
            after, effect = _after(ending, booked, opened, catalogue, now=now, jitter=jitter, is_own=is_own)
        case Failure():
            code, after, effect = ending.kind, replace(booked, updated_at=now), "booked"
    return Settlement(
        request=request,
        after=_left_over(record, opened.number, after, interaction_id, now),
        attempt=attempt,
        closed=_closed(opened, ending, code, cost, now, latency_ms),
        booking=attempt_cost.in_ledger(
            record,
            opened,
            ending,
            code,
            cost,
            catalogue,
            now,
            shard,
            was_given_up=was_given_up,
            latency_ms=latency_ms,
            mismatched=bool(differing),
        ),
        budget=attempt_cost.against_budget(request, opened, ending, cost, is_final=effect == "final"),
        effect=effect,
        cost=cost,
        mismatches=differing,
    )


def book_extra(
    request: Request, attempt: Attempt, ending: Ending, line: int, catalogue: Catalogue, *, now: datetime, shard: int
) -> tuple[Write, ...]:
    """The writes that book `ending`, answer number `line` under one key (from 1; 0 was the attempt's own). A further
    answer under a key was billed, so it is booked: an attempt document of its own, named after its line, holds the
    cost; if it is booked twice, the commit conflicts. The request keeps its status and image."""
    reserved = attempt.record.budget  # returned with the attempt's own end; the period stays
    opened = replace(
        with_record(
            attempt,
            replace(
                attempt.record,
                ended_at=None,
                outcome=None,
                usage=None,
                cost_micros=0,
                cost_basis=None,
                cost_parts={},
                image_uri=None,
                budget=replace(reserved, micros=0) if reserved is not None else None,
            ),
        ),
        path=f"{attempt.path}-{line}",
    )
    as_ended = with_record(request, replace(request.record, status="succeeded"))
    settled = settle(
        as_ended, opened, ending, catalogue, now=now, latency_ms=0, jitter=0.0, shard=shard
    )  # fmt: skip
    assert isinstance(settled, Settlement), "the attempt of this line is open"
    extra = replace(settled.closed, image_uri=None).to_json()
    changed, _, *booked = settled.writes()
    return changed, Create(opened.path, {**attempt.data, **extra}), *booked


def is_given_up(attempt: AttemptRecord) -> bool:
    """Its answer was lost and is booked as unknown: if it arrives after all, that booking is reversed."""
    return attempt.outcome is not None and attempt.outcome.code in BROKEN_OFF and attempt.cost_basis == "unknown"


def _left_over(
    before: RequestRecord, number: int, after: RequestRecord, interaction_id: str | None, now: datetime
) -> RequestRecord:
    """With the interactions that the provider keeps and that are no longer needed after this settlement."""
    due_at, own = now + DELETE_WITHIN, before.interaction_id
    if before.status == "rendering" and own is not None and after.status != "rendering":
        after = transitions.with_leftover(after, own, before.attempt_count, due_at)
    if interaction_id is not None and interaction_id != own:
        after = transitions.with_leftover(after, interaction_id, number, due_at)
    return after


def bare(ending: Ending) -> Ending:
    """Only what is needed to end the attempt, for an answer that does not fit into the store. A paid image is kept."""
    if isinstance(ending, Delivered):
        return replace(ending, usage=None, model="", provider_request_id="")
    return Failure(ending.kind, "The provider's own words could not be stored.", http_status=ending.http_status)


def _after(
    failure: Failure,
    request: RequestRecord,
    attempt: AttemptRecord,
    catalogue: Catalogue,
    *,
    now: datetime,
    jitter: float,
    is_own: bool,
) -> tuple[RequestRecord, Effect]:
    """The request after the failure of its current attempt, whose cost is booked on it."""
    if failure.kind is FailureKind.QUOTA_DAY:  # its hint is not to be trusted: one real body said 856 ms
        failure = replace(failure, retry_after=None)
    route = attempt.route
    claim = claim_id(failure.kind, route)
    as_concluded = attempt.probe is not None and attempt.probe == claim
    is_repeated = failure.rule.next is Next.AGAIN
    is_free_probe = bool(attempt.probe) and not failure.limits_repeats
    counted = replace(
        request,
        failure_count=request.failure_count + int(is_repeated and not is_free_probe),
        probe_count=request.probe_count + int(is_repeated and is_free_probe),
        ambiguous_count=request.ambiguous_count + int(failure.limits_repeats and not _in_the_start(failure, request)),
        no_image_count=request.no_image_count
        + int(failure.kind in (FailureKind.NO_IMAGE, FailureKind.MALFORMED_ANSWER)),
        crash_count=request.crash_count + int(failure.kind is FailureKind.CRASHED),
        wait_count=request.wait_count
        + int(failure.rule.next is Next.WAIT and failure.kind is not FailureKind.BACKGROUND_REFUSED),
        denied_count=request.denied_count
        + int(not as_concluded and (is_own or (failure.kind is FailureKind.PERMISSION and not failure.explicit))),
    )
    sick_before = request.sick_on.get(route.circuit, 0)
    elsewhere = is_done_with(failure, sick_before, route.lane)
    tally = Tally(
        failures=counted.failure_count,
        ambiguous=counted.ambiguous_count,
        no_image=counted.no_image_count,
        waits=counted.wait_count,
        spent_micros=counted.spent_micros,
        next_estimate_micros=request.least_estimate_micros,
        max_cost_micros=request.ask.max_cost_micros,
        deadline=request.deadline,
        denied=counted.denied_count,
        is_own=is_own,
        elsewhere=elsewhere,
        fallback=request.next_route is not None,
        probes=counted.probe_count,
        interactive=request.ask.priority == "interactive",
        by_uri=reference_set.goes_by_uri(
            request.content.references, route, catalogue, as_bytes=request.references_as_bytes
        ),
    )
    decision = after_failure(failure, tally, now=now, jitter=jitter)
    if isinstance(decision, Again) and request.cancel_requested_at is not None:
        decision = End("cancelled", CANCELLED_IN_FLIGHT)
    if as_concluded and isinstance(decision, End) and failure.rule.next is Next.ELSEWHERE:
        decision = Again(now, f"no route but one that is out: {failure.kind.value}")  # it asked for all: it waits on
    match decision:
        case Again():
            met = _met(counted, failure, attempt, claim, elsewhere=elsewhere)
            if refuses_addresses(failure, tally):
                met = replace(met, references_as_bytes=True)
            return transitions.requeued(met, decision.reason, now, wake_at=decision.wake_at), "queued"
        case End():
            return transitions.finished(counted, decision.status, decision.outcome, now), "final"


def _met(
    request: RequestRecord, failure: Failure, attempt: AttemptRecord, claim: str | None, *, elsewhere: bool
) -> RequestRecord:
    """What the next plan has to know about this failure."""
    route = attempt.route
    left = circuit(route.lane, "*") if is_apart(route.lane) and failure.rule.denied else route.circuit
    denied_at, sick_on, avoided = request.denied_at, request.sick_on, request.avoided
    if failure.rule.denied and claim is not None and claim not in denied_at:
        denied_at = {claim: request.slot_at or attempt.started_at, **denied_at}
    if failure.rule.sick_route:
        sick_on = {**sick_on, route.circuit: sick_on.get(route.circuit, 0) + 1}
    if elsewhere:
        avoided = {**avoided, left: failure.kind.value}
    return replace(
        request,
        model=route.model,
        last_route=route,
        denied_at=denied_at,
        sick_on=sick_on,
        avoided=avoided,
        paid_at=failure.address or (request.paid_at if failure.rule.next is Next.WAIT else None),
    )


def _in_the_start(failure: Failure, request: RequestRecord) -> bool:
    """Its worker died between the claim and the id of a background call: most likely the call had not left. Its
    estimate counts against the cap, and it counts as a failure, but not as a call that was probably paid."""
    return failure.kind is FailureKind.CRASHED and request.way != "foreground"


def _closed(
    attempt: AttemptRecord, ending: Ending, code: OutcomeCode, cost: Cost, now: datetime, latency_ms: int
) -> AttemptRecord:
    closed = replace(
        attempt,
        ended_at=now,
        latency_ms=latency_ms,
        cost_micros=cost.micros,
        cost_basis=cost.basis,
        cost_parts=dict(cost.parts),
        provider_request_id=ending.provider_request_id,
        usage=ending.usage,
    )
    match ending:
        case Delivered():
            outcome = SUCCEEDED if code is PlainEnd.SUCCEEDED else Outcome.of(code, _DUPLICATE)
            return replace(
                closed, outcome=outcome, http_status=200, model=ending.model, image_uri=ending.image_uri
            )  # fmt: skip
        case Failure():
            return replace(
                closed,
                outcome=of_failure(ending),
                http_status=ending.http_status,
                model=ending.model or None,
                image_address=ending.address or None,
            )


_DUPLICATE = "The request had ended when this image came; its cost is booked as a duplicate."
