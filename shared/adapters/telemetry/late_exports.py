"""Exports that are opened in a thread of their own, beside the first delivery, which needs them at its end.

Loading OpenTelemetry's SDK and exporters takes 50 ms, a tenth of a cold start. A first delivery waits as long for the
store.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from shared.adapters.process.standard_error import tell
from shared.adapters.telemetry.telemetry import MetricExport, SpanExport
from shared.core.observability.metrics import Measure
from shared.core.observability.otel_values import QUEUE_SIZE
from shared.core.observability.spans import Span

E = TypeVar("E", bound=SpanExport | MetricExport)


class _LateExport(Generic[E]):
    """An export that cannot be opened loses its spans or measures, and says so once."""

    def __init__(self, what: str, make: Callable[[], E]) -> None:
        self._what = what
        self._make = make
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[E], None]] = deque(maxlen=QUEUE_SIZE)
        self._export: E | None = None
        self._is_lost = False
        self._opening: threading.Thread | None = None
        try:
            # When the delivery that is being prepared waits for the first time.
            asyncio.get_running_loop().call_soon(self._begin)
        except RuntimeError:
            self._begin()

    def flush(self) -> None:
        if export := self._opened():
            export.flush()

    def close(self) -> None:
        if export := self._opened():
            export.close()

    def _pass_on(self, item: Callable[[E], None]) -> None:
        with self._lock:
            if self._is_lost:
                return
            if self._export is None:
                self._waiting.append(item)
                return
        item(self._export)

    def _begin(self) -> threading.Thread:
        with self._lock:
            if self._opening is None:
                self._opening = threading.Thread(target=self._open, name=f"open-{self._what}", daemon=True)
                self._opening.start()
            return self._opening

    def _open(self) -> None:
        try:
            export = self._make()
        except Exception as error:  # noqa: BLE001  telemetry is no reason to stop
            with self._lock:
                self._is_lost = True
                self._waiting.clear()
            remedy = "check OTEL_EXPORTER_OTLP_ENDPOINT and the credentials"
            tell(f"renderlane: {self._what} are lost, their export cannot be opened ({type(error).__name__}); {remedy}")
            return
        with self._lock:
            while self._waiting:
                self._waiting.popleft()(export)
            self._export = export

    def _opened(self) -> E | None:
        """Waits while it is being opened; None where it cannot be."""
        self._begin().join()
        return self._export


class LateSpans(_LateExport[SpanExport]):
    def __init__(self, make: Callable[[], SpanExport]) -> None:
        super().__init__("spans", make)

    def write(self, span: Span) -> None:
        self._pass_on(lambda export: export.write(span))


class LateMetrics(_LateExport[MetricExport]):
    def __init__(self, make: Callable[[], MetricExport]) -> None:
        super().__init__("metrics", make)

    def add(self, measures: Iterable[Measure]) -> None:
        self._pass_on(lambda export: export.add(measures))

    def observe(self, measures: Iterable[Measure]) -> None:
        self._pass_on(lambda export: export.observe(measures))
