"""`renderlane up`: the functions, the courier, the watch and, without a key, the simulator, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TextIO
from urllib.parse import unquote, urlsplit

import httpx2
import uvicorn
from msgspec import Struct
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from functions import main as functions
from functions import webhook
from functions.api.app import app as api
from functions.console.app import BASE as CONSOLE
from functions.console.app import app as console
from functions.console.app import desk_of
from functions.console.desk import ConsoleContext
from scripts.local import limits, lock
from scripts.local.accept_reports import AT_ONCE, AcceptReports, lengthen_queue
from scripts.local.courier import Courier
from scripts.local.disk_guard import DiskGuard, Reserve
from scripts.local.door import LOOPBACK_NAMES, SECRET, Door
from scripts.local.headers_in_time import HeadersInTime
from scripts.local.minutes import Minutes
from scripts.local.private_home import RESERVE
from scripts.local.publish import publish
from shared import wiring
from shared.adapters.process import private_file
from shared.adapters.process.standard_error import tell
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.sqlite.topics import LocalTopics
from shared.adapters.telemetry.prometheus import CONTENT_TYPE, PrometheusMetrics
from shared.config import InvalidSetting, LiveQuotaOff, LiveQuotaOn, Settings
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.flows.upkeep.live_quota import read_live_quota
from shared.flows.upkeep.watch import break_leases
from shared.wiring import Messaging, Worker

WATCH_EVERY = timedelta(seconds=15)
WEBHOOKS = "/webhooks/gemini"
"""Where the provider's webhooks arrive: the only path that another machine could be given access to, by a tunnel."""
FINISH_WITHIN = timedelta(seconds=60)
"""For attempts in flight when the home is to stop; the rest is recovered at the next start."""


class CannotListen(OSError):
    """The port is taken, or may not be used."""


class Simulated(Struct, frozen=True):
    """How the built-in simulator behaves, if it replaces Gemini."""

    limits: str = ""
    latency: str = "lognormal:1.5,0.4"
    seed: int = 0


class Home(Struct, frozen=True):
    """A running one-machine home."""

    url: str
    console_url: str
    worker: Worker
    courier: Courier
    simulator_url: str | None
    recovered: int
    """Attempts of earlier starts that were ended at this start."""
    notes: tuple[str, ...] = ()
    """What a person should know about this machine's limits."""
    secret: str = ""
    """Of this start, for the header SECRET of a push to the functions."""
    minutes: Minutes | None = None

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Home({self.url})"


class WebhookEndpoint(HTTPEndpoint):
    """Answers every method itself: the door does not check this path, so nothing on it may be passed on to the API."""

    async def post(self, request: Request) -> Response:
        return await webhook.answer(request)


def app(worker: Worker, desk: ConsoleContext) -> Starlette:
    """All functions in one application, each at `/functions/NAME`, and the console."""
    names = ("intake", "pump", "render", "collect", "watch", "bury", "deliver")
    routes: list[Route | Mount] = [
        Route(f"/functions/{name}", getattr(functions, name), methods=["POST"]) for name in names
    ]
    routes.append(Route("/v1/projects/{project}/topics/{topic}", publish, methods=["POST"]))
    routes.append(Route(WEBHOOKS, WebhookEndpoint))
    routes.append(Mount(CONSOLE, console(desk)))
    routes.append(Route("/", _to_console, methods=["GET"]))
    routes.append(Mount("/", api(worker, wiring.callers(desk.settings), desk.settings.api_origins)))
    application = Starlette(routes=routes)
    application.state.worker = worker
    return application


def _behind_door(application: Starlette, secret: str, pages: Sequence[str] = ()) -> Door:
    """The console has a guard of its own, which also knows Identity-Aware Proxy; webhooks have their signature."""
    return Door(
        application,
        json_below=("/v1/",),
        own_below=("/functions/",),
        secret=secret,
        elsewhere=(f"{CONSOLE}/", WEBHOOKS),
        pages=pages,
    )


async def _to_console(_: Request) -> Response:
    return RedirectResponse(f"{CONSOLE}/")


def _metrics(meter: PrometheusMetrics) -> Callable[[Request], Awaitable[Response]]:
    async def show(_: Request) -> Response:
        return Response(meter.page(), headers={"Content-Type": CONTENT_TYPE})

    return show


@contextlib.asynccontextmanager
async def running(settings: Settings, port: int, simulated: Simulated, events: TextIO) -> AsyncIterator[Home]:
    """The home from its start to its orderly end. Raises lock.AlreadyRunning and what `wiring.build` raises."""
    settings, notes = limits.fitted(settings)
    asyncio.get_running_loop().set_exception_handler(AcceptReports())
    with lock.hold(settings):
        _check_images(settings)
        async with contextlib.AsyncExitStack() as stack:
            simulator_url = None
            if simulates(settings):
                simulator_url = await stack.enter_async_context(_simulator(simulated))
                settings = _on_simulator(settings, simulator_url, simulated)
            listener = listen(port)
            stack.callback(listener.close)
            settings = _told_by_stand_in(settings, listener.getsockname()[1])
            messaging = wiring.topics(settings, SystemClock())
            meter, minutes = PrometheusMetrics(), Minutes()
            worker = Worker.of(wiring.build(settings, events, messaging, settings.traces, [meter, minutes]))
            stack.push_async_callback(worker.close)
            await messaging.ensure(SUBSCRIPTIONS)  # before the first kick: a fresh home has no topics yet
            await read_live_quota(worker.ports, every=timedelta(0))  # before the first grant, and of this provider
            desk = desk_of(worker, settings, simulated=simulator_url is not None)
            recovered = await _pick_up(settings, worker, messaging)
            secret = secrets.token_urlsafe(32)
            application = app(worker, desk)
            application.routes.insert(0, Route("/metrics", _metrics(meter)))  # the API takes what nothing else does
            door = _behind_door(application, secret, settings.api_origins)
            url = await stack.enter_async_context(serving(door, listener))
            for lane in worker.ports.lanes.values():
                await lane.prepare()
            courier = Courier(messaging, door, 2 * settings.capacity, settings.project, secret)
            await courier.start()
            watching = asyncio.create_task(_watch(url, secret))
            guarding = asyncio.create_task(_disk_guard(settings, worker).keep_looking())
            try:
                yield Home(url, f"{url}{CONSOLE}/", worker, courier, simulator_url, recovered, notes, secret, minutes)
            finally:
                watching.cancel()
                guarding.cancel()
                await asyncio.gather(watching, guarding, return_exceptions=True)
                worker.pump.end()
                await courier.stop(FINISH_WITHIN)


