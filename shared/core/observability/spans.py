"""Every stage of a request that is traced, declared once: name, kind, attributes. No prompt, no key, no image.

One request is one trace. Its root is `request`, from publishing to the end; the stages below tile it:

    request
      publish       from the publisher to intake
      intake        parsed, planned, on record
      queue wait    written by the process that ends it; linked to the tick that did
      pump          the tick's share in this request; linked to the tick, which is a trace of its own
        release     the slot handed out
      slot wait     linked to its release; written when the slot is reached, or lost
      attempt       written by the process that settles it
        start interaction    in the background: from the slot to the provider's answer with an id
        arrive               the provider's webhook, from its door to `render-arrivals`
        collect              each look at it that settled the attempt
        generate_content MODEL
        store image
        settle
      result        announced
      webhook       one attempt to send the result to an endpoint of the tenant
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from shared.core.values.status import Status
from shared.core.values.trace_context import Place

SpanKind: TypeAlias = Literal["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
Attribute: TypeAlias = str | int | float | bool | Sequence[str]

CONVENTIONS: Mapping[str, str] = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "request_model": "gen_ai.request.model",
    "response_model": "gen_ai.response.model",
    "response_id": "gen_ai.response.id",
    "output_type": "gen_ai.output.type",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "http_status": "http.response.status_code",
    "error": "error.type",
    "topic": "messaging.destination.name",
    "message_id": "messaging.message.id",
}
"""Fields that OpenTelemetry has a name for; every other field becomes `renderlane.FIELD`."""


class Stage(Struct, frozen=True):
    name: str
    kind: SpanKind
    fields: tuple[str, ...]


class Span(Struct, frozen=True):
    """One ended stage of one request."""

    stage: Stage
    place: Place
    parent_id: str | None
    """The span that it is a part of; None at the root of a trace."""
    started_at: datetime
    ended_at: datetime
    fields: Mapping[str, Attribute | None]
    links: tuple[Place, ...] = ()
    """Spans elsewhere that it waited for."""
    failed: str | None = None
    """The code of what went wrong."""

    @property
    def name(self) -> str:
        """The stage's, and on a call the model's with it, as the conventions for generative models want it."""
        model = self.fields.get("request_model")
        return self.stage.name if model is None else f"{self.stage.name} {model}"

    @property
    def attributes(self) -> dict[str, Attribute]:
        """Attributes by their full names; unknown values are omitted."""
        named = {CONVENTIONS.get(name, f"renderlane.{name}"): value for name, value in self.fields.items()}
        if self.failed is not None:
            named[CONVENTIONS["error"]] = self.failed
        return {name: value for name, value in named.items() if value is not None}


REQUEST = Stage(
    "request",
    "INTERNAL",
    (
        "request_id", "tenant", "priority", "status", "outcome", "route", "flags", "reasons", "attempt_count", "round",
        "cost_micros", "cost_basis",
    ),
)  # fmt: skip
PUBLISH = Stage("publish", "PRODUCER", ("topic", "message_id", "request_id"))
INTAKE = Stage("intake", "CONSUMER", ("topic", "message_id", "request_id", "effect", "route", "reasons", "problems"))
QueueEnd: TypeAlias = Literal["slot", "open slot", "batch"] | Status
"""What ends a wait in the queue: a slot, being put aside for a batch, or the end of the request."""
SlotLoss: TypeAlias = Literal["not_taken_up", "slot_passed", "cancelled"]
"""Why nothing started in a slot, apart from the failures of a call that never left."""
QUEUE_WAIT = Stage("queue wait", "INTERNAL", ("request_id", "priority", "model", "round", "ended_by"))
TICK = Stage("pump tick", "INTERNAL", ("heads", "grants", "holder"))
PUMP = Stage("pump", "INTERNAL", ("request_id", "route", "flags", "reasons", "slot_at", "estimate_micros", "probe"))
RELEASE = Stage("release", "PRODUCER", ("topic", "request_id", "release", "slot_at"))
SLOT_WAIT = Stage("slot wait", "INTERNAL", ("request_id", "release", "slot_at"))
ATTEMPT = Stage(
    "attempt",
    "INTERNAL",
    (
        "request_id", "attempt", "route", "flags", "reasons", "outcome", "effect", "http_status", "cost_micros",
        "cost_basis", "latency_ms", "key_kind", "recovered",
    ),
)  # fmt: skip
MODEL_CALL = Stage(
    "generate_content",
    "CLIENT",
    (
        "operation", "provider", "request_model", "response_model", "response_id", "output_type", "input_tokens",
        "output_tokens", "http_status", "request_id", "attempt", "lane", "image_size", "references",
    ),
)  # fmt: skip
START = Stage("start interaction", "CLIENT", ("request_id", "attempt", "interaction_id", "way", "lane", "image_size"))
ARRIVE = Stage(
    "arrive",
    "SERVER",
    ("topic", "message_id", "request_id", "attempt", "interaction_id", "webhook_event", "webhook_way"),
)
COLLECT = Stage("collect", "CONSUMER", ("topic", "message_id", "request_id", "attempt", "interaction_id", "delay_ms"))
STORE_IMAGE = Stage("store image", "CLIENT", ("request_id", "attempt", "image_bytes", "tries"))
SETTLE = Stage("settle", "INTERNAL", ("request_id", "attempt", "effect", "cost_micros"))
RESULT = Stage("result", "PRODUCER", ("topic", "message_id", "request_id", "status"))
WEBHOOK = Stage("webhook", "CLIENT", ("request_id", "endpoint", "delivery", "attempt", "http_status", "effect"))

ALL = {
    stage.name: stage
    for stage in (
        REQUEST, PUBLISH, INTAKE, QUEUE_WAIT, TICK, PUMP, RELEASE, SLOT_WAIT, ATTEMPT, START, ARRIVE, COLLECT,
        MODEL_CALL, STORE_IMAGE, SETTLE, RESULT, WEBHOOK,
    )
}  # fmt: skip


def check(span: Span) -> None:
    """Raises ValueError for an undeclared stage, or for fields other than the declared ones."""
    if ALL.get(span.stage.name) is not span.stage:
        raise ValueError(f"the stage {span.stage.name} is not declared in shared/core/observability/spans.py")
    if set(span.fields) != set(span.stage.fields):
        raise ValueError(f"{span.stage.name} carries {sorted(span.stage.fields)}, not {sorted(span.fields)}")
