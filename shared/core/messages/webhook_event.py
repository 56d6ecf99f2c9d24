"""What a webhook of the provider says: an interaction or a batch has ended. Its body is read once, here.

The payload is thin: `{"type": "interaction.completed", "version": "v1", "timestamp": ..., "data": {"id": ...}}`
(https://ai.google.dev/gemini-api/docs/webhooks). It is not documented where it holds the `user_metadata` of the
request: both the top level and `data` are searched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from msgspec import Struct

from shared.core.messages.pubsub_messages import Arrival, BadMessage, BatchArrival, parse_arrival
from shared.core.times.moments import read_moment

LONGEST_TYPE = 64


class NoArrival(Struct, frozen=True):
    """Nothing of ours has ended: a ping, a video, an event of a later release."""


Ended: TypeAlias = Arrival | BatchArrival | NoArrival


class WebhookEvent(Struct, frozen=True):
    """One event of the provider, as its type and what has ended."""

    type: str
    ended: Ended

    @property
    def about(self) -> str:
        """The id of the interaction, or the name of the batch; empty if it concerns neither."""
        match self.ended:
            case Arrival(interaction_id=name) | BatchArrival(name=name):
                return name
            case NoArrival():
                return ""


class Noted(Struct, frozen=True):
    """What the arrival's message says about its webhook: `collect` writes its span into the request's trace."""

    webhook_id: str
    event: str
    way: str
    """How it was signed."""
    received_at: datetime

    def to_attributes(self) -> dict[str, str]:
        return {
            "webhook_id": self.webhook_id,
            "webhook_event": self.event,
            "webhook_way": self.way,
            "received_at": self.received_at.isoformat(),
        }

    @classmethod
    def parse(cls, attributes: Mapping[str, str]) -> Noted | None:
        """None if the arrival is the pump's own, or cannot be read."""
        try:
            received_at = read_moment(attributes["received_at"])
            if received_at is None:
                return None
            return cls(attributes["webhook_id"], attributes["webhook_event"], attributes["webhook_way"], received_at)
        except KeyError:
            return None


def parse_event(body: bytes) -> WebhookEvent:
    """Raises BadMessage."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadMessage("not an event: a JSON object is expected") from error
    kind = payload.get("type") if isinstance(payload, dict) else None
    if not isinstance(kind, str) or not kind or len(kind) > LONGEST_TYPE or not kind.isprintable():
        raise BadMessage("not an event: its type is expected")
    family, _, _ = kind.partition(".")
    if family not in ("interaction", "batch"):
        return WebhookEvent(kind, NoArrival())
    content = payload.get("data")
    about = content.get("id") if isinstance(content, dict) else None
    if family == "batch":
        return WebhookEvent(kind, parse_arrival(json.dumps({"batch": about}).encode()))
    arrival = parse_arrival(json.dumps({"interaction_id": about}).encode())
    assert isinstance(arrival, Arrival)
    return WebhookEvent(kind, _with_request(arrival, payload, content))


def contradicts(claims: Mapping[str, Any], event: WebhookEvent) -> bool:
    """Whether a signed token names another event than the body it came with. A token that names none does not."""
    if claims.get("type", event.type) != event.type:
        return True
    content = claims.get("data")
    return isinstance(content, dict) and bool(event.about) and content.get("id", event.about) != event.about


def _with_request(arrival: Arrival, payload: Mapping[str, Any], content: Mapping[str, Any]) -> Arrival:
    """The arrival with its request, if the event returns a valid one: otherwise the store is searched."""
    for holder in (payload, content):
        about = holder.get("user_metadata")
        if not isinstance(about, dict):
            continue
        named = {name: about.get(name) for name in ("request_id", "attempt")}
        if isinstance(named["attempt"], str) and named["attempt"].isdecimal():
            named["attempt"] = int(named["attempt"][:9])
        if isinstance(named["attempt"], float) and named["attempt"].is_integer():
            named["attempt"] = int(named["attempt"])
        try:
            complete = parse_arrival(json.dumps({"interaction_id": arrival.interaction_id, **named}).encode())
        except BadMessage:
            continue
        assert isinstance(complete, Arrival)
        if complete.request_id:
            return complete
    return arrival
