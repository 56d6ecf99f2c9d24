"""The same dashboard for Cloud Monitoring, by PromQL over what is sent to the Telemetry API."""

from __future__ import annotations

from typing import Any

from scripts.dashboards.panels import PANELS, Panel
from scripts.dashboards.promql import GOOGLE

WIDTH, HEIGHT = 6, 4


def dashboard() -> dict[str, Any]:
    tiles = [
        {"xPos": at % 2 * WIDTH, "yPos": at // 2 * HEIGHT, "width": WIDTH, "height": HEIGHT, "widget": _widget(panel)}
        for at, panel in enumerate(PANELS)
    ]
    return {"displayName": "Renderlane signals", "mosaicLayout": {"columns": 12, "tiles": tiles}}


def _widget(panel: Panel) -> dict[str, Any]:
    return {
        "title": panel.title,
        "xyChart": {
            "dataSets": [
                {"plotType": "LINE", "timeSeriesQuery": {"prometheusQuery": GOOGLE.query(query, "${__interval}")}}
                for query in panel.queries
            ]
        },
    }
