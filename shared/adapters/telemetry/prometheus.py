"""Metrics in Prometheus' text format, for the `/metrics` of the one-machine home.

Names follow OpenTelemetry's rules for Prometheus (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/):
dots become underscores, the unit is a suffix, counters end in `_total`. So one dashboard serves both homes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from shared.core.observability.metrics import ALL, BUCKETS, Measure, Metric
from shared.core.observability.prometheus_names import label_name, metric_name

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class PrometheusMetrics:
    """A meter like the one of OTLP, read by any scraper."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._series: Mapping[str, Counter | Gauge | Histogram] = {
            metric.name: self._declare(metric) for metric in ALL.values()
        }

    def add(self, measures: Iterable[Measure]) -> None:
        for measure in measures:
            match self._of(measure):
                case Counter() as counter:
                    counter.inc(measure.value)
                case Histogram() as histogram:
                    histogram.observe(measure.value)
                case Gauge():
                    raise ValueError(f"{measure.metric.name} is observed, not added to")

    def observe(self, measures: Iterable[Measure]) -> None:
        """What was observed before and is not here is gone."""
        for name, series in self._series.items():
            if isinstance(series, Gauge) and ALL[name].labels:
                series.clear()
            elif isinstance(series, Gauge):
                series.set(0)  # one without labels is always there
        for measure in measures:
            gauge = self._of(measure)
            if isinstance(gauge, Gauge):
                gauge.set(measure.value)

    def flush(self) -> None:
        """Nothing waits: the reader comes by itself."""

    def close(self) -> None:
        """Nothing is held."""

    def page(self) -> bytes:
        return generate_latest(self._registry)

    def _declare(self, metric: Metric) -> Counter | Gauge | Histogram:
        names = [label_name(label) for label in metric.labels]
        match metric.kind:
            case "counter":
                name = metric_name(metric).removesuffix("_total")
                return Counter(name, metric.says, names, registry=self._registry)
            case "gauge":
                return Gauge(metric_name(metric), metric.says, names, registry=self._registry)
            case "histogram":
                return Histogram(
                    metric_name(metric), metric.says, names, registry=self._registry, buckets=BUCKETS[metric.unit]
                )

    def _of(self, measure: Measure) -> Counter | Gauge | Histogram:
        """A label that is left out is empty, which Prometheus reads as absent."""
        values = [measure.labels.get(label, "") for label in measure.metric.labels]
        series = self._series[measure.metric.name]
        return series.labels(*values) if values else series
