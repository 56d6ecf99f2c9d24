"""What a home did since the last look, as one line: `renderlane up` prints it each minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from shared.core.observability import metrics
from shared.core.observability.metrics import Measure
from shared.core.values.money import usd

SUCCEEDED = "succeeded"


class Minutes:
    """A meter that adds up, and is reset with each line."""

    def __init__(self) -> None:
        self._ended: Counter[str] = Counter()
        """Requests, by status."""
        self._failures: Counter[tuple[str, str]] = Counter()
        """Attempts that brought no image, by lane and model, and outcome."""
        self._micros = 0.0
        self._waiting = 0.0

    def add(self, measures: Iterable[Measure]) -> None:
        for measure in measures:
            labels = measure.labels
            if measure.metric is metrics.REQUESTS:
                self._ended[labels["status"]] += int(measure.value)
            elif measure.metric is metrics.COST:
                self._micros += measure.value
            elif measure.metric is metrics.RENDERS and labels["outcome"] != SUCCEEDED:
                self._failures[f"{labels['lane']} {labels['model']}", labels["outcome"]] += int(measure.value)

    def observe(self, measures: Iterable[Measure]) -> None:
        self._waiting = sum(measure.value for measure in measures if measure.metric is metrics.QUEUE_DEPTH)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is blocked."""

    def line(self, now: datetime) -> str | None:
        """None if nothing ended, failed or waits."""
        parts = [f"{count} {status}" for status, count in self._ended.most_common()]
        if self._waiting:
            parts.append(f"{self._waiting:.0f} waiting")
        parts += [
            f"{count} attempt{'' if count == 1 else 's'} failed on {route}: {outcome}"
            for (route, outcome), count in self._failures.most_common(3)
        ]
        if self._micros:
            parts.append(f"${usd(round(self._micros))[:-2]}")
        self._ended, self._failures, self._micros = Counter(), Counter(), 0.0
        return f"{now:%H:%M:%S}  {', '.join(parts)}" if parts else None
