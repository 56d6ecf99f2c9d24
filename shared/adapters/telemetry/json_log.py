"""Events as JSON lines in Cloud Logging's form: one object a line, `severity`, `message`, and the declared fields."""

from __future__ import annotations

from typing import TextIO

from shared.core.observability.events import ALL, Signal
from shared.core.values.visible import json_line
from shared.ports.clock import Clock


class JsonSignals:
    """Writes to a stream: standard error in the cloud, a file on one machine."""

    def __init__(self, stream: TextIO, clock: Clock, project: str) -> None:
        self._stream = stream
        self._clock = clock
        self._project = project

    def emit(self, signal: Signal, **fields: object) -> None:
        check(signal, fields)
        entry: dict[str, object] = {
            "severity": signal.severity,
            "message": signal.name,
            "time": self._clock.now().isoformat(),
            **fields,
        }
        trace_id = fields.get("trace_id")
        if trace_id:
            entry["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{trace_id}"
        self._stream.write(json_line(entry, str) + "\n")
        self._stream.flush()


def check(signal: Signal, fields: dict[str, object]) -> None:
    """Raises ValueError for an undeclared signal or for fields other than the declared ones."""
    if ALL.get(signal.name) is not signal:
        raise ValueError(f"the signal {signal.name} is not declared in shared/core/observability/events.py")
    if not signal.declares(fields):
        raise ValueError(f"{signal.name} carries {sorted(signal.fields)}, not {sorted(fields)}")
