"""Events as JSON lines in Cloud Logging's form: one object a line, `severity`, `message`, and the declared fields."""

from __future__ import annotations

from typing import TextIO

from shared.core.observability.events import ALL, Signal
from shared.core.validation.visible import json_line
from shared.core.values.release import Release
from shared.ports.clock import Clock

REPORTED = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
"""Makes Error Reporting group an entry: https://cloud.google.com/error-reporting/docs/formatting-error-messages"""
NOT_DEPLOYED = Release()


class JsonSignals:
    """Writes to a stream: standard error in the cloud, a file on one machine."""

    def __init__(self, stream: TextIO, clock: Clock, project: str, release: Release = NOT_DEPLOYED) -> None:
        self._stream = stream
        self._clock = clock
        self._project = project
        self._release = release

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
        if self._release.build:
            entry["logging.googleapis.com/labels"] = {"release": self._release.name}
        if "stack_trace" in fields:
            entry["@type"] = REPORTED
            entry["serviceContext"] = {"service": f"renderlane-{fields['function']}", "version": self._release.name}
        self._stream.write(json_line(entry, str) + "\n")
        self._stream.flush()


def check(signal: Signal, fields: dict[str, object]) -> None:
    """Raises ValueError for an undeclared signal or for fields other than the declared ones."""
    if ALL.get(signal.name) is not signal:
        raise ValueError(f"the signal {signal.name} is not declared in shared/core/observability/events.py")
    if not signal.declares(fields):
        raise ValueError(f"{signal.name} carries {sorted(signal.fields)}, not {sorted(fields)}")
