"""What `renderlane explain` finds out: a request's ladder by what is known, and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from scripts.cli.data.run.outgoing import OutgoingMessage
from shared.core.catalogue.catalogue import Catalogue
from shared.core.lifecycle import request_record
from shared.core.messages.render_request import Cancel, InvalidRequest, RenderRequest
from shared.core.messages.request_key import id_of, key_of
from shared.core.records.request import RequestRecord
from shared.core.routing import ladder
from shared.core.routing.context import Offer, RequestHistory, RoutingContext
from shared.core.routing.ladder import Ladder, Plan, Planned, Unroutable
from shared.core.routing.requirements import Requirements
from shared.core.validation.shapes import Problem
from shared.core.values.lanes import BUILT
from shared.core.values.status import FINAL
from shared.flows.intake.intake import check, failed_model
from shared.flows.operations.routing_snapshot import RoutingSnapshot
from shared.ports.images import References
from shared.ports.store import Store

CANCELS = Problem("the message", "a cancellation", "a render request", "A cancellation has no route.")


class Explained(Struct, frozen=True):
    """One request."""

    name: str
    """Its id, else its line."""
    about: str
    """Its state, in words."""
    ladder: Ladder | None
    plan: Plan | None
    """None if it would be rejected before any plan."""
    problems: tuple[Problem, ...] = ()
    """Why intake would reject it, or why no route is left."""
    opens_at: datetime | None = None
    """Until when the chosen model starts nothing."""


def of_line(
    line: OutgoingMessage,
    snapshot: RoutingSnapshot,
    catalogue: Catalogue,
    references: References,
    above: Mapping[str, str | None] | None = None,
) -> Explained:
    """As intake and then the pump would plan it now. `above` has the models that failed the quality bar, by request's
    key."""
    match line.meaning:
        case Cancel(request_id, _):
            return Explained(request_id, "would be rejected", None, None, (CANCELS,))
        case InvalidRequest() as wrong:
            return Explained(wrong.request_id or f"line {line.number}", "would be rejected", None, None, wrong.problems)
        case RenderRequest() as request:
            return _of_request(
                request, snapshot, catalogue, references, (above or {}).get(key_of(request.tenant, request.request_id))
            )


def _of_request(
    request: RenderRequest, snapshot: RoutingSnapshot, catalogue: Catalogue, references: References, above: str | None
) -> Explained:
    try:
        check(request, catalogue, references, snapshot.lanes(BUILT), above, _offers(request, snapshot))
    except InvalidRequest as wrong:
        return Explained(request.request_id, "would be rejected", None, None, wrong.problems)
    if request.deadline is not None and request.deadline <= snapshot.now:
        late = Problem("deadline", str(request.deadline), "a time in the future", "It would expire unpaid.")
        return Explained(request.request_id, "would expire at once", None, None, (late,))
    history = RequestHistory(key_of(request.tenant, request.request_id), request.tenant, request.deadline)
    return _planned(
        request.request_id,
        "if submitted now",
        Requirements.of(request, above),
        snapshot.context(catalogue, BUILT),
        history,
    )


def _offers(request: RenderRequest, snapshot: RoutingSnapshot) -> Mapping[str, Offer]:
    """As intake reads them: only for a request that may go there."""
    return snapshot.offers if request.allow_gateway else {}


def of_document(key: str, record: RequestRecord, snapshot: RoutingSnapshot, catalogue: Catalogue) -> Explained:
    """As the pump would plan its next attempt now."""
    about = str(record.status)
    if about in FINAL:
        about += "; this is the plan if it were submitted now"
    elif about != "queued":
        about += "; this is the plan for another attempt now"
    ask = record.ask
    return _planned(id_of(key), about, ask, snapshot.context(catalogue, BUILT), request_record.history_of(key, record))


def _planned(name: str, about: str, ask: Requirements, context: RoutingContext, history: RequestHistory) -> Explained:
    routes, plan = ladder.ladder(ask, context, history), ladder.plan(ask, context, history)
    problems = (plan.problem,) if isinstance(plan, Unroutable) else ()
    opens_at = context.opens.get(plan.route.pool) if isinstance(plan, Planned) else None
    return Explained(name, about, None if isinstance(routes, Unroutable) else routes, plan, problems, opens_at)


async def failed_models(store: Store, lines: Sequence[OutgoingMessage]) -> dict[str, str | None]:
    """The model whose image failed the quality bar, by the key of the request that escalates it."""
    requests = [line.meaning for line in lines if isinstance(line.meaning, RenderRequest)]
    escalating = [request for request in requests if request.escalates is not None]
    return {key_of(request.tenant, request.request_id): await failed_model(store, request) for request in escalating}