def _check_images(settings: Settings) -> None:
    """A folder that cannot be written to is noticed before an image is paid for. Raises InvalidSetting."""
    if not settings.images.startswith("file://"):
        return
    folder = Path(unquote(urlsplit(settings.images).path))
    try:
        private_file.make_folder(folder)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"renderlane")
    except OSError as error:
        raise InvalidSetting(
            f"RENDERLANE_IMAGES: found {settings.images!r}, which cannot be written ({error})"
        ) from error


def simulates(settings: Settings) -> bool:
    """Whether the built-in simulator replaces Gemini: no key, and no other server named."""
    return not settings.calls_google


def _on_simulator(settings: Settings, url: str, simulated: Simulated) -> Settings:
    """Images from the simulator, including those of Vertex, and its limits as live ones.

    If only RENDERLANE_QUOTA names limits, the simulator reports none, and the configured ones hold.
    """
    live = settings.live_quota
    if live == LiveQuotaOff("default") and (simulated.limits or not settings.quota.by_model):
        live = LiveQuotaOn("limits and usage", server=url)
    vertex = settings.vertex
    if vertex is not None and vertex.base_url is None:  # or half of the images would cost money
        vertex = replace(vertex, base_url=url)
    return replace(settings, base_url=url, live_quota=live, vertex=vertex)


def _told_by_stand_in(settings: Settings, port: int) -> Settings:
    """The simulator, or another replacement of Gemini on this machine, can call back here; Google cannot."""
    here = urlsplit(settings.base_url).hostname in LOOPBACK_NAMES if settings.base_url is not None else False
    if settings.webhook_url is not None or not here:
        return settings
    return replace(settings, webhook_url=f"http://127.0.0.1:{port}{WEBHOOKS}")


async def until_signalled(on_stopping: Callable[[], None]) -> None:
    """Returns at the first SIGINT, SIGTERM or SIGHUP (the terminal was closed); a second one ends the process at once.

    A hangup alone never ends it at once: a closing shell may send several. If SIGHUP is ignored, as by nohup, it stays
    ignored.
    """
    stop = asyncio.Event()

    def heard(number: signal.Signals) -> None:
        if stop.is_set():
            if number is not signal.SIGHUP:
                os._exit(130)
            return
        on_stopping()
        stop.set()

    loop = asyncio.get_running_loop()
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    for item in (signal.SIGINT, signal.SIGTERM, *(() if ignored else (signal.SIGHUP,))):
        loop.add_signal_handler(item, heard, item)
    await stop.wait()


async def _pick_up(settings: Settings, worker: Worker, messaging: Messaging) -> int:
    """What an earlier start of this home left: its leases are broken, its undelivered messages are redelivered."""
    if not settings.one_machine:
        return 0  # on the emulators others may be at work: leases lapse by themselves
    assert isinstance(messaging, LocalTopics)
    await messaging.redeliver_all()
    recovered = await break_leases(worker.ports)
    await worker.kicks.kick()
    return recovered


async def _watch(url: str, secret: str) -> None:
    """Cloud Scheduler's part."""
    headers = {SECRET: secret}
    async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False, headers=headers) as client:
        while True:
            await asyncio.sleep(WATCH_EVERY.total_seconds())
            with contextlib.suppress(httpx2.HTTPError):  # the next round follows
                await client.post("/functions/watch")


def _disk_guard(settings: Settings, worker: Worker) -> DiskGuard:
    return DiskGuard(
        worker.ports,
        limits.disk_places(settings),
        Reserve(settings.home / RESERVE),
        limits.free_bytes,
        tell,
        worker.kicks.kick,
    )


@contextlib.asynccontextmanager
async def _simulator(simulated: Simulated) -> AsyncIterator[str]:
    from scripts.simulator.api.server import served
    from scripts.simulator.engine.simulation import Simulation

    simulation = Simulation(limits=simulated.limits, latency=simulated.latency, seed=simulated.seed)
    async with served(simulation) as url:
        yield url


def listen(port: int) -> socket.socket:
    """Reserves a port on loopback, 0 = any; nothing is answered yet. Raises CannotListen."""
    # Named in full, or asyncio leaves Nagle's delay on: 40 ms an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise CannotListen(error.errno, error.strerror) from error
    return listener


@contextlib.asynccontextmanager
async def serving(application: ASGIApp, port: int | socket.socket) -> AsyncIterator[str]:
    """On loopback only: at a port, or a socket of `listen`."""
    listener = listen(port) if isinstance(port, int) else port
    config = uvicorn.Config(
        application,
        http=HeadersInTime,
        ws="none",
        log_level="warning",
        access_log=False,
        lifespan="off",
        backlog=AT_ONCE,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    lengthen_queue(listener)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.shutdown(sockets=[listener])
