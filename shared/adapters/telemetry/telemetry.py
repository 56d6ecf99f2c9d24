"""The Signals port: events as JSON lines, spans and metrics wherever they are taken. The undeclared is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from shared.adapters.process.daemon import in_daemon
from shared.adapters.telemetry.json_log import JsonSignals
from shared.adapters.telemetry.tenant_labels import TenantLabels
from shared.core.observability import metrics, spans
from shared.core.observability.events import Signal
from shared.core.observability.metrics import Measure
from shared.core.observability.spans import Span
from shared.core.values.trace_context import Place

FLUSH_WITHIN_S = 5.0
"""A collector that is away must not hold a delivery longer."""

Sampler = Callable[[str, Place | None], bool]
"""Whether a trace is kept, by its id and the caller's place in it, where a caller began it."""


class SpanExport(Protocol):
    """Where spans go. Never raises."""

    def write(self, span: Span) -> None: ...

    def flush(self) -> None:
        """Send what waits; may block."""
        ...

    def close(self) -> None: ...


class MetricExport(Protocol):
    """Where metrics go. Never raises."""

    def add(self, measures: Iterable[Measure]) -> None: ...

    def observe(self, measures: Iterable[Measure]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Telemetry:
    """`exports` are fed in the caller's thread and flushed in another."""

    def __init__(
        self,
        events: JsonSignals,
        exports: Sequence[SpanExport] = (),
        sampler: Sampler | None = None,
        meters: Sequence[MetricExport] = (),
    ) -> None:
        self._events = events
        self._exports = tuple(exports)
        self._meters = tuple(meters)
        self._tenants = TenantLabels()
        self._sampler = sampler
        self._flushing: asyncio.Future[Any] | None = None

    def emit(self, signal: Signal, **fields: object) -> None:
        self._events.emit(signal, **fields)

    def samples(self, trace_id: str, caller: Place | None) -> bool:
        return self._sampler is None or self._sampler(trace_id, caller)

    def span(self, span: Span) -> None:
        spans.check(span)
        if self._meters:
            measures = self._tenants.bounded(metrics.of_span(span))
            for meter in self._meters:
                meter.add(measures)
        if span.place.sampled:
            for export in self._exports:
                export.write(span)

    @property
    def measures(self) -> bool:
        return bool(self._meters)

    def observe(self, measures: Sequence[Measure]) -> None:
        for measure in measures:
            metrics.check(measure)
        bounded = self._tenants.bounded(measures)
        for meter in self._meters:
            meter.observe(bounded)

    async def flush(self) -> None:
        """One at a time: a call waits while a collector keeps the last one waiting."""
        if not self._all:
            return
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.gather(
                *(in_daemon(item.flush, "telemetry-flush") for item in self._all), return_exceptions=True
            )
        await asyncio.wait([self._flushing], timeout=FLUSH_WITHIN_S)

    async def close(self) -> None:
        """Send what waits and let go, in FLUSH_WITHIN_S together; each export by itself, so that one that hangs keeps
        no other from its end.
        """

        def end(export: SpanExport | MetricExport) -> None:
            export.flush()
            export.close()

        if self._all:
            ending = [in_daemon(partial(end, item), "telemetry-close") for item in self._all]
            await asyncio.wait(ending, timeout=FLUSH_WITHIN_S)

    @property
    def _all(self) -> list[SpanExport | MetricExport]:
        return [*self._exports, *self._meters]
