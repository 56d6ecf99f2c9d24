"""Every metric, declared once, and what each ended stage adds to them.

Counts and times come from spans; current values are observed by `watch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from shared.core.observability import spans
from shared.core.observability.spans import Attribute, Span
from shared.core.values.lanes import BATCH

MetricKind: TypeAlias = Literal["counter", "histogram", "gauge"]


class Metric(Struct, frozen=True):
    name: str
    kind: MetricKind
    unit: str
    """By UCUM, as OpenTelemetry wants it."""
    labels: tuple[str, ...]
    says: str


class Measure(Struct, frozen=True):
    """One reading of one metric."""

    metric: Metric
    value: float
    labels: Mapping[str, str]


ROUTE = ("route", "lane", "model", "size")
"""A route as one text, and its three parts."""
TENANT = "tenant"
"""The one label whose values callers choose: telemetry limits how many there are (`tenant_labels`)."""
OTHER = "other"
"""What a limited label says for all values beyond its limit."""
REQUESTS = Metric(
    "renderlane.requests", "counter", "{request}", ("status", "outcome", "priority", TENANT), "requests that ended"
)
REQUEST_DURATION = Metric(
    "renderlane.request.duration",
    "histogram",
    "s",
    ("status", "priority", "model", TENANT),
    "from the publish of a request to its result",
)
RENDERS = Metric("renderlane.renders", "counter", "{attempt}", (*ROUTE, "outcome"), "attempts that ended")
COST = Metric(
    "renderlane.cost", "counter", "{microUSD}", (*ROUTE, "outcome", "basis"), "what attempts are known to owe"
)
WAIT = Metric("renderlane.wait", "histogram", "s", ("priority", "model", "ended_by"), "waits in the queue")
MODEL_TIME = Metric(
    "gen_ai.client.operation.duration",
    "histogram",
    "s",
    ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "error.type"),
    "calls of a model",
)
TOKENS = Metric(
    "gen_ai.client.token.usage",
    "histogram",
    "{token}",
    ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.token.type"),
    "tokens of a call",
)
QUEUE_DEPTH = Metric(
    "renderlane.queue.depth", "gauge", "{request}", ("priority", "model", TENANT), "requests that wait"
)
QUEUE_AGE = Metric("renderlane.queue.age", "gauge", "s", ("priority",), "how long the longest of them waits")
QUOTA_USED = Metric("renderlane.quota.used", "gauge", "1", ("model", "dimension"), "used of a limit, by this worker")
QUOTA_LIMIT = Metric("renderlane.quota.limit", "gauge", "1", ("model", "dimension", "source"), "the limit in force")
QUOTA_HEADROOM = Metric("renderlane.quota.headroom", "gauge", "1", ("model", "dimension"), "limit less used")
AWAITING = Metric("renderlane.awaiting", "gauge", "{request}", ("model",), "requests that wait for their interaction")
AWAITING_AGE = Metric("renderlane.awaiting.age", "gauge", "s", ("model",), "how long the longest of them waits")
LEFTOVERS = Metric("renderlane.interactions.left", "gauge", "{interaction}", (), "interactions still to be deleted")
COLLECT_DELAY = Metric(
    "renderlane.collect.delay", "histogram", "s", (), "from the end of an interaction to the settling of its attempt"
)
FLAGS = Metric("renderlane.flags", "gauge", "{flag}", ("flag", "by", "shadow"), "flags in force")
BREAKERS = Metric("renderlane.breakers.open", "gauge", "{breaker}", ("circuit",), "routes that a breaker holds out")
WEBHOOKS = Metric("renderlane.webhooks", "counter", "{attempt}", ("effect",), "attempts to send a result webhook")

ONLY_WHERE_KNOWN = frozenset({"error.type"})
"""Left out for a successful call, as the semantic conventions demand."""

ALL = {
    metric.name: metric
    for metric in (
        REQUESTS, REQUEST_DURATION, RENDERS, COST, WAIT, MODEL_TIME, TOKENS, QUEUE_DEPTH, QUEUE_AGE, QUOTA_USED,
        QUOTA_LIMIT, QUOTA_HEADROOM, AWAITING, AWAITING_AGE, LEFTOVERS, COLLECT_DELAY, FLAGS, BREAKERS,
        WEBHOOKS,
    )
}  # fmt: skip
BUCKETS: Mapping[str, tuple[float, ...]] = {
    "s": (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400),
    "{token}": (1, 4, 16, 64, 256, 1_024, 2_048, 4_096, 8_192, 16_384),
}
"""Upper bounds of histograms by unit: from an idle queue to half a day."""


def check(measure: Measure) -> None:
    """Raises ValueError for an undeclared metric, or for labels other than the declared ones."""
    metric = measure.metric
    if ALL.get(metric.name) is not metric:
        raise ValueError(f"the metric {metric.name} is not declared in shared/core/observability/metrics.py")
    if set(measure.labels) | ONLY_WHERE_KNOWN & set(metric.labels) != set(metric.labels):
        raise ValueError(f"{metric.name} has the labels {sorted(metric.labels)}, not {sorted(measure.labels)}")


def of_span(span: Span) -> tuple[Measure, ...]:
    """What an ended stage adds; most add nothing."""
    took, values = (span.ended_at - span.started_at).total_seconds(), span.fields
    match span.stage:
        case spans.REQUEST:
            status, priority, tenant = values["status"], values["priority"], values["tenant"]
            model = parts_of(values["route"])[1]
            return (
                _of(REQUESTS, 1, status, values["outcome"], priority, tenant),
                _of(REQUEST_DURATION, took, status, priority, model, tenant),
            )
        case spans.ATTEMPT:
            cost = values["cost_micros"]
            assert isinstance(cost, int)
            route = (values["route"], *parts_of(values["route"]))
            return (
                _of(RENDERS, 1, *route, values["outcome"]),
                _of(COST, cost, *route, values["outcome"], values["cost_basis"]),
            )
        case spans.WEBHOOK:
            return (_of(WEBHOOKS, 1, values["effect"]),)
        case spans.QUEUE_WAIT:
            return (_of(WAIT, took, values["priority"], values["model"], values["ended_by"]),)
        case spans.COLLECT:
            delay = values["delay_ms"]
            return (_of(COLLECT_DELAY, delay / 1000),) if isinstance(delay, int) else ()
        case spans.MODEL_CALL:
            call = (values["operation"], values["provider"], values["request_model"])
            counted = (("input", values["input_tokens"]), ("output", values["output_tokens"]))
            tokens = (_of(TOKENS, count, *call, sort) for sort, count in counted if isinstance(count, int))
            if values["lane"] == BATCH:
                return tuple(tokens)  # hours of waiting are no call's time
            return (_of(MODEL_TIME, took, *call, span.failed), *tokens)
        case _:
            return ()


def parts_of(route: Attribute | None) -> tuple[str | None, str | None, str | None]:
    """Lane, model and size of a route as it is written; None each if there was no route."""
    lane, _, rest = str(route or "").partition(" ")
    model, _, size = rest.partition(" ")
    return lane or None, model or None, size or None


def _of(metric: Metric, value: float, *labels: Attribute | None) -> Measure:
    """Labels in the order of the declaration; an unknown one is `none`."""
    named = {
        name: "none" if label is None else str(label)
        for name, label in zip(metric.labels, labels, strict=True)
        if label is not None or name not in ONLY_WHERE_KNOWN
    }
    return Measure(metric, value, named)
