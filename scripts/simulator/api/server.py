"""The simulator on a socket: inside a running event loop with `serve`, or as a program of its own with `run`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from scripts.local.door import LOOPBACK_NAMES, Door
from scripts.simulator.api.app import build
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.formats.reply import CONNECTION
from scripts.simulator.provider.drawing import PictureMode
from scripts.simulator.provider.quota_windows import WindowKind
from scripts.simulator.provider.tariff import Tariff

_BACKLOG = 4096
_AT_ONCE = 16
"""Connections that the accept loop takes, or fails to take and reports, in one turn."""
_GRACE_SECONDS = 1
"""For calls in flight when the server stops."""


class Server:
    """A simulator that is listening."""

    def __init__(self, server: uvicorn.Server, bound: socket.socket, host: str, simulation: Simulation) -> None:
        self._server = server
        self._simulation = simulation
        self._bound = bound
        self.host = host
        self.port: int = bound.getsockname()[1]

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open, idle ones too."""
        return len(self._server.server_state.connections)

    async def stop(self) -> None:
        """Calls still in flight after a second are dropped."""
        await self._server.shutdown(sockets=[self._bound])
        await self._simulation.aclose()


@contextlib.asynccontextmanager
async def served(simulation: Simulation) -> AsyncIterator[str]:
    """The address of a simulated provider, for as long as it is needed."""
    server = await serve(simulation)
    try:
        yield server.url
    finally:
        await server.stop()
        simulation.close()


async def serve(simulation: Simulation, host: str = "127.0.0.1", port: int = 0) -> Server:
    """Listens when it returns. Port 0 is any. Signals stay with the host program; the simulation is not closed."""
    bound = _bind(host, port)
    control = "/control/"
    config = uvicorn.Config(
        Door(build(simulation), only_below=(control,), json_below=(control,), anywhere=host not in LOOPBACK_NAMES),
        http=_VisibleProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        backlog=_AT_ONCE,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Not Server.serve(): it takes the process's signals, and polls ten times a second for what never comes here.
    await server.startup(sockets=[bound])
    bound.listen(_BACKLOG)  # the queue is the kernel's; one turn of the accept loop stays short
    return Server(server, bound, host, simulation)


def run(
    host: str = "127.0.0.1",
    port: int = 0,
    limits: str = "",
    latency: str = "fixed:0",
    seed: int = 0,
    window: WindowKind = "sliding",
    on_ready: Callable[[str], None] = lambda url: None,
    *,
    pictures: PictureMode = "drawn",
    tariff: Tariff | None = None,
    takes_background: bool = True,
) -> None:
    """Serves until SIGINT or SIGTERM. `on_ready` is called with the address once it listens."""
    simulation = Simulation(
        limits=limits,
        latency=latency,
        seed=seed,
        window=window,
        pictures=pictures,
        tariff=tariff,
        takes_background=takes_background,
    )
    try:
        asyncio.run(_run_until_signal(simulation, host, port, on_ready))
    finally:
        simulation.close()


async def _run_until_signal(simulation: Simulation, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)
    server = await serve(simulation, host, port)
    on_ready(server.url)
    await told_to_stop.wait()
    await server.stop()


class _VisibleProtocol(H11Protocol):
    """Shows the application its caller's connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, CONNECTION: _Transport(transport)}


class _Transport:
    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def left(self) -> bool:
        return self._transport.is_closing()

    def end(self, *, gently: bool) -> None:
        if gently:
            self._transport.close()
        else:
            self._transport.abort()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay (Nagle, 40 ms an answer) only on sockets that say that they are TCP.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound
