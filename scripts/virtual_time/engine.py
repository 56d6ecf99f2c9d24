"""Virtual time: callbacks in the order of their instants, and of their scheduling where instants are equal."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from datetime import datetime, timedelta


class Engine:
    """Times are float seconds since `start`."""

    def __init__(self, start: datetime) -> None:
        """`start` is aware: clock minutes and Pacific days are cut by it."""
        self.start = start
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._stopped = False

    def at(self, when: float, callback: Callable[[], None]) -> None:
        """An instant that has passed means now."""
        self._scheduled += 1
        heapq.heappush(self._events, (when if when > self.now else self.now, self._scheduled, callback))

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        self.at(self.now + seconds, callback)

    def wall(self) -> datetime:
        return self.start + timedelta(seconds=self.now)

    def seconds(self, wall: datetime) -> float:
        """The instant at which it is `wall`."""
        return (wall - self.start).total_seconds()

    def stop(self) -> None:
        """No further event: `run` returns."""
        self._stopped = True

    def run(self, until: float = math.inf) -> None:
        """All events up to `until`, or until there is none left or `stop` is called."""
        self._stopped = False
        events = self._events
        while events and not self._stopped:
            if events[0][0] > until:
                self.now = until
                return
            self.now, _, callback = heapq.heappop(events)
            callback()
