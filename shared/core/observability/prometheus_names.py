"""The names of metrics and labels in Prometheus."""

from __future__ import annotations

from shared.core.observability.metrics import Metric

UNITS = {"s": "seconds", "1": "ratio"}
"""Units in braces are annotations of what is counted, and add no suffix; `1` is a suffix of gauges only."""


def metric_name(metric: Metric) -> str:
    """`renderlane.request.duration` in seconds is `renderlane_request_duration_seconds`."""
    name = metric.name.replace(".", "_")
    unit = UNITS.get(metric.unit)
    if unit is not None and not name.endswith(f"_{unit}") and (metric.unit != "1" or metric.kind == "gauge"):
        name = f"{name}_{unit}"
    return f"{name}_total" if metric.kind == "counter" else name


def label_name(label: str) -> str:
    """Labels without a convention of their own carry our prefix, as by OTLP."""
    return label.replace(".", "_") if "." in label else f"renderlane_{label}"
