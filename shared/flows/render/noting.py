"""What an answer says beyond its own request: about the model's limits, the route's health, and conclusions."""

from __future__ import annotations

from shared.core.provider.call import Answer, Made
from shared.core.provider.failure import Failure
from shared.core.records.versioned import Request
from shared.flows.clock import ServerTime
from shared.flows.render.limit_reports import Asker, Evidence


async def is_own(evidence: Evidence, answer: Answer, request: Request) -> bool:
    """A denial that other requests do not get."""
    if isinstance(answer, Made):
        return False
    route = request.record.route
    return await evidence.is_requests_own(route, answer, request.record.denied_at)


async def note(evidence: Evidence, answer: Answer, request: Request, time: ServerTime) -> None:
    """Report what this answer says about others."""
    route = request.record.route
    if isinstance(answer, Failure):
        record = request.record
        asker = Asker(request.id, record.tenant, record.probe, record.avoided)
        await evidence.failed(route, answer, request.record.slot_start, time, asker)
    else:
        if answer.usage is not None:
            drift = answer.usage.text_in + answer.usage.image_in - request.record.input_tokens
            await evidence.answered(route.pool, request.record.slot_start, drift, time)
        await evidence.made(route, request.record.slot_start, time)
    if request.record.probe == route.circuit and _is_well(answer):
        await evidence.probed(route, time)


def _is_well(answer: Answer) -> bool:
    """Everything that a healthy route may answer, including a refusal."""
    return isinstance(answer, Made) or not answer.rule.sick_route
