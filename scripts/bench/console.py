"""How long the console's pages take with 10,000 requests queued and 100,000 finished: SQLite, or Firestore's emulator.

Each call goes over a socket to a server in a process of its own, as a browser's would; the summary is written before,
as the pump does it every five seconds, and its time is told too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import multiprocessing
import os
import re
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2
from msgspec import Struct

from functions.console.app import BASE, desk_of, whole
from scripts.bench.harness import rig
from scripts.bench.harness.percentile import percentile
from scripts.local.home import serving
from shared import wiring
from shared.config import Settings
from shared.core.lifecycle import head_changes, request_record
from shared.core.messages.render_request import PRIORITIES, RenderRequest
from shared.core.observability import series
from shared.core.observability.series import Mark, Series, Track
from shared.core.provider.outcome import Outcome
from shared.core.routing import ladder
from shared.core.routing.flag import Flag
from shared.core.routing.ladder import Planned
from shared.core.routing.requirements import Requirements
from shared.core.times.leases import LEASE
from shared.core.values.documents import Create, Document, Update, Write
from shared.core.values.lanes import BUILT
from shared.flows.operations import flags
from shared.flows.status import summary
from shared.ports import Ports
from shared.wiring import Worker

PAGE_GOAL_MS, PREVIEW_GOAL_MS = 100.0, 2_000.0
TENANTS = ("web", "print", "shop", "press", "games")
MODELS = ("gemini-3-pro-image", "nano-banana-2")
CODES = ("overload", "timeout", "no_image", "credential")
IN_FLIGHT, FAILED = 40, 200
PAGES = (
    "/", "/live", "/time", "/time?span=1h", "/time?span=30d", "/flags", "/failures", "/runbook", "/budgets",
    "/requests", "/requests?view=gallery", "/requests?status=succeeded&view=gallery",
    "/requests?status=queued", "/requests?status=rendering", "/requests?status=failed&outcome=overload&since=1h",
    "/requests?tenant=web", "/requests?tenant=web&status=succeeded", "/requests?model=gemini-3-pro-image",
    "/requests?lane=standard", "/requests?priority=bulk", "/requests?text=q-", "/requests?since=15m",
    "/bulk/cancel?status=queued", "/bulk/revive?status=failed",
    "/requests/q-0", "/requests/done-000007", "/requests/run-0/trace",
)  # fmt: skip
REDRAWN = ("/", "/?span=1h", "/?span=30d")
"""With a new point in the series before each call, as once a minute: the time lines are drawn again."""
SEARCHES = (
    "/requests?text=done-000", "/requests?outcome=no_such_outcome", "/requests?flag=use-flex", "/requests?sort=dearest",
    "/requests?sort=longest",
)  # fmt: skip
"""They look through MOST_READ documents: bounded, but not within the goal of a page."""
SEARCH_GOAL_MS = 1_000.0
FORM = {"name": "lower-resolution", "to": "1K", "share": "100", "lasts": "2h", "reason": "a bench", "flag_id": "1a2b"}


class Figure(Struct, frozen=True):
    """Of one page, in milliseconds."""

    p50: float
    p95: float
    most: float
    goal: float | None

    @classmethod
    def of(cls, times: list[float], goal: float | None) -> Figure:
        ordered = sorted(times)
        return cls(statistics.median(ordered), percentile(ordered, 0.95), ordered[-1], goal)

    def to_json(self) -> dict[str, float | None]:
        return {"p50_ms": self.p50, "p95_ms": self.p95, "max_ms": self.most, "goal_ms": self.goal}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="a tenth of the requests and 20 calls of each page")
    options.add_argument("--emulator", action="store_true", help="Firestore's emulator instead of SQLite")
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    queued, finished, calls = (1_000, 10_000, 20) if chosen.quick else (10_000, 100_000, 40)
    if chosen.emulator:
        finished = min(finished, 10_000)  # the emulator keeps them in memory and scans
    with tempfile.TemporaryDirectory() as folder, _environment(Path(folder), emulator=chosen.emulator) as environment:
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        server = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(environment, folder, queued, finished, theirs)
        )
        server.start()
        try:
            address, summaries = ours.recv()
            os.environ.update(environment)  # Google's libraries look for the emulators there
            settings = Settings.read(environment, Path(folder))
            figures = _measured(address, calls, settings) | {"summary, by the pump": Figure.of(summaries, None)}
        finally:
            server.terminate()
            server.join()
    where = "Firestore's emulator" if chosen.emulator else "SQLite"
    rows = [
        [name, *(f"{value:,.1f}" for value in (figure.p50, figure.p95, figure.most)), _goal(figure)]
        for name, figure in figures.items()
    ]
    rig.print_table(
        f"The console, {queued:,} requests queued, {finished:,} finished, {where}",
        ["", "p50, ms", "p95, ms", "max, ms", "goal"],
        rows,
    )
    rig.write_json(chosen.json, {
        "queued": queued, "finished": finished, "calls": calls, "store": where,
        "pages": {name: figure.to_json() for name, figure in figures.items()},
    })  # fmt: skip
    return int(any(figure.goal is not None and figure.p95 > figure.goal for figure in figures.values()))


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"< {figure.goal:,.0f}: {'yes' if figure.p95 < figure.goal else 'NO'}"


@contextlib.contextmanager
def _environment(folder: Path, *, emulator: bool) -> Iterator[dict[str, str]]:
    home = {"RENDERLANE_HOME": str(folder), "RENDERLANE_QUOTA": "*=rpm:60"}
    if not emulator:
        yield home
        return
    from scripts.local.emulators import firestore_emulator

    with firestore_emulator() as host:
        place = {"FIRESTORE_EMULATOR_HOST": host, "RENDERLANE_STORE": "firestore://bench-console"}
        topics = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:9", "RENDERLANE_TOPICS": "pubsub://bench-console"}
        images = {"RENDERLANE_IMAGES": (folder / "images").as_uri(), "GOOGLE_CLOUD_PROJECT": "bench-console"}
        yield home | place | topics | images


async def _ports(settings: Settings) -> Ports:
    return wiring.build(settings, io.StringIO())


def _run(runner: asyncio.Runner, ports: Ports) -> None:
    runner.run(_a_point_later(ports))


async def _a_point_later(ports: Ports) -> None:
    """The series with another point, as the pump writes one a minute."""
    document = await ports.store.get(series.PATH)
    assert isinstance(document, Document)
    await ports.store.commit(Update(series.PATH, {"at": datetime.now(UTC)}, document.version))


def _measured(address: str, calls: int, settings: Settings) -> dict[str, Figure]:
    figures = {}
    with httpx2.Client(base_url=f"{address}{BASE}", timeout=60, trust_env=False) as client:
        for page in PAGES:
            figures[page] = Figure.of(_times(partial(client.get, page), calls), PAGE_GOAL_MS)
        with asyncio.Runner() as runner:
            ports = runner.run(_ports(settings))
            for page in REDRAWN:
                before = partial(_run, runner, ports)
                figures[f"{page}, drawn again"] = Figure.of(
                    _times(partial(client.get, page), calls, before), PAGE_GOAL_MS
                )
        for page in SEARCHES:
            figures[page] = Figure.of(_times(partial(client.get, page), max(5, calls // 4)), SEARCH_GOAL_MS)
        (token,) = set(re.findall(r'name="token" value="([0-9a-f]+)"', client.get("/flags").text))
        headers = {"origin": address, "hx-request": "true"}
        previews = _times(
            lambda: client.post("/flags/preview", data={**FORM, "token": token}, headers=headers), max(10, calls // 10)
        )
        figures["preview of a flag"] = Figure.of(previews, PREVIEW_GOAL_MS)
    return figures


def _times(call: Callable[[], httpx2.Response], count: int, before: Callable[[], None] | None = None) -> list[float]:
    """Milliseconds; the first call, which compiles templates, is in them."""
    times = []
    for _ in range(count):
        if before is not None:
            before()
        began = time.perf_counter()
        answer = call()
        times.append((time.perf_counter() - began) * 1_000)
        assert answer.status_code == 200, answer.text
    return times


def _serve(environment: dict[str, str], folder: str, queued: int, finished: int, pipe: Connection) -> None:
    os.environ.update(environment)
    asyncio.run(_filled_and_served(Settings.read(environment, Path(folder)), queued, finished, pipe))


async def _filled_and_served(settings: Settings, queued: int, finished: int, pipe: Connection) -> None:
    worker = Worker.of(wiring.build(settings, io.StringIO()))
    await _fill(worker.ports, queued)
    await _fill_finished(worker.ports, finished)
    await worker.ports.store.commit(Create(series.PATH, _full_series(datetime.now(UTC)).to_json()))
    summaries = []
    for _ in range(10):
        began = time.perf_counter()
        await summary.write(worker.ports)
        summaries.append((time.perf_counter() - began) * 1_000)
    async with serving(whole(desk_of(worker, settings)), port=0) as address:
        pipe.send((address, summaries))
        await asyncio.Event().wait()


async def _fill(ports: Ports, queued: int) -> None:
    now = datetime.now(UTC)
    writes: list[Write] = [_queued(ports, number, now) for number in range(queued)]
    writes += [_running(ports, number, now) for number in range(IN_FLIGHT)]
    writes += [_failed(ports, number, now) for number in range(FAILED)]
    for first in range(0, len(writes), 400):
        await ports.store.commit(*writes[first : first + 400])
    for number in range(3):
        flag = Flag(f"use-flex-000{number}", "use-flex", "bench", "a bench", now, now + timedelta(hours=1))
        await flags.trip(ports.store, ports.signals, flag)


async def _fill_finished(ports: Ports, finished: int) -> None:
    """Succeeded ones of the last days, alike but for id, tenant and time."""
    now = datetime.now(UTC)
    outcome = Outcome("succeeded", "The image was made.", "")
    end = {**head_changes.ended("succeeded", outcome, now), "announce": None, "cost_micros": 67_200}
    sample = _document(ports, "done", {"model": MODELS[1]}, now, end).data
    for first in range(0, finished, 400):
        writes: list[Write] = []
        for number in range(first, min(first + 400, finished)):
            at = now - timedelta(hours=1, seconds=2 * number)
            changes = {
                "tenant": TENANTS[number % 5], "request_id": f"done-{number:06}", "created_at": at, "finished_at": at,
                "updated_at": at, "queued_at": at,
            }  # fmt: skip
            writes.append(Create(request_record.path(f"done-{number:06}"), {**sample, **changes}))
        await ports.store.commit(*writes)


def _full_series(now: datetime) -> Series:
    """A day of minutes and a month of hours, with all the columns that twelve routes have."""
    columns = (
        *series.NAMES,
        *(f"{what} standard/model-{route}" for what in ("attempts", "failed") for route in range(12)),
    )
    minutes = ",".join(str(number % 97) for number in range(series.MINUTES_KEPT))
    hours = ",".join(str(number % 997) for number in range(series.HOURS_KEPT))
    first_minute = series.number(now, series.MINUTE) - series.MINUTES_KEPT + 1
    first_hour = series.number(now, series.HOUR) - series.HOURS_KEPT + 1
    marks = tuple(Mark(now - timedelta(minutes=7 * number), "flag", "a bench") for number in range(series.MOST_MARKS))
    return Series(
        now,
        Track(first_minute, dict.fromkeys(columns, minutes)),
        Track(first_hour, dict.fromkeys(series.NAMES, hours)),
        tuple(reversed(marks)),
    )


def _queued(ports: Ports, number: int, now: datetime) -> Create:
    priority, tenant = PRIORITIES[number % 3], TENANTS[number % 5]
    content = {"priority": priority, "tenant": tenant, "model": MODELS[number % 2], "image_size": "4K"}
    return _document(ports, f"q-{number}", content, now - timedelta(seconds=number / 10), {})


def _running(ports: Ports, number: int, now: datetime) -> Create:
    changes = {"status": "rendering", "slot_at": now, "lease_until": now + LEASE}
    return _document(ports, f"run-{number}", {"model": MODELS[0]}, now, changes)


def _failed(ports: Ports, number: int, now: datetime) -> Create:
    outcome = Outcome(CODES[number % len(CODES)], "The provider said no.", "Try again.")
    at = now - timedelta(seconds=number)
    return _document(ports, f"fail-{number}", {}, at, {**head_changes.ended("failed", outcome, at), "announce": None})


def _document(ports: Ports, request_id: str, content: dict[str, str], at: datetime, changes: dict[str, Any]) -> Create:
    payload = {
        "request_id": request_id,
        "prompt": "a black mechanical keyboard " * (1 + zlib.crc32(request_id.encode()) % 60),
        **content,
    }
    request = RenderRequest.parse(json.loads(json.dumps(payload)))
    planned = ladder.first_plan(Requirements.of(request), ports.catalogue, BUILT)
    assert isinstance(planned, Planned)
    written = request_record.new_record(
        request, planned, fair_tag=at.timestamp(), message_id="m", trace_id="0" * 31 + "1",
        traceparent=f"00-{'0' * 31}1-{'0' * 15}1-01", now=at,
    ).to_json()  # fmt: skip
    return Create(request_record.path(request_id), written | changes)


if __name__ == "__main__":
    raise SystemExit(main())
