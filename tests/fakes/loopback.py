"""An ASGI application on a loopback port, in the test's own event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn


@dataclass(frozen=True)
class Loopback:
    url: str
    """Without a trailing slash."""


@asynccontextmanager
async def serving(app: Any, **settings: Any) -> AsyncIterator[Loopback]:
    """Serve `app` while the block runs; `settings` go to uvicorn.

    Uvicorn's own main loop is left out: it only refreshes the Date header, and its ticks cost 0.2 s a test.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(app, log_level="critical", lifespan="off", server_header=False, ws="none", **settings)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup([listener])
    try:
        yield Loopback(f"{'https' if config.is_ssl else 'http'}://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        for item in server.servers:
            item.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        tasks = list(server.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for item in server.servers:
            await item.wait_closed()
        listener.close()
