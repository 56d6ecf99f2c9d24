"""What a process does between SIGTERM and its end, for which Cloud Run leaves ten seconds.

https://cloud.google.com/run/docs/container-contract#instance-shutdown
"""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType

from shared.wiring import Worker

GRACE_SECONDS = 8.0
"""For calls in flight to end. What does not end is cut off: it is on record, and its lease lapses."""


class Draining:
    """One per process: the server's own handler of the signal still runs, after ours."""

    def __init__(self, worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
        self._worker = worker
        self._loop = loop

    def listen(self) -> None:
        before = signal.getsignal(signal.SIGTERM)

        def handle(number: int, frame: FrameType | None) -> None:
            self._loop.call_soon_threadsafe(self.begin)
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGTERM, handle)

    def begin(self) -> None:
        """Begin nothing new, give up the lead after the current tick, and cut off the rest when time is up."""
        if self._worker.ports.leaving.begun:
            return
        self._worker.leave()
        self._loop.call_later(GRACE_SECONDS, self._worker.flights.cut_off)


_draining: Draining | None = None


def listen(worker: Worker) -> None:
    """At the first delivery: by then there is a loop, and the server's handler is in place."""
    global _draining
    if _draining is None and threading.current_thread() is threading.main_thread():
        _draining = Draining(worker, asyncio.get_running_loop())
        _draining.listen()
