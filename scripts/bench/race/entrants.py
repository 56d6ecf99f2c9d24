"""Who takes part: Renderlane, and what one would take instead, each at its best and with its settings stated."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Protocol

import httpx2
from msgspec import Struct

from scripts.bench.race import courier, machine
from scripts.bench.race.courier import PushSubscription, RetryPolicy
from scripts.bench.race.scene import RaceScene, SceneRequest
from scripts.local.upstream import Upstream, until
from shared.core.lifecycle import queries
from shared.core.records.versioned import Request, request_in

OURS = "renderlane"
MOST = 10_000
"""Requests of a scene."""
READY_WITHIN = 60.0
THREADS = 256
"""Of a handler's server: none of its deliveries waits for another."""


class Ground(Struct, frozen=True):
    """Where an entrant runs a scene."""

    scene: RaceScene
    provider: str
    folder: Path
    python: Path
    """Of the peers' own environment."""


class Entrant(Protocol):
    """One of them, in one scene."""

    async def start(self) -> None:
        """Returns when it takes requests."""

    async def publish(self, order: SceneRequest) -> None: ...

    def roots(self) -> Iterable[int]:
        """Its processes; what lies below them is its own, too."""

    async def kill(self) -> None:
        """With -9, and start it again. What keeps its queue lives on, as a service of its own would."""

    async def delivered(self) -> Mapping[str, float]:
        """When each image was there, by request id, in Unix seconds."""

    async def ended(self) -> int:
        """How many requests have ended in one way or the other."""

    async def booked_micros(self, ids: Iterable[str]) -> int | None:
        """What its own books say those requests have cost; None: it keeps no books."""

    async def stop(self) -> None: ...


class EntrantKind(Struct, frozen=True):
    """An entrant as the tables show it."""

    name: str
    label: str
    settings: str
    files: tuple[str, ...]
    """What a team writes and keeps, in `peers`."""

    def lines(self) -> int:
        """Without blank lines, comments and the first docstring."""
        return sum(lines_of_code((machine.PEERS / file).read_text("utf-8")) for file in self.files)

    def of(self, ground: Ground) -> Entrant:
        match self.name:
            case "renderlane":
                return Renderlane(ground)
            case "queue":
                return DurableQueue(ground)
            case "litellm":
                return PushedFunction(ground, "litellm_router.py", "--asgi")
            case "jitter":
                return PushedFunction(ground, "handler_with_jitter.py")
            case _:
                return PushedFunction(ground, "handler_as_it_comes.py")


KINDS = (
    EntrantKind(
        OURS,
        "Renderlane",
        "`renderlane up`: one process with SQLite; the limits in `RENDERLANE_QUOTA`",
        ("renderlane.env",),
    ),
    EntrantKind(
        "plain",
        "plain handler",
        "functions-framework and google-genai with its default retries (five attempts);"
        f" {THREADS} threads; {courier.SETTINGS}",
        ("handler_as_it_comes.py",),
    ),
    EntrantKind(
        "jitter",
        "handler, full jitter",
        "as the plain handler; ten attempts by tenacity, with full jitter after the delay that a 429 names;"
        " the fallback model after two sick calls of a request; none where an image is stored,"
        " none after a 400 or a refusal",
        ("handler_with_jitter.py",),
    ),
    EntrantKind(
        "litellm",
        "LiteLLM",
        "its router with `usage-based-routing-v2` and `enforce_model_rate_limits`; 20 retries after a rate limit;"
        " cooldown of 15 s after 4 failures, fallback to 2.1 at once; an async function behind the same subscription;"
        " books are the costs that it states, by the price map of its package",
        ("litellm_router.py",),
    ),
    EntrantKind(
        "queue",
        "Procrastinate",
        "PostgreSQL with Debian's defaults; starts reserved in a table under an advisory lock; 200 jobs at once;"
        " the fallback model after two sick calls of a request; for interactive jobs, where there are some, a queue of"
        " their own and 20 % of the limit; jobs of a dead worker are retried after 6 s",
        ("durable_queue.py",),
    ),
)


def lines_of_code(text: str) -> int:
    lines = [line.strip() for line in text.splitlines()]
    if lines and lines[0].startswith('"""') and lines[0].endswith('"""'):
        lines = lines[1:]
    return sum(1 for line in lines if line and not line.startswith("#"))


class _OneProcess:
    """What an entrant with one process to kill has in common with the others."""

    _process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        raise NotImplementedError

    def roots(self) -> Iterable[int]:
        return [self._process.pid] if self._process is not None else []

    async def kill(self) -> None:
        assert self._process is not None
        await _kill(self._process)
        await self.start()

    async def _end(self) -> None:
        if self._process is not None:
            await _kill(self._process)


class PushedFunction(_OneProcess):
    """A function behind a push subscription, which the bench plays."""

    def __init__(self, ground: Ground, program: str, *flags: str) -> None:
        self._ground, self._port = ground, machine.free_port()
        self._images = ground.folder / "images"
        self._books = ground.folder / "books.jsonl"
        self._command = [
            str(ground.python.with_name("functions-framework")), "--source", str(machine.PEERS / program),
            "--target", "render", "--host", "127.0.0.1", "--port", str(self._port), *flags,
        ]  # fmt: skip
        self._courier = PushSubscription(lambda data: courier.post(self._port, data), RetryPolicy())

    async def start(self) -> None:
        self._images.mkdir(exist_ok=True)
        self._process = _begin(self._command, _environment(self._ground) | {"THREADS": str(THREADS)}, self._ground)
        await _answers(self._port, self._process)

    async def publish(self, order: SceneRequest) -> None:
        self._courier.publish(order.id, order.data(with_fallback=True))

    async def delivered(self) -> Mapping[str, float]:
        return _images(self._images)

    async def ended(self) -> int:
        return len(self._courier.acknowledged | self._courier.dead_letters)

    async def booked_micros(self, ids: Iterable[str]) -> int | None:
        if not self._books.is_file():
            return None
        rows = [json.loads(line) for line in self._books.read_text("utf-8").splitlines()]
        scene = set(ids)
        return sum(round((row["usd"] or 0) * 1e6) for row in rows if row["request_id"] in scene)

    async def stop(self) -> None:
        await self._courier.close()
        await self._end()


