"""What the dashboards show. Each query names a declared metric, so a renamed metric fails the type check here."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from shared.core.observability import metrics
from shared.core.observability.metrics import Metric

How: TypeAlias = Literal["per minute", "now", "p50", "p95", "share"]
"""`per minute`: the increase of a counter. `now`: a gauge. `p50`, `p95`: of a histogram. `share`: what `where` selects,
as a share of all."""
Unit: TypeAlias = Literal["short", "s", "percentunit", "currencyUSD"]


class PanelQuery(Struct, frozen=True):
    metric: Metric
    how: How
    by: tuple[str, ...] = ()
    where: str = ""
    """A matcher of one label, as `outcome!="succeeded"`; the label by its declared name."""
    times: float = 1
    """A factor, for micro-dollars."""


class Panel(Struct, frozen=True):
    title: str
    unit: Unit
    queries: tuple[PanelQuery, ...]


PANELS = (
    Panel("Requests finished a minute, by status", "short", (PanelQuery(metrics.REQUESTS, "per minute", ("status",)),)),
    Panel(
        "Attempts that fail, by route",
        "percentunit",
        (PanelQuery(metrics.RENDERS, "share", ("lane", "model"), 'outcome!="succeeded"'),),
    ),
    Panel(
        "From publish to result",
        "s",
        (
            PanelQuery(metrics.REQUEST_DURATION, "p50", ("priority",)),
            PanelQuery(metrics.REQUEST_DURATION, "p95", ("priority",)),
        ),
    ),
    Panel("Requests that wait, by model", "short", (PanelQuery(metrics.QUEUE_DEPTH, "now", ("model",)),)),
    Panel("Requests that wait, by tenant", "short", (PanelQuery(metrics.QUEUE_DEPTH, "now", ("tenant",)),)),
    Panel("Longest wait, by priority", "s", (PanelQuery(metrics.QUEUE_AGE, "now", ("priority",)),)),
    Panel("Wait in the queue, 95th percentile, by model", "s", (PanelQuery(metrics.WAIT, "p95", ("model",)),)),
    Panel(
        "Time of model calls, 95th percentile, by model",
        "s",
        (PanelQuery(metrics.MODEL_TIME, "p95", ("gen_ai.request.model",)),),
    ),
    Panel("Cost a minute, by model", "currencyUSD", (PanelQuery(metrics.COST, "per minute", ("model",), times=1e-6),)),
    Panel("Attempts a minute, by outcome", "short", (PanelQuery(metrics.RENDERS, "per minute", ("outcome",)),)),
    Panel(
        "Headroom of each limit",
        "short",
        (PanelQuery(metrics.QUOTA_HEADROOM, "now", ("model", "dimension")),),
    ),
    Panel(
        "Breakers and flags in force",
        "short",
        (PanelQuery(metrics.BREAKERS, "now", ("circuit",)), PanelQuery(metrics.FLAGS, "now", ("flag", "by"))),
    ),
)
