"""A request as the HTTP API shows it. Fields that this version does not know are passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from renderlane.result import Delivered, NotAResult, Outcome, Requested, known_fields

ENDED = frozenset({"succeeded", "refused", "failed", "expired", "cancelled", "rejected"})


@dataclass(frozen=True, slots=True)
class View:
    request_id: str
    tenant: str
    status: str
    """`accepted`, `queued`, `released`, `rendering`, `batched`; at the end `succeeded`, `refused`, `failed`, `expired`,
    `cancelled`, or `rejected`."""
    created_at: datetime
    cost_usd: Decimal
    """Known cost of all attempts."""
    group: str | None = None
    reason: str | None = None
    """Why it waits."""
    finished_at: datetime | None = None
    wait_seconds: float | None = None
    requested: Requested | None = None
    delivered: Delivered | None = None
    image_url: str | None = None
    image_expires_at: datetime | None = None
    """Until when `image_url` works; None: as long as the image is kept."""
    cost_basis: str | None = None
    attempt_count: int = 0
    reasons: tuple[str, ...] = ()
    """Why the route differs from what was requested."""
    mismatches: tuple[str, ...] = ()
    outcome: Outcome | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    trace_id: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    """Addresses of the request, its image, its events and its cancellation: `self`, `image`, `events`, `cancel`."""

    @property
    def ok(self) -> bool:
        return self.status == "succeeded"

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @classmethod
    def of(cls, payload: Any) -> View:
        """Raises NotAResult."""
        try:
            requested, delivered, outcome = (payload.get(name) for name in ("requested", "delivered", "outcome"))
            finished_at, expires_at = payload.get("finished_at"), payload.get("image_expires_at")
            return cls(
                request_id=str(payload["request_id"]),
                tenant=str(payload["tenant"]),
                status=str(payload["status"]),
                created_at=datetime.fromisoformat(payload["created_at"]),
                cost_usd=Decimal(payload["cost_usd"]),
                finished_at=datetime.fromisoformat(finished_at) if finished_at else None,
                image_expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
                requested=Requested(**known_fields(Requested, requested)) if requested else None,
                delivered=Delivered(**known_fields(Delivered, delivered)) if delivered else None,
                outcome=Outcome(**known_fields(Outcome, outcome)) if outcome else None,
                attempt_count=int(payload.get("attempt_count") or 0),
                reasons=tuple(payload.get("reasons") or ()),
                mismatches=tuple(payload.get("mismatches") or ()),
                labels=dict(payload.get("labels") or {}),
                links=dict(payload.get("links") or {}),
                **{
                    name: payload.get(name)
                    for name in ("group", "reason", "wait_seconds", "image_url", "cost_basis", "trace_id")
                },
            )
        except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
            raise NotAResult(f"not a request: {type(error).__name__}") from error
