"""The public view of a request: what the HTTP API answers, what `status --json` prints, what result webhooks carry."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.core.lifecycle.request_record import FINAL
from shared.core.values.documents import Fields
from shared.core.values.money import usd


def view(request_id: str, data: Fields, now: datetime) -> dict[str, Any]:
    """JSON values only; no prompt, no references."""
    receipt = data["receipt"] or {}
    ask = data["ask"]
    requested = {"model": data["asked_model"], "image_size": ask["image_size"], "lane": ask["lane"]}
    ended = data["status"] in FINAL
    until = data["finished_at"] if ended else now
    self_link = f"/v1/requests/{request_id}"
    return {
        "request_id": request_id,
        "tenant": data["tenant"],
        "group": data["group"],
        "status": data["status"],
        "reason": data["reason"],
        "created_at": _text(data["created_at"]),
        "finished_at": _text(data["finished_at"]),
        "wait_seconds": round((until - data["created_at"]).total_seconds(), 3),
        "requested": receipt.get("requested", requested),
        "delivered": receipt.get("delivered"),
        "image_url": f"{self_link}/image" if data["image_uri"] else None,
        "image_expires_at": None,
        "cost_usd": usd(data["cost_micros"]),
        "cost_basis": data["cost_basis"],
        "attempt_count": data["attempt_count"],
        "reasons": receipt.get("reasons", data["route_reasons"]),
        "mismatches": receipt.get("mismatches", []),
        "outcome": data["outcome"],
        "labels": data["request"].get("labels", {}),
        "trace_id": data["trace_id"],
        "links": {
            "self": self_link,
            "image": f"{self_link}/image",
            "events": f"{self_link}/events",
            "cancel": f"{self_link}/cancel",
        },
    }


def _text(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
