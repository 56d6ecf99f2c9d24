"""Bounds the label `tenant`: callers choose its values, and each value is a time series that somebody pays for."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from shared.core.observability.metrics import OTHER, TENANT, Measure

MOST_TENANTS = 50


class TenantLabels:
    """The first MOST_TENANTS tenants that this process meets keep their names; all others share one."""

    def __init__(self, most: int = MOST_TENANTS) -> None:
        self._most = most
        self._named: set[str] = set()

    def bounded(self, measures: Iterable[Measure]) -> list[Measure]:
        """The same measures; gauges of tenants that now share a name are added up."""
        plain: list[Measure] = []
        shared: dict[tuple[str, ...], Measure] = {}
        for measure in measures:
            tenant = measure.labels.get(TENANT)
            if tenant is None or self._keeps(tenant):
                plain.append(measure)
                continue
            labels = {**measure.labels, TENANT: OTHER}
            if measure.metric.kind != "gauge":
                plain.append(replace(measure, labels=labels))
                continue
            key = (measure.metric.name, *labels.values())
            before = shared[key].value if key in shared else 0
            shared[key] = Measure(measure.metric, before + measure.value, labels)
        return [*plain, *shared.values()]

    def _keeps(self, tenant: str) -> bool:
        if tenant not in self._named and len(self._named) < self._most:
            self._named.add(tenant)
        return tenant in self._named