class DurableQueue(_OneProcess):
    """A worker on a PostgreSQL of its own."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._images = ground, ground.folder / "images"
        self._stack = contextlib.ExitStack()
        self._cluster = self._stack.enter_context(machine.postgres(ground.folder / "postgres"))
        self._environment = _environment(ground) | {"DATABASE_URL": self._cluster.url}
        self._publisher: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._images.mkdir(exist_ok=True)
        if self._publisher is None:
            await self._prepare()
            with self._log() as log:
                self._publisher = await asyncio.create_subprocess_exec(
                    *self._command("publish"), env={**os.environ, **self._environment},
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                )  # fmt: skip
            assert self._publisher.stdout is not None
            await self._publisher.stdout.readline()
        self._process = _begin(self._command("work"), self._environment, self._ground)

    async def _prepare(self) -> None:

        async def answers() -> bool:
            return bool(await self._sql("select 1"))

        await _until(answers, "PostgreSQL")
        with self._log() as log:
            prepare = await asyncio.create_subprocess_exec(
                *self._command("prepare"), env={**os.environ, **self._environment}, stderr=log
            )
        if await prepare.wait():
            raise machine.Missing("the queue's tables cannot be made: the durable queue does not run")

    def _log(self) -> IO[bytes]:
        return (self._ground.folder / "log").open("ab")

    def _command(self, word: str) -> list[str]:
        return [str(self._ground.python), str(machine.PEERS / "durable_queue.py"), word]

    async def publish(self, order: SceneRequest) -> None:
        """A message that is no JSON cannot become a job; one without fields can."""
        assert self._publisher is not None
        assert self._publisher.stdin is not None
        data = order.data(with_fallback=True) if order.raw is None else b"{}"
        self._publisher.stdin.write(data + b"\n")
        await self._publisher.stdin.drain()

    def roots(self) -> Iterable[int]:
        assert self._cluster.process is not None
        return [self._cluster.process.pid, *super().roots()]

    async def delivered(self) -> Mapping[str, float]:
        return _images(self._images)

    async def ended(self) -> int:
        jobs = (
            "select count(*) from procrastinate_jobs where task_name = 'render' and status in ('succeeded', 'failed')"
        )
        return int(await self._sql(jobs) or 0)

    async def _sql(self, query: str) -> str:
        psql = await asyncio.create_subprocess_exec(
            "psql", "-XAtc", query, self._cluster.url,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        output, _ = await psql.communicate()
        return output.decode().strip()

    async def booked_micros(self, ids: Iterable[str]) -> int | None:
        return None

    async def stop(self) -> None:
        await self._end()
        if self._publisher is not None:
            self._publisher.kill()
            await self._publisher.wait()
        await asyncio.to_thread(self._stack.close)


class Renderlane(_OneProcess):
    """The one-machine worker, as `renderlane up` starts it."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._port = ground, machine.free_port()
        settings = (machine.PEERS / "renderlane.env").read_text("utf-8")
        self._environment = dict(line.split("=", 1) for line in settings.split()) | {
            "RENDERLANE_HOME": str(ground.folder / "home"),
            "GOOGLE_GEMINI_BASE_URL": ground.provider,
            "RENDERLANE_QUOTA": ";".join(f"{model}=rpm:{limit}" for model, limit in ground.scene.limits.items()),
        }
        self._client: Upstream | None = None

    async def start(self) -> None:
        command = [str(Path(sys.executable).with_name("renderlane")), "up", "--port", str(self._port)]
        self._process = _begin(command, self._environment, self._ground)
        await _answers(self._port, self._process)
        if self._client is None:
            self._client = Upstream.of(self._environment)

    async def publish(self, order: SceneRequest) -> None:
        await self._upstream.send([order.data(with_fallback=False)])

    @property
    def _upstream(self) -> Upstream:
        assert self._client is not None
        return self._client

    async def delivered(self) -> Mapping[str, float]:
        return {
            id: request.record.finished_at.timestamp()
            for id, request in (await self._requests()).items()
            if request.record.status == "succeeded" and request.record.finished_at is not None
        }

    async def _requests(self) -> dict[str, Request]:
        requests = [request_in(document) for document in await self._upstream.store.query(queries.newest(None, MOST))]
        return {request.record.content.request_id: request for request in requests}

    async def ended(self) -> int:
        return sum((await self._upstream.ended(MOST)).values())

    async def booked_micros(self, ids: Iterable[str]) -> int | None:
        requests = await self._requests()
        return sum(requests[id].record.cost_micros for id in ids if id in requests)

    async def stop(self) -> None:
        await self._end()
        if self._client is not None:
            await self._client.close()


def _environment(ground: Ground) -> dict[str, str]:
    """What a peer is told."""
    return {
        "GEMINI_API_KEY": "AQ.race",
        "RACE_PROVIDER": ground.provider,
        "RACE_IMAGES": str(ground.folder / "images"),
        "RACE_BOOKS": str(ground.folder / "books.jsonl"),
        "RACE_RPM": json.dumps(ground.scene.limits),
        "RACE_RESERVED": str(ground.scene.reserved),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _begin(command: list[str], environment: Mapping[str, str], ground: Ground) -> subprocess.Popen[bytes]:
    """In a process group of its own, which ends with it."""
    with (ground.folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )


async def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.wait)


async def _answers(port: int, process: subprocess.Popen[bytes]) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as http:

        async def has_answered() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it took requests")
            try:
                await http.get(f"http://127.0.0.1:{port}/")
            except httpx2.HTTPError:
                return False
            return True

        await _until(has_answered, f"the server on port {port}")


async def _until(is_so: Callable[[], Awaitable[bool]], what: str) -> None:
    if not await until(is_so, READY_WITHIN, longest=0.05):
        raise RuntimeError(f"{what} is not there after {READY_WITHIN:.0f} s")


def _images(folder: Path) -> dict[str, float]:
    return {entry.name.removesuffix(".jpg"): entry.stat().st_mtime for entry in os.scandir(folder)
            if entry.name.endswith(".jpg")}  # fmt: skip
