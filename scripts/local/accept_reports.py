"""A process without file descriptors says so once a second at most, in one line.

The accept loop of asyncio reports each connection that it cannot take: with a backlog of 4,096 that was as many
tracebacks for one moment without a descriptor (https://github.com/academy-agents/academy/issues/386: a full disk).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from typing import Any

from shared.adapters.process.standard_error import tell

AT_ONCE = 16
"""Connections that the accept loop takes in one turn, and so the reports that one turn can make."""
QUEUE = 4096
"""Connections that the kernel keeps until they are taken."""
EVERY = 1.0
"""Seconds."""
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def lengthen_queue(listener: socket.socket) -> None:
    """Called once the listener is served: its queue is the kernel's matter, the turn of the accept loop stays short."""
    listener.listen(QUEUE)


class AcceptReports:
    """An exception handler of the event loop; what is not about resources goes to the loop's own."""

    def __init__(
        self,
        say: Callable[[str], None] = tell,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._monotonic = monotonic
        self._said_at = float("-inf")
        self._unsaid = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in OUT_OF_RESOURCES:
            loop.default_exception_handler(context)
            return
        now = self._monotonic()
        if now - self._said_at < EVERY:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} more such reports before)" if self._unsaid else ""
        self._said_at, self._unsaid = now, 0
        self._say(
            f"a connection waits: {error.strerror}{more}. Raise the limit of file descriptors (ulimit -n), or lower "
            "RENDERLANE_CAPACITY"
        )
