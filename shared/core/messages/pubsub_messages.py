"""The messages between the functions, and the result event: values to bytes and back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from shared.core.messages.render_request import DEFAULT_TENANT, InvalidRequest
from shared.core.messages.request_key import is_key
from shared.core.values.money import usd

LONGEST_ID = 200
"""Characters; a request's own id has at most 128, a revived one a few more."""

PROVIDER_ID = r"[A-Za-z0-9][A-Za-z0-9._~:/+=-]{0,255}"
"""Of an interaction, or a batch's name (`batches/...`)."""


class BadMessage(Exception):
    """A message on an internal topic that none of our functions wrote. It is acknowledged and reported, never
    retried."""


class ReleaseMessage(Struct, frozen=True):
    """A slot in a worker's hand."""

    request_id: str
    """The key of the request."""
    number: int

    def to_bytes(self) -> bytes:
        return json.dumps({"request_id": self.request_id, "release": self.number}).encode()

    @classmethod
    def parse(cls, data: bytes) -> ReleaseMessage:
        try:
            payload = json.loads(data)
            request_id, number = payload["request_id"], payload["release"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadMessage("not a release: request_id and release are expected") from error
        if not isinstance(request_id, str) or not isinstance(number, int) or isinstance(number, bool):
            raise BadMessage("not a release: request_id is text and release a number")
        if not is_key(request_id, LONGEST_ID):
            raise BadMessage("not a release: request_id is no key of a request")
        return cls(request_id, number)


class Arrival(Struct, frozen=True):
    """An interaction that has ended, or may have: a function looks at it and settles its attempt.

    A webhook may know only its id; `attempt` 0 and an empty `request_id` then mean that the store is searched for it.
    """

    interaction_id: str
    request_id: str = ""
    """The key of the request."""
    attempt: int = 0

    def to_bytes(self) -> bytes:
        named = {"request_id": self.request_id, "attempt": self.attempt} if self.request_id else {}
        return json.dumps({"interaction_id": self.interaction_id, **named}).encode()


class BatchArrival(Struct, frozen=True):
    """A batch that has ended, or may have, by the provider's name: a function looks at it now."""

    name: str

    def to_bytes(self) -> bytes:
        return json.dumps({"batch": self.name}).encode()


def parse_arrival(data: bytes) -> Arrival | BatchArrival:
    """Raises BadMessage."""
    try:
        payload = json.loads(data)
        if "batch" in payload:
            return BatchArrival(_provider_id(payload["batch"], "batch"))
        interaction_id = _provider_id(payload["interaction_id"], "interaction_id")
        request_id, attempt = payload.get("request_id"), payload.get("attempt")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadMessage("not an arrival: interaction_id or batch is expected") from error
    if request_id in (None, "") or attempt in (None, 0):
        return Arrival(interaction_id)
    if not isinstance(request_id, str) or not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 1:
        raise BadMessage("not an arrival: request_id is text and attempt a number from 1")
    if not is_key(request_id, LONGEST_ID):
        raise BadMessage("not an arrival: request_id is no key of a request")
    return Arrival(interaction_id, request_id, attempt)


def _provider_id(value: object, field: str) -> str:
    if not isinstance(value, str) or re.fullmatch(PROVIDER_ID, value) is None:
        raise BadMessage(f"not an arrival: {field} is no id of the provider's")
    return value


class Kick(Struct, frozen=True):
    """A message that wakes the pump."""

    queues: frozenset[str] = frozenset()
    """Queues that have something new; empty = any may have."""

    def to_bytes(self) -> bytes:
        return json.dumps({"queues": sorted(self.queues)}).encode()

    @classmethod
    def parse(cls, data: bytes) -> Kick:
        """Never fails. An empty or unreadable payload (Cloud Scheduler sends an empty one) means: check every queue."""
        try:
            queues = json.loads(data)["queues"]
            return cls(frozenset(queue for queue in queues if isinstance(queue, str)))
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls()


class Event(Struct, frozen=True):
    """One message for `render-results`."""

    data: bytes
    attributes: Mapping[str, str]


def cancellation(tenant: str, request_id: str) -> bytes:
    """A message on `render-requests`."""
    owner = {} if tenant == DEFAULT_TENANT else {"tenant": tenant}
    return json.dumps({"cancel": request_id, **owner}).encode()


def rejection_event(request_id: str, reason: InvalidRequest, message_id: str, trace_id: str, at: datetime) -> Event:
    """The answer to a message that was rejected. Never final for the id that it names; the id is empty if the message
    names none. It goes to the tenant that the message names, whose filter lets rejections through."""
    return event_of(
        {
            "request_id": request_id,
            "tenant": reason.tenant,
            "group": None,
            "status": "rejected",
            "round": None,
            "revives": None,
            "image_uri": None,
            "requested": None,
            "delivered": None,
            "reasons": [str(problem) for problem in reason.problems],
            "mismatches": [],
            "cost_usd": usd(0),
            "cost_basis": None,
            "attempt_count": 0,
            "outcome": {
                "code": "rejected",
                "message": str(reason),
                "advice": "Correct the named fields and publish again.",
            },
            "labels": {},
            "trace_id": trace_id,
            "message_id": message_id,
            "finished_at": text_of(at),
        }
    )


def event_of(payload: dict[str, Any]) -> Event:
    """Its attributes are what subscriptions filter by."""
    attributes = {
        "request_id": payload["request_id"],
        "status": payload["status"],
        "tenant": payload["tenant"] or "",
    }
    return Event(json.dumps(payload, ensure_ascii=False).encode(), attributes)


def text_of(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
