"""The span of a model's call, by the semantic conventions for generative models."""

from __future__ import annotations

from datetime import datetime

from shared.core.observability import spans
from shared.core.provider.call import Answer
from shared.core.provider.failure import Failure
from shared.core.records.versioned import Attempt, Request
from shared.core.routing.gateway import CONTRACT
from shared.core.values.lanes import VERTEX
from shared.core.values.trace_context import Place
from shared.flows import tracing
from shared.ports import Ports

PROVIDERS = {"google": "gcp.gemini", VERTEX: "gcp.vertex_ai"}
"""By contract, as the conventions name them; a gateway has its own name."""


def trace_call(
    ports: Ports,
    request: Request,
    attempt: Attempt,
    parent: Place,
    answer: Answer,
    began_at: datetime,
    ended_at: datetime,
    image_size: str | None,
) -> None:
    """`parent` is the attempt's span; `image_size` as it was sent."""
    usage, route = answer.usage, attempt.record.route
    contract = attempt.record.contract
    provider = PROVIDERS.get(contract) or contract.removeprefix(CONTRACT)
    tracing.write(
        ports, spans.MODEL_CALL, tracing.below(ports, parent), parent, began_at, ended_at,
        failed=answer.kind.value if isinstance(answer, Failure) else None,
        operation=spans.MODEL_CALL.name, provider=provider, request_model=route.model,
        response_model=answer.model or None, response_id=answer.provider_request_id or None, output_type="image",
        input_tokens=usage.text_in + usage.image_in if usage else None,
        output_tokens=usage.text_out + usage.image_out + usage.thought if usage else None,
        http_status=answer.http_status, request_id=request.id, attempt=attempt.record.number, lane=route.lane,
        image_size=image_size, references=request.record.ask.references,
    )  # fmt: skip
