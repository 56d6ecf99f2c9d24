"""What is known about a message apart from its request: that it was accepted, or why it was rejected."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from shared.core.validation.shapes import Problem
from shared.core.values.codec import Record, Stored


class AcceptedImage(Stored, frozen=True):
    """The requested model, by id."""

    model: str
    image_size: str
    lane: str


class AcceptedRecord(Record, frozen=True):
    """`accepted/{key}`: what the API knows about a request between publishing and its record. No prompt."""

    request_id: str
    tenant: str
    group: str | None
    labels: Mapping[str, str]
    content_hash: str
    requested: AcceptedImage
    created_at: datetime
    expire_at: datetime


class RejectedRecord(Record, frozen=True):
    """`rejected/{message id}`: a message that was rejected."""

    reason: str
    created_at: datetime
    problems: tuple[Problem, ...] = ()
    request_id: str | None = None
    """If it named a valid one."""
    tenant: str | None = None
    message_id: str = ""
    excerpt: str = ""
    """The beginning of the message."""
    trace_id: str | None = None
    traceparent: str | None = None
    expire_at: datetime | None = None
