"""The dashboard for Grafana: import the file and choose a Prometheus data source."""

from __future__ import annotations

from typing import Any

from scripts.dashboards.panels import PANELS, Panel
from scripts.dashboards.promql import PROMETHEUS
from shared.core.observability.prometheus_names import label_name

WIDTH, HEIGHT = 12, 8
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    return {
        "uid": "renderlane",
        "title": "Renderlane",
        "tags": ["renderlane"],
        "schemaVersion": 39,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}]
        },
        "panels": [_panel(at, panel) for at, panel in enumerate(PANELS)],
    }


def _panel(at: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": at + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": DATASOURCE,
        "gridPos": {"x": at % 2 * WIDTH, "y": at // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": DATASOURCE,
                "expr": PROMETHEUS.query(query, "$__rate_interval"),
                "legendFormat": " ".join(
                    [*(f"{{{{{label_name(label)}}}}}" for label in query.by), *([query.how] if _twice(panel) else [])]
                ),
            }
            for number, query in enumerate(panel.queries)
        ],
    }


def _twice(panel: Panel) -> bool:
    return len({query.how for query in panel.queries}) > 1
