"""A console with things on it, served by a thread of its own, for a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from functions.console.app import desk_of, whole
from functions.console.desk import ConsoleContext
from scripts.local.home import serving
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.sqlite.topics import LocalTopics
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.wiring import Worker
from tests.console.conftest import settings_of

T = TypeVar("T")


@dataclass
class Served:
    desk: ConsoleContext
    url: str
    loop: asyncio.AbstractEventLoop

    def ask(self, what: Awaitable[T]) -> T:
        async def answer() -> T:
            return await what

        return asyncio.run_coroutine_threadsafe(answer(), self.loop).result(20)


@contextlib.contextmanager
def serve(home: Path, furnish: Callable[[ConsoleContext], Awaitable[None]]) -> Iterator[Served]:
    ready, ends = threading.Event(), asyncio.Event()
    consoles: list[Served] = []

    async def run() -> None:
        settings = settings_of(home)
        messaging = wiring.topics(settings, SystemClock())
        assert isinstance(messaging, LocalTopics)
        await messaging.ensure(SUBSCRIPTIONS)
        worker = Worker.of(wiring.build(settings, io.StringIO(), messaging))
        desk = desk_of(worker, settings)
        await furnish(desk)
        async with serving(whole(desk), port=0) as address:
            consoles.append(Served(desk, f"{address}/console", asyncio.get_running_loop()))
            ready.set()
            await ends.wait()
        await worker.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(60)
    try:
        yield consoles[0]
    finally:
        consoles[0].loop.call_soon_threadsafe(ends.set)
        thread.join(20)
