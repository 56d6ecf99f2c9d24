"""Blocking work in a daemon thread: a process that ends does not wait for it.

`asyncio.to_thread` uses an executor whose threads asyncio.run and the interpreter join without a time limit
(https://github.com/python/cpython/issues/111358): one server that never answers would keep a command from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def in_daemon(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """A future of this event loop with the result of `work`."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001  it is handed to the one who asked
            _tell(loop, future, None, error)
        else:
            _tell(loop, future, value, None)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _tell(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], value: Any, error: BaseException | None
) -> None:
    def settle() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(value)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            future.set_exception(error)
        else:  # SystemExit of a provider is no end of ours
            failure = RuntimeError(f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            future.set_exception(failure)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        pass  # the loop has ended: nothing waits any more
