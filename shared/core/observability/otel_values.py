"""Values of OTEL_ variables that the OpenTelemetry SDK would refuse with a traceback, or quietly replace. Pure.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from shared.core.validation.numbers import whole_number

WHOLE = (
    "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT",
)  # fmt: skip
COUNTS = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
)  # fmt: skip
"""Read by the SDK where a sampler is named."""
TIMEOUTS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT")
COMPRESSIONS = (
    "OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
)  # fmt: skip
QUEUE_SIZE = 16_384
"""Our default: a burst of 500 requests writes 6,000 spans."""
BATCH_SIZE = 512
"""The SDK's default."""
LARGEST = 2**31 - 1
LONGEST_TIMEOUT_S = 30.0


class WrongValue(Struct, frozen=True):
    """A value that cannot be used."""

    name: str
    value: str
    allowed: str


def wrong_value(given: Mapping[str, str]) -> WrongValue | None:
    """The first one; `given` has no empty values."""
    for name in WHOLE:
        if name in given and not _is_whole(given[name], least=1):
            return WrongValue(name, given[name], "a whole number from 1 (milliseconds, or spans)")
    for name in COUNTS:
        if name in given and not _is_whole(given[name], least=0):
            return WrongValue(name, given[name], "a whole number from 0")
    for name in TIMEOUTS:
        if name in given and timeout_seconds(given[name]) is None:
            return WrongValue(name, given[name], "a number above 0: milliseconds, or seconds where it is below 1000")
    for name in COMPRESSIONS:
        if name in given and given[name].lower() not in ("none", "gzip", "deflate"):
            return WrongValue(name, given[name], "none, gzip or deflate")
    queue = int(given.get("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_SIZE))
    batch = int(given.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH_SIZE))
    if batch > queue:
        if "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" not in given:
            allowed = f"at least {BATCH_SIZE}, which a batch has, or a smaller OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
            return WrongValue("OTEL_BSP_MAX_QUEUE_SIZE", str(queue), allowed)
        allowed = f"at most {queue:,}, the size of the queue (OTEL_BSP_MAX_QUEUE_SIZE)"
        return WrongValue("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(batch), allowed)
    return None


def timeout_seconds(text: str) -> float | None:
    """How long one export may take, at most LONGEST_TIMEOUT_S; None if it is not a valid time.

    The specification counts milliseconds, Python's SDK reads seconds
    (https://github.com/open-telemetry/opentelemetry-python/issues/4044): a value of 1,000 or more is never meant as
    seconds.
    """
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value) or value <= 0:
        return None
    return min(value / 1000 if value >= 1000 else value, LONGEST_TIMEOUT_S)


def _is_whole(text: str, *, least: int) -> bool:
    number = whole_number(text, 10)
    return text.isascii() and number is not None and least <= number <= LARGEST
