"""One result for one endpoint: `webhook_deliveries/{id}`, and the message that has it sent."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any, Literal, Self, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.core.values.codec import Stored

State: TypeAlias = Literal["pending", "delivered", "dead"]

KEEP_FOR = timedelta(days=30)
"""As long as the request itself is kept: a replay needs it."""
LEASE = timedelta(seconds=60)
"""An attempt that has not reported by then is repeated: longer than its time limit."""
GIVE_UP_AFTER = timedelta(hours=24)
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 60, 5 * 60, 30 * 60, 2 * 3600, 4 * 3600, 8 * 3600))
"""After the first, second, ... failure; the last one repeats."""
JITTER = 0.2
"""A pause is extended by up to this share: retries after one outage do not arrive together."""
LONGEST_RETRY_AFTER = timedelta(hours=1)


class Attempted(Struct, frozen=True):
    """How the last attempt ended."""

    at: datetime
    http_status: int | None = None
    """None = no answer."""
    reason: str | None = None
    """None = it was delivered."""


class WebhookDelivery(Stored, frozen=True):
    tenant: str
    endpoint: str
    request_id: str
    message_id: str
    """`webhook-id`: the same at every attempt and endpoint, so that receivers can drop repeats."""
    status: str
    """The final status of the request, or `rejected`."""
    state: State
    due_at: datetime | None
    """When the next attempt is due; None when it is over."""
    give_up_at: datetime
    created_at: datetime
    expire_at: datetime
    rejected_message: str | None = None
    """For a rejection: the id of the message, whose document is sent instead of a request's."""
    attempt_count: int = 0
    last: Attempted | None = None

    @classmethod
    def new(
        cls, tenant: str, endpoint: str, request_id: str, message_id: str, status: str, now: datetime,
        rejected_message: str | None = None,
    ) -> Self:  # fmt: skip
        return cls(
            tenant=tenant, endpoint=endpoint, request_id=request_id, message_id=message_id, status=status,
            state="pending", due_at=now, give_up_at=now + GIVE_UP_AFTER, created_at=now,
            expire_at=now + KEEP_FOR, rejected_message=rejected_message,
        )  # fmt: skip

    def is_due(self, now: datetime) -> bool:
        return self.due_at is not None and self.due_at <= now

    def is_last_chance(self, now: datetime) -> bool:
        return now >= self.give_up_at

    def claimed(self, now: datetime) -> Self:
        """An attempt begins. When the process dies during it, it is due again after the lease."""
        return replace(self, attempt_count=self.attempt_count + 1, due_at=now + LEASE)

    def deferred(self, until: datetime) -> Self:
        """No attempt is made now; its last attempt is never deferred."""
        return replace(self, due_at=min(until, self.give_up_at))

    def delivered(self, attempted: Attempted) -> Self:
        return replace(self, state="delivered", due_at=None, last=attempted)

    def dead(self, attempted: Attempted) -> Self:
        return replace(self, state="dead", due_at=None, last=attempted)

    def failed(self, attempted: Attempted, retry_after: timedelta | None, jitter: float) -> Self:
        """Due again after a growing pause; dead once the day is over. `jitter` is in [0, 1)."""
        now = attempted.at
        if self.is_last_chance(now):
            return self.dead(attempted)
        pause = PAUSES[min(self.attempt_count, len(PAUSES)) - 1] * (1 + JITTER * jitter)
        if retry_after is not None:
            pause = max(pause, min(retry_after, LONGEST_RETRY_AFTER))
        return replace(self, due_at=min(now + pause, self.give_up_at), last=attempted)

    def replayed(self, now: datetime) -> Self:
        """From the beginning, under the same `webhook-id`."""
        return replace(self, state="pending", due_at=now, attempt_count=0, give_up_at=now + GIVE_UP_AFTER)


class DueRow(Stored, frozen=True):
    """The part of a delivery that says when it is due."""

    due_at: datetime


class Due(Struct, frozen=True):
    """The message on `webhook-deliveries`: attempt this delivery now."""

    delivery_id: str

    def to_bytes(self) -> bytes:
        return json.dumps({"delivery": self.delivery_id}).encode()


def moment(at: datetime) -> str:
    """RFC 3339 with Z, as results have it."""
    return at.isoformat().replace("+00:00", "Z")


def message_id(tenant: str, request_id: str, finished_at: str) -> str:
    """Stable for one end of one request: an id that is reused after 30 days ends at another moment."""
    digest = hashlib.sha256(f"{tenant}\0{request_id}\0{finished_at}".encode()).hexdigest()
    return f"msg_{digest[:32]}"


def rejection_id(tenant: str, rejected_message: str) -> str:
    """Stable for one rejected message, however often it is delivered."""
    return message_id(tenant, "", f"rejected {rejected_message}")


def delivery_id(message: str, endpoint_id: str) -> str:
    return f"{message}-{endpoint_id}"


def path(delivery_id: str) -> str:
    return f"webhook_deliveries/{delivery_id}"


def payload(status: str, finished_at: str, view: Any) -> bytes:
    """The body of the Standard Webhooks specification: type, timestamp, data."""
    body = {"type": f"render.{status}", "timestamp": finished_at, "data": view}
    return json.dumps(body, ensure_ascii=False).encode()
