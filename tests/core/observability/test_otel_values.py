"""Values that OpenTelemetry's SDK would refuse with a traceback are refused by name, before it sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.config import InvalidSetting, Settings
from shared.core.observability.otel_values import LONGEST_TIMEOUT_S, timeout_seconds, wrong_value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1.5"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "x"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "99999999999"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "-5"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "ten"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "nan"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "many"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(tmp_path: Path, name: str, value: str) -> None:
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", name: value}
    with pytest.raises(InvalidSetting, match=f"{name}: found '{value}'; allowed: "):
        Settings.read(given, tmp_path)
    assert Settings.read({name: value}, tmp_path).exports == frozenset(), "where nothing is sent, nobody reads it"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100"},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "512"},
        {"OTEL_BSP_SCHEDULE_DELAY": "1", "OTEL_METRIC_EXPORT_INTERVAL": "60000"},
        {"OTEL_EXPORTER_OTLP_TIMEOUT": "2.5", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0"},
    ],
)
def test_what_the_sdk_takes_is_taken(given: dict[str, str]) -> None:
    assert wrong_value(given) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10.0),
        ("10000", 10.0),
        ("2.5", 2.5),
        ("1000", 1.0),
        ("999", LONGEST_TIMEOUT_S),
        ("1e9", LONGEST_TIMEOUT_S),
    ],
)
def test_a_timeout_is_read_as_it_is_meant(text: str, seconds: float) -> None:
    assert timeout_seconds(text) == seconds
