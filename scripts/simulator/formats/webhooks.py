"""Webhooks in the API's words: the configuration of a request, the registered resource, and the thin event.

https://ai.google.dev/gemini-api/docs/webhooks (2026-06-22). Where an event carries the `user_metadata` of its request
is not written there: here at its top.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from scripts.simulator.formats.fields import read
from scripts.simulator.provider.accepted_request import WebhookConfig
from scripts.simulator.provider.problems import ApiProblem, invalid

EVENTS = frozenset(
    {
        "batch.succeeded",
        "batch.cancelled",
        "batch.expired",
        "batch.failed",
        "interaction.requires_action",
        "interaction.completed",
        "interaction.failed",
        "interaction.cancelled",
        "video.generated",
    }
)
PING = "webhook.ping"
"""The event of a ping. Its name is not documented."""
_OF_STATUS = {
    "completed": "interaction.completed",
    "failed": "interaction.failed",
    "cancelled": "interaction.cancelled",
    "requires_action": "interaction.requires_action",
}
_OF_BATCH = {
    "SUCCEEDED": "batch.succeeded",
    "FAILED": "batch.failed",
    "CANCELLED": "batch.cancelled",
    "EXPIRED": "batch.expired",
}


def event_of_status(status: str) -> str | None:
    """None: no event is documented for this end, and only a look tells of it."""
    return _OF_STATUS.get(status)


def event_of_batch(state: str) -> str | None:
    return _OF_BATCH.get(state)


def event(kind: str, at: datetime, data: Mapping[str, Any], user_metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The whole body of one delivery."""
    body: dict[str, Any] = {"type": kind, "version": "v1", "timestamp": _written(at), "data": dict(data)}
    return body | ({"user_metadata": dict(user_metadata)} if user_metadata else {})


def data(event_id: str, problem: ApiProblem | None = None, **more: str) -> dict[str, Any]:
    """Of an event: the id of what it is about, and why that failed."""
    errors = {"error_code": problem.code, "error_message": problem.message} if problem is not None else {}
    return {"id": event_id} | errors | more


def resource(
    webhook_id: str,
    name: str,
    uri: str,
    subscribed: tuple[str, ...],
    state: str,
    times: tuple[datetime, datetime],
    secrets: list[tuple[str, datetime | None]],
) -> dict[str, Any]:
    """A registered webhook without its secrets; `times` of its creation and its last change."""
    body: dict[str, Any] = {
        "id": webhook_id,
        "uri": uri,
        "subscribed_events": list(subscribed),
        "state": state,
        "create_time": _written(times[0]),
        "update_time": _written(times[1]),
        "signing_secrets": [_shortened(secret, expires_at) for secret, expires_at in secrets],
    }
    return body | ({"name": name} if name else {})


def config(given: Mapping[str, Any], where: str, names: tuple[str, str]) -> WebhookConfig:
    """`names` of its two members: batches write them in camel case."""
    for name in given:
        if name not in names:
            raise invalid(f"Unknown parameter '{where}{name}'.", code="parameter_unknown")
    uris = [str(uri) for uri in read(given, names[0], list, where) or []]
    for uri in uris:
        check_uri(uri, f"{where}{names[0]}")
    return WebhookConfig(tuple(uris), read(given, names[1], dict, where) or {})


def check_uri(uri: str, where: str) -> None:
    """HTTPS, or this machine: what stands in for the provider here may call back here."""
    parts = urlsplit(uri)
    if parts.hostname and parts.scheme == "https":
        return
    if parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"):
        return
    raise invalid(f"Invalid value at '{where}': the URI must be an HTTPS URI.")


def _shortened(secret: str, expires_at: datetime | None) -> dict[str, Any]:
    body: dict[str, Any] = {"truncated_secret": f"{secret[:10]}..."}
    return body | ({"expire_time": _written(expires_at)} if expires_at is not None else {})


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
