"""Writes the dashboards: `python -m scripts.dashboards`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.dashboards import cloud_monitoring, grafana

FILES: dict[Path, Callable[[], dict[str, Any]]] = {
    Path("docs/operations/grafana.json"): grafana.dashboard,
    Path("terraform/dashboards/signals.json"): cloud_monitoring.dashboard,
}


def text_of(dashboard: Callable[[], dict[str, Any]]) -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


def main() -> None:
    for path, dashboard in FILES.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(dashboard), "utf-8")
        print(path)


if __name__ == "__main__":
    main()
