"""The result of a finished request, as it is published. Pure."""

from __future__ import annotations

from shared.core.messages.pubsub_messages import Event, event_of, text_of
from shared.core.messages.request_key import id_of
from shared.core.records.request import RequestRecord
from shared.core.values.codec import stored_value
from shared.core.values.money import usd


def result_event(key: str, request: RequestRecord) -> Event:
    """Under the id and the tenant that its caller knows it by."""
    receipt, ask = request.receipt, request.ask
    assert request.finished_at is not None
    requested = stored_value(receipt.requested) if receipt is not None else None
    return event_of(
        {
            "request_id": id_of(key),
            "tenant": request.tenant,
            "group": request.group,
            "status": request.status,
            "round": request.round,
            "revives": request.revives,
            "image_uri": request.image_uri,
            "requested": requested or {"model": request.asked_model, "image_size": ask.image_size, "lane": ask.lane},
            "delivered": None if receipt is None else stored_value(receipt.delivered),
            "reasons": list(request.reasons),
            "mismatches": [] if receipt is None else list(receipt.mismatches),
            "cost_usd": usd(request.cost_micros),
            "cost_basis": request.cost_basis,
            "attempt_count": request.attempt_count,
            "outcome": None if request.outcome is None else request.outcome.to_json(),
            "labels": request.request.get("labels", {}),
            "trace_id": request.trace_id,
            "message_id": request.message_id,
            "finished_at": text_of(request.finished_at),
        }
    )
