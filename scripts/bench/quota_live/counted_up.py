"""`renderlane up` as it is, with its store counted: python -m scripts.bench.quota_live.counted_up --counters FILE.

The counters are written to FILE once a second, whole, so that a process that is killed loses a second of them at most.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from functions.console.desk import ConsoleContext
from scripts.bench.quota_live.counted_store import CountedStore
from scripts.bench.quota_live.counters import Counters
from scripts.cli.main import cli
from scripts.local import courier, home
from shared import wiring
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.ports import Ports
from shared.wiring import Worker

WRITE_EVERY = 1.0
"""Seconds."""
FLOW: ContextVar[str] = ContextVar("flow", default="start")
"""The function whose delivery is being worked on; what it starts on the side inherits it."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--counters", type=Path, required=True, metavar="FILE")
    options.add_argument("--functions", metavar="NAMES", help="deliver to these alone, e.g. intake,render,bury")
    arguments = options.parse_args()
    _count(arguments.counters)
    _name_flows()
    if arguments.functions:
        names = arguments.functions.split(",")
        vars(courier)["SUBSCRIPTIONS"] = tuple(
            subscription for subscription in SUBSCRIPTIONS if subscription.function in names
        )
    cli(["up", "--port", "0"], prog_name="renderlane")


def _count(path: Path) -> None:
    """Everything the wiring builds from here on has a counted store."""
    build = wiring.build

    def counted(*arguments: Any, **named: Any) -> Ports:
        ports = build(*arguments, **named)
        counters = Counters()
        _WRITING.append(asyncio.get_running_loop().create_task(_write(counters, path)))
        return replace(ports, store=CountedStore(ports.store, counters, FLOW.get))

    wiring.build = counted


_WRITING: list[asyncio.Task[None]] = []
"""The loop holds its tasks weakly."""


async def _write(counters: Counters, path: Path) -> None:
    bench = os.getppid()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(WRITE_EVERY)
            _replace(path, counters)
            if os.getppid() != bench:  # killed: nobody else would stop us
                os.kill(os.getpid(), signal.SIGTERM)
    _replace(path, counters)


def _replace(path: Path, counters: Counters) -> None:
    """A reader finds the old file or the new one, never half of it."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(counters.to_json()), "utf-8")
    os.replace(unfinished, path)


def _name_flows() -> None:
    build = home.app

    def named(worker: Worker, desk: ConsoleContext) -> Starlette:
        application = build(worker, desk)
        application.add_middleware(_Named)
        return application

    home.app = named


class _Named:
    """Notes which function a delivery is for. Each delivery runs in a context of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            FLOW.set(scope["path"].rpartition("/")[2])
        await self._app(scope, receive, send)


if __name__ == "__main__":
    main()
