"""A timeline of what each part did, from the worker's own events: few lines, each with its second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

GROUPED_FOR = 5.0
"""Answers are told together, for so many seconds."""


class TimelineRow(Struct, frozen=True):
    at: datetime
    who: str
    """The part that did it: drill, breaker, on-call, pump, worker, escalation."""
    what: str


class Story:
    """Hears events and marks as they come, and tells lines, from the first mark on."""

    def __init__(self, tell: Callable[[TimelineRow], None]) -> None:
        self._tell = tell
        self._answers: Counter[tuple[str, str]] = Counter()
        """By route and outcome, since they were told last."""
        self._requeued = 0
        self._since: datetime | None = None
        self._lines: list[TimelineRow] = []

    @property
    def lines(self) -> list[TimelineRow]:
        return list(self._lines)

    def mark(self, what: str) -> None:
        """Of the drill itself."""
        self.flush()
        self._line(TimelineRow(datetime.now(UTC), "drill", what))

    def heard(self, event: Mapping[str, Any]) -> None:
        if not self._lines:
            return  # what went before the first mark is no part of the story
        at = datetime.fromisoformat(event["time"])
        if self._since is not None and (at - self._since).total_seconds() > GROUPED_FOR:
            self.flush()
        if event["message"] == "attempt_ended":
            self._since = self._since or at
            self._answers[event["route"], event["outcome"]] += 1
            self._requeued += event["effect"] == "queued"
            return
        entry = _entry(event)
        if entry is not None:
            self.flush()
            self._line(TimelineRow(at, *entry))

    def flush(self) -> None:
        """Tell the answers that are not told yet."""
        if self._since is None:
            return
        outcomes = sorted({outcome for _, outcome in self._answers})
        answers = "; ".join(f"{outcome}: {self._routes(outcome)}" for outcome in outcomes)
        requeued = f" ({self._requeued} back to the queue)" if self._requeued else ""
        at = self._since
        self._answers, self._requeued, self._since = Counter(), 0, None
        self._line(TimelineRow(at, "worker", answers + requeued))

    def _routes(self, outcome: str) -> str:
        return ", ".join(
            f"{count} {route.removeprefix('standard ')}"
            for (route, name), count in sorted(self._answers.items())
            if name == outcome
        )

    def _line(self, line: TimelineRow) -> None:
        self._lines.append(line)
        self._tell(line)


def _entry(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """Who did what; None for what a timeline can do without."""
    match event["message"]:
        case "flag_changed":
            who = "breaker" if event["actor"] == "breaker" else "on-call"
            return who, f"{event['action']} {event['name']} for {event['scope']}: {event['reason']}"
        case "breaker_probed":
            return "pump", f"a probe of {event['circuit']}: {event['request_id']}"
        case "route_lacking":
            return "pump", f"leaves a route for good: {event['what']}"
        case "calendar_closed":
            until = datetime.fromisoformat(event["until"])
            return "pump", f"closes {event['model']} until {until:%Y-%m-%d %H:%M:%S} UTC: {event['why']}"
        case "limit_learned":
            return "pump", f"learns a limit of {event['model']}: {event['dimension']} {event['value']}"
        case "request_requeued":
            return "worker", f"gives back {event['request_id']}: {event['reason']}"
        case "attempt_recovered":
            return "watch", f"settles an attempt of {event['request_id']} that nobody holds: {event['effect']}"
        case "escalation":
            return "escalation", f"{event['what']} (runbook: {event['runbook']})"
        case _:
            return None
