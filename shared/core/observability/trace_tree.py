"""A request's spans as a tree with times: from the span file of this home, or reconstructed from the store's
documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, field

from shared.core.records.attempt import AttemptRecord
from shared.core.records.request import RequestRecord
from shared.core.values.trace_context import Place

SHOWN_ATTRIBUTES = (
    "renderlane.ended_by", "renderlane.effect", "renderlane.outcome", "renderlane.route", "http.response.status_code",
    "renderlane.flags", "renderlane.tries",
)  # fmt: skip
"""Attributes that a line of the tree has room for."""


class SpanView(Struct, frozen=True):
    """One span."""

    span_id: str
    parent_id: str | None
    name: str
    started_at: datetime
    ended_at: datetime
    attributes: Mapping[str, Any] = field(default_factory=dict)
    failed: str | None = None
    open: bool = False
    """It has not ended yet."""

    @property
    def duration(self) -> timedelta:
        return self.ended_at - self.started_at

    @property
    def remark(self) -> str:
        words = [_words(self.attributes[name]) for name in SHOWN_ATTRIBUTES if self.attributes.get(name)]
        return ", ".join([*([self.failed] if self.failed and self.failed not in words else []), *words])

    def to_json(self) -> dict[str, Any]:
        return {
            "span_id": self.span_id,
            "parent_id": self.parent_id,
            "name": self.name,
            "started_at": self.started_at,
            "ended_at": None if self.open else self.ended_at,
            "duration_ms": None if self.open else round(self.duration.total_seconds() * 1000, 3),
            "failed": self.failed,
            "attributes": dict(self.attributes),
        }


class Branch(Struct, frozen=True):
    """A span at its depth in the tree."""

    depth: int
    span: SpanView


def of_otlp(span: Mapping[str, Any]) -> SpanView:
    return SpanView(
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId"),
        name=span["name"],
        started_at=_moment(span["startTimeUnixNano"]),
        ended_at=_moment(span["endTimeUnixNano"]),
        attributes={attribute["key"]: _value(attribute["value"]) for attribute in span["attributes"]},
        failed=span["status"].get("message"),
    )


def with_root(spans: Sequence[SpanView], request: RequestRecord, now: datetime) -> list[SpanView]:
    """The root is written when the request ends: until then the document says where it began."""
    root = Place.parse(request.traceparent)
    if root is None or any(span.span_id == root.span_id for span in spans):
        return list(spans)
    return [_root(root, request, now), *spans]


def still_open(request: RequestRecord, attempts: Iterable[AttemptRecord], now: datetime) -> list[SpanView]:
    """What has begun and not ended, so that there is no span of it yet: the current wait, or the attempt in flight."""
    root = Place.parse(request.traceparent)
    if root is None:
        return []
    if request.status in ("queued", "released"):
        wait = root.named(f"open wait {request.round}")
        return [SpanView(wait.span_id, root.span_id, "queue wait", request.queued_at, now, open=True)]
    return [
        SpanView(
            span_id=root.named(f"attempt {attempt.number}").span_id,
            parent_id=root.span_id,
            name="attempt",
            started_at=attempt.started_at,
            ended_at=now,
            attributes={"renderlane.route": str(attempt.route)},
            open=True,
        )
        for attempt in attempts
        if attempt.ended_at is None
    ]


def of_documents(request: RequestRecord, attempts: Iterable[AttemptRecord], now: datetime) -> list[SpanView]:
    """What can be reconstructed without spans: the whole, the first wait, each attempt."""
    root = Place.parse(request.traceparent)
    assert root is not None, "intake wrote it"
    attempts = list(attempts)
    begun = attempts[0].started_at if attempts else request.finished_at or now
    waits = not attempts and request.finished_at is None
    wait = SpanView(root.named("wait").span_id, root.span_id, "queue wait", request.created_at, begun, open=waits)
    span_views = [_root(root, request, now), wait]
    for attempt in attempts:
        code = None if attempt.outcome is None else attempt.outcome.code
        span_views.append(
            SpanView(
                span_id=root.named(f"attempt {attempt.number}").span_id,
                parent_id=root.span_id,
                name="attempt",
                started_at=attempt.started_at,
                ended_at=attempt.ended_at or now,
                attributes={
                    "renderlane.route": str(attempt.route),
                    "renderlane.outcome": code,
                    "http.response.status_code": attempt.http_status,
                },
                failed=None if attempt.outcome is None else attempt.outcome.problem,
                open=attempt.ended_at is None,
            )
        )
    if attempts and request.status in ("queued", "released"):
        return [*span_views, *still_open(request, (), now)]
    return span_views


def tree(spans: Sequence[SpanView]) -> list[Branch]:
    """Parents before children, children in the order of their starts; a span whose parent is elsewhere is at the
    top."""
    span_ids = {span.span_id for span in spans}
    children: dict[str | None, list[SpanView]] = {}
    for span in spans:
        children.setdefault(span.parent_id if span.parent_id in span_ids else None, []).append(span)

    def below(parent_id: str | None, depth: int) -> Iterable[Branch]:
        for span in sorted(children.get(parent_id, ()), key=lambda span: (span.started_at, span.ended_at)):
            yield Branch(depth, span)
            yield from below(span.span_id, depth + 1)

    return list(below(None, 0))


def _root(root: Place, request: RequestRecord, now: datetime) -> SpanView:
    code = request.outcome_code
    return SpanView(
        span_id=root.span_id,
        parent_id=request.caller_span_id,
        name="request",
        started_at=request.published_at or request.created_at,
        ended_at=request.finished_at or now,
        attributes={"renderlane.outcome": code, "renderlane.route": str(request.route)},
        failed=None if request.outcome is None else request.outcome.problem,
        open=request.finished_at is None,
    )


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _moment(nanoseconds: str) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(nanoseconds) // 1_000)


def _value(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    match kind:
        case "intValue":
            return int(content)
        case "arrayValue":
            return [_value(item) for item in content["values"]]
        case _:
            return content
