"""A panel's query as PromQL, in two dialects of names.

Prometheus and Grafana know the names that OpenTelemetry's rules make of ours. Google's Telemetry API keeps the names as
they are sent, dots included, and PromQL wants those in braces and quotes
(https://docs.cloud.google.com/stackdriver/docs/otlp-metrics/overview). How that API names the parts of a histogram was
never seen here: `_bucket` is the documented convention of Managed Service for Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable

from scripts.dashboards.panels import PanelQuery
from shared.core.observability.metrics import Metric
from shared.core.observability.prometheus_names import label_name, metric_name

QUANTILES = {"p50": "0.5", "p95": "0.95"}


class Dialect:
    """How metrics and labels are written."""

    def __init__(self, named: Callable[[Metric, str, str], str], label: Callable[[str], str]) -> None:
        self.named = named
        self.label = label

    def query(self, query: PanelQuery, window: str) -> str:
        by = ", ".join(self.label(label) for label in query.by)
        where = self._where(query)
        match query.how:
            case "now":
                text = f"max by ({by}) ({self.named(query.metric, '', where)})"
                if query.metric.unit == "{request}":  # one worker reports the whole queue, split by labels
                    text = f"sum by ({by}) ({self.named(query.metric, '', where)})"
            case "per minute":
                text = f"60 * sum by ({by}) (rate({self.named(query.metric, '', where)}[{window}]))"
            case "share":
                part = f"sum by ({by}) (rate({self.named(query.metric, '', where)}[{window}]))"
                text = f"{part} / sum by ({by}) (rate({self.named(query.metric, '', '')}[{window}]))"
            case "p50" | "p95":
                buckets = f"rate({self.named(query.metric, '_bucket', where)}[{window}])"
                text = f"histogram_quantile({QUANTILES[query.how]}, sum by (le, {by}) ({buckets}))"
        return text if query.times == 1 else f"{query.times:g} * {text}"

    def _where(self, query: PanelQuery) -> str:
        if not query.where:
            return ""
        cut = next(at for at, character in enumerate(query.where) if character in "=!")
        return f"{self.label(query.where[:cut])}{query.where[cut:]}"


def _prometheus(metric: Metric, suffix: str, where: str) -> str:
    return f"{metric_name(metric)}{suffix}" + (f"{{{where}}}" if where else "")


def _google(metric: Metric, suffix: str, where: str) -> str:
    return "{" + ", ".join(filter(None, (f'"{metric.name}{suffix}"', where))) + "}"


def _google_label(label: str) -> str:
    name = label if "." in label else f"renderlane.{label}"
    return f'"{name}"'


PROMETHEUS = Dialect(_prometheus, label_name)
GOOGLE = Dialect(_google, _google_label)
