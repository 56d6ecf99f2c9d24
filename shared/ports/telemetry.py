"""Events, spans and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # only for types: code that uses a port loads what it needs itself
    from shared.core.observability.events import Signal
    from shared.core.observability.metrics import Measure
    from shared.core.observability.spans import Span
    from shared.core.values.trace_context import Place


class Events(Protocol):
    def emit(self, signal: Signal, **fields: object) -> None:
        """Report an event with exactly the fields it declares. Raises ValueError for others."""
        ...


class Signals(Events, Protocol):
    """Events, spans and metrics."""

    def samples(self, trace_id: str, caller: Place | None) -> bool:
        """Whether a trace that begins here is kept; `caller` is the position it continues from, if there is one."""
        ...

    def span(self, span: Span) -> None:
        """Report an ended stage, with exactly the fields it declares. Raises ValueError for others."""
        ...

    @property
    def measures(self) -> bool:
        """Whether observed values are exported anywhere."""
        ...

    def observe(self, measures: Sequence[Measure]) -> None:
        """Report all current values; a value that was observed before and is missing now has ended."""
        ...

    async def flush(self) -> None:
        """Send pending data, for a few seconds at most. Never raises: nothing depends on telemetry."""
        ...

    async def close(self) -> None:
        """Flush, and release resources."""
        ...
