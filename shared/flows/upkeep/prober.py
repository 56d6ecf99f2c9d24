"""A request of our own every few minutes, through everything a caller's goes through, and the result of the last one.

Its id is its time, so that any number of watches publish one request. It is a capped draft of a tenant of its own.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from shared.core.lifecycle import request_record
from shared.core.messages.request_key import key_of
from shared.core.messages.topics import RENDER_REQUESTS
from shared.core.observability import events
from shared.core.records.versioned import request_in
from shared.core.values.documents import Absent, Document
from shared.ports import Ports

TENANT = "prober"
MAX_COST_USD = "0.10"
PROMPT = "A plain grey square."


async def probe(ports: Ports, now: datetime) -> None:
    """Once a period: report how the last probe ended, publish the next. Raises StoreUnavailable, TopicsUnavailable."""
    if not ports.probe_every:
        return
    begins_at = _begin(now, ports.probe_every)
    if not isinstance(await ports.store.get(_path(begins_at)), Absent):
        return
    await _judge(ports, begins_at - ports.probe_every)
    await ports.topics.publish(RENDER_REQUESTS, _message(begins_at, begins_at + ports.probe_every))


async def _judge(ports: Ports, begins_at: datetime) -> None:
    """A probe that is not on record has failed too, unless probing has only just begun."""
    document = await ports.store.get(_path(begins_at))
    if isinstance(document, Absent):
        if isinstance(await ports.store.get(_path(begins_at - ports.probe_every)), Document):
            _say(ports, begins_at, "absent", "", None)
        return
    record = request_in(document).record
    ended_at = record.finished_at
    seconds = None if ended_at is None else round((ended_at - record.created_at).total_seconds(), 1)
    _say(ports, begins_at, record.status, record.outcome_code or "", seconds, trace_id=record.trace_id)


def _say(
    ports: Ports, begins_at: datetime, status: str, outcome: str, seconds: float | None, **trace: str | None
) -> None:
    """A refusal is an answer; any other end without an image is a failure of ours."""
    signal = events.PROBE_ENDED if status in ("succeeded", "refused") else events.PROBE_FAILED
    ports.signals.emit(signal, request_id=_id(begins_at), status=status, outcome=outcome, seconds=seconds, **trace)


def _begin(now: datetime, every: timedelta) -> datetime:
    seconds = every.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)


def _id(begins_at: datetime) -> str:
    return f"probe-{begins_at:%Y%m%dT%H%M}"


def _path(begins_at: datetime) -> str:
    return request_record.path(key_of(TENANT, _id(begins_at)))


def _message(begins_at: datetime, deadline: datetime) -> bytes:
    request = {
        "request_id": _id(begins_at), "prompt": PROMPT, "tenant": TENANT, "purpose": "draft", "priority": "interactive",
        "max_cost_usd": MAX_COST_USD, "deadline": deadline.isoformat(), "labels": {"probe": "true"},
    }  # fmt: skip
    return json.dumps(request).encode()
