"""A connection that sends half a request's headers and then nothing is closed.

uvicorn waits for headers without a limit; its own timer runs only between a complete answer and the next byte.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADERS_WITHIN = timedelta(seconds=20)
"""From a connection's first byte (or its opening) to the end of a request's headers."""


class HeadersInTime(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's default protocol (httptools or h11), with a timer for the headers."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._timer is None and data:
            self._start(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _start(self, transport: Any) -> None:
        self._timer = self.loop.call_later(HEADERS_WITHIN.total_seconds(), transport.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
