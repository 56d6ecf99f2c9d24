"""The messages between the functions, and the result event: values to bytes and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from shared.core.messages.render_request import DEFAULT_TENANT, InvalidRequest
from shared.core.messages.request_key import id_of, is_key
from shared.core.values.documents import Fields
from shared.core.values.money import usd

LONGEST_ID = 200
"""Characters; a request's own id has at most 128, one that revives it a few more."""


class BadMessage(Exception):
    """A message on an inner topic that none of our functions wrote. It is acknowledged and reported, never retried."""


class Release(Struct, frozen=True):
    """A slot in a worker's hand."""

    request_id: str
    """The key of the request."""
    number: int

    def to_bytes(self) -> bytes:
        return json.dumps({"request_id": self.request_id, "release": self.number}).encode()

    @classmethod
    def parse(cls, data: bytes) -> Release:
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


class Kick(Struct, frozen=True):
    """A message that wakes the pump."""

    queues: frozenset[str] = frozenset()
    """Those that have something new; none named = any may."""

    def to_bytes(self) -> bytes:
        return json.dumps({"queues": sorted(self.queues)}).encode()

    @classmethod
    def parse(cls, data: bytes) -> Kick:
        """Whatever cannot be read wakes the pump all the same: the schedule's own message is empty."""
        try:
            queues = json.loads(data)["queues"]
            return cls(frozenset(each for each in queues if isinstance(each, str)))
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


def result_event(key: str, data: Fields) -> Event:
    """The result of a finished request, under the id and the tenant that its caller knows it by."""
    receipt = data["receipt"] or {}
    ask = data["ask"]
    asked = {"model": data["asked_model"], "image_size": ask["image_size"], "lane": ask["lane"]}
    return _event(
        {
            "request_id": id_of(key),
            "tenant": data["tenant"],
            "group": data["group"],
            "status": data["status"],
            "round": data["round"],
            "revives": data.get("revives"),
            "image_uri": data["image_uri"],
            "requested": receipt.get("requested", asked),
            "delivered": receipt.get("delivered"),
            "reasons": receipt.get("reasons", data["route_reasons"]),
            "mismatches": receipt.get("mismatches", []),
            "cost_usd": usd(data["cost_micros"]),
            "cost_basis": data["cost_basis"],
            "attempt_count": data["attempt_count"],
            "outcome": data["outcome"],
            "labels": data["request"].get("labels", {}),
            "trace_id": data["trace_id"],
            "message_id": data["message_id"],
            "finished_at": _text(data["finished_at"]),
        }
    )


def rejection_event(request_id: str, reason: InvalidRequest, message_id: str, trace_id: str, at: datetime) -> Event:
    """The answer to a message that names a valid id but cannot be taken. Never final for that id.

    It goes to the tenant that the message names: its filter lets the rejection through.
    """
    return _event(
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
            "finished_at": _text(at),
        }
    )


def _event(payload: dict[str, Any]) -> Event:
    attributes = {
        "request_id": payload["request_id"],
        "status": payload["status"],
        "tenant": payload["tenant"] or "",
    }
    return Event(json.dumps(payload, ensure_ascii=False).encode(), attributes)


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
