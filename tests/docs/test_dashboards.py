"""The dashboards are those of the panels, and ask for metrics and labels that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.dashboards.__main__ import FILES, text_of
from scripts.dashboards.panels import PANELS, Panel
from shared.core.observability import metrics
from shared.core.observability.metrics import Metric
from shared.core.observability.prometheus_names import label_name, metric_name


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_dashboard_is_what_its_source_says(path: Path) -> None:
    assert path.read_text("utf-8") == text_of(FILES[path]), "run python -m scripts.dashboards"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_asks_for_labels_that_its_metric_has(panel: Panel) -> None:
    for query in panel.queries:
        assert set(query.by) <= set(query.metric.labels)
        assert query.metric.kind == {"now": "gauge", "per minute": "counter", "share": "counter"}.get(
            query.how, "histogram"
        )


def test_every_name_in_the_queries_for_grafana_is_one_that_the_page_for_prometheus_has() -> None:
    dashboard = json.loads(Path("docs/operations/grafana.json").read_text("utf-8"))
    names = {metric_name(metric) for metric in metrics.ALL.values()}
    labels = {label_name(label) for metric in metrics.ALL.values() for label in metric.labels}
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            words = set(re.findall(r"(?:renderlane|gen_ai)_\w+", target["expr"]))
            assert {word.removesuffix("_bucket") for word in words} <= names | labels


def test_the_alerts_over_signals_ask_for_metrics_and_labels_that_exist() -> None:
    text = Path("terraform/signals.tf").read_text("utf-8")
    queries = re.findall(r'query\s+= "(.+)"$', text, re.MULTILINE)
    assert len(queries) == 2
    for query in queries:
        names = set(re.findall(r'\\"(renderlane\.[\w.]+)\\"', query))
        (metric,) = names & metrics.ALL.keys()
        assert {name.removeprefix("renderlane.") for name in names - {metric}} <= _labels(metrics.ALL[metric])


def _labels(metric: Metric) -> set[Any]:
    return set(metric.labels)
