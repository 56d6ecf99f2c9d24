"""Metrics by OTLP, as the variables OTEL_EXPORTER_OTLP_* and OTEL_METRIC_EXPORT_INTERVAL say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from shared.adapters.telemetry.otlp_spans import resource_of, session_of, timeout_of
from shared.core.observability.metrics import ALL, BUCKETS, Measure, Metric

LEAST_BETWEEN_S = 10.0
"""Between two flushes: totals are sent, so that nothing is lost by waiting for the next one."""


class OtlpMetrics:
    """Counts and times add up; gauges show the last observation, and what it left out is gone."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(session=session_of("METRICS"), timeout=timeout_of("METRICS"))
        )
        self._provider = MeterProvider([reader], resource_of(resource), shutdown_on_exit=False)
        self._standing: Mapping[str, list[Observation]] = {}
        self._added: dict[str, Counter | Histogram] = {}
        self._flushed_at = float("-inf")
        meter = self._provider.get_meter("renderlane")
        for metric in ALL.values():
            match metric.kind:
                case "counter":
                    self._added[metric.name] = meter.create_counter(metric.name, metric.unit, metric.says)
                case "histogram":
                    self._added[metric.name] = meter.create_histogram(
                        metric.name, metric.unit, metric.says, explicit_bucket_boundaries_advisory=BUCKETS[metric.unit]
                    )
                case "gauge":
                    meter.create_observable_gauge(metric.name, [self._look(metric)], metric.unit, metric.says)

    def add(self, measures: Iterable[Measure]) -> None:
        for measure in measures:
            match self._added[measure.metric.name]:
                case Counter() as counter:
                    counter.add(measure.value, _named(measure))
                case Histogram() as histogram:
                    histogram.record(measure.value, _named(measure))

    def observe(self, measures: Iterable[Measure]) -> None:
        standing: dict[str, list[Observation]] = {}
        for measure in measures:
            standing.setdefault(measure.metric.name, []).append(Observation(measure.value, _named(measure)))
        self._standing = standing

    def flush(self) -> None:
        if time.monotonic() - self._flushed_at >= LEAST_BETWEEN_S:
            self._flushed_at = time.monotonic()
            self._provider.force_flush()

    def close(self) -> None:
        self._provider.shutdown()

    def _look(self, metric: Metric) -> Callable[[CallbackOptions], Sequence[Observation]]:
        return lambda _: self._standing.get(metric.name, [])


def _named(measure: Measure) -> dict[str, str]:
    """Labels that have no name of their own convention are ours."""
    return {name if "." in name else f"renderlane.{name}": value for name, value in measure.labels.items()}
