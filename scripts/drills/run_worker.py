"""A scene on the one-machine home: the real worker and lane, over HTTP, against a simulator of its own.

Everything is made in a folder of its own and gone afterwards; nobody's home is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Container, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, TextIO, cast

from msgspec.structs import replace

from scripts.drills import fake_gateway
from scripts.drills.event_tap import Heard, Tape
from scripts.drills.recording import DrillRecording, EndedRequest
from scripts.drills.scene import DrillScene
from scripts.local.home import Home, Simulated, running
from scripts.local.upstream import Upstream, paced
from scripts.simulator.api.server import served
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.bill import RecordedCall
from shared.config import Settings
from shared.core.lifecycle import request_record
from shared.core.messages.render_request import DEFAULT_TENANT
from shared.core.messages.request_key import id_of
from shared.core.records.versioned import Request, request_in
from shared.core.values.documents import Document
from shared.flows.operations.ledger_reading import read_rows
from shared.ports.store import Store
from shared.wiring import Messaging

WARM_UP = "warm-up"
WARM_WITHIN = 60.0
Mark = Callable[[str], None]


def _nothing(_: str) -> None: ...


async def play(scene: DrillScene, *, heard: Heard | None = None, mark: Mark = _nothing) -> DrillRecording:
    """`heard` gets the worker's events, `mark` the scene's own beginnings and ends, as they come."""
    with tempfile.TemporaryDirectory(prefix="renderlane-drill-") as folder:
        async with simulator(scene) as (simulation, url), fake_gateway.gateway(scene) as beside:
            settings = settings_for(scene, Path(folder), url, beside[1] if beside else None)
            with (Path(folder) / "events.jsonl").open("a", encoding="utf-8") as file:
                tape = Tape(file, heard)
                async with running(settings, 0, Simulated(), cast("TextIO", tape)) as home:
                    return await _play(scene, home, simulation, beside[0] if beside else None, tape, mark)


@contextlib.asynccontextmanager
async def simulator(scene: DrillScene) -> AsyncIterator[tuple[Simulation, str]]:
    """A provider of the scene's own, with its latency and limits, and its address."""
    simulation = Simulation(limits=scene.limits, latency=scene.latency, seed=1, pictures="cached")
    async with served(simulation) as url:
        yield simulation, url


def settings_for(scene: DrillScene, folder: Path, provider_url: str, gateway_url: str | None = None) -> Settings:
    environment = {
        "RENDERLANE_HOME": str(folder),
        "GEMINI_API_KEY": "AQ.drill",
        "GOOGLE_GEMINI_BASE_URL": provider_url,
        "RENDERLANE_QUOTA": scene.limits,
        "RENDERLANE_BACKGROUND": scene.background,
    }
    if gateway_url is not None:
        environment |= fake_gateway.environment(folder, gateway_url)
    if scene.timeout is not None:
        text = resources.files("shared").joinpath("catalogue.toml").read_text("utf-8")
        short = re.sub(r"(?m)^timeout_seconds = \d+$", f"timeout_seconds = {scene.timeout}", text)
        (folder / "catalogue.toml").write_text(short, "utf-8")
        environment["RENDERLANE_CATALOGUE"] = str(folder / "catalogue.toml")
    return Settings.read(environment, folder)


async def _play(
    scene: DrillScene, home: Home, simulation: Simulation, beside: Simulation | None, tape: Tape, mark: Mark
) -> DrillRecording:
    ports = home.worker.ports
    store = ports.store
    if beside is not None:
        await fake_gateway.prove(ports)
        await fake_gateway.send_there(ports)
    upstream = Upstream(store, cast("Messaging", ports.topics))
    if scene.announced:
        await upstream.listen()
    await _warm_up(upstream)
    began_at = now()
    mark(f"traffic begins: {scene.traffic.count} requests in {scene.traffic.seconds:.0f} s")
    failing = asyncio.create_task(break_it(scene, beside or simulation, mark))
    sent = await _send(scene, upstream)
    mark(f"the last of {len(sent)} requests is sent")
    patience = scene.patience + scene.recovery
    tenants = {name: str(request.get("tenant", DEFAULT_TENANT)) for name, (request, _) in sorted(sent.items())}
    documents = await upstream.requests(tenants, patience)
    failed_at = await failing
    mismatches = await _heard(upstream, sent) if scene.announced else {}
    return DrillRecording(
        scene=scene,
        requests=tuple(
            _ended(request, at, documents.get(name), mismatches.get(name)) for name, (request, at) in sent.items()
        ),
        calls=tuple(call for call in simulation.ledger.since(0) if call.marker != WARM_UP),
        began_at=began_at,
        failed_at=failed_at,
        ended_at=now(),
        events=tuple(tape.events),
        gateway_calls=marked(beside, [request for request, _ in sent.values()]),
        booked_micros=await _booked(store),
    )


def marked(beside: Simulation | None, requests: Iterable[Mapping[str, Any]]) -> tuple[RecordedCall, ...]:
    """A gateway's calls, by whose request they were: it is told no labels, so the prompt says it. No logged test."""
    if beside is None:
        return ()
    names = {sha256(str(request["prompt"]).encode()).hexdigest(): str(request["request_id"]) for request in requests}
    calls = beside.ledger.since(0)
    return tuple(replace(call, marker=names[call.prompt_sha256]) for call in calls if call.prompt_sha256 in names)


async def _heard(upstream: Upstream, sent: Container[str]) -> dict[str, list[str]]:
    """The mismatches of each result, by request."""
    results = await upstream.results(timedelta(seconds=0.5))
    return {result["request_id"]: result["mismatches"] for result in results if result["request_id"] in sent}


async def _booked(store: Store) -> int:
    """In the ledger, without the image before the scene."""
    rows = await read_rows(store, date(2000, 1, 1), date(9999, 12, 31))
    warm = await store.get(request_record.path(WARM_UP))
    assert isinstance(warm, Document)
    return sum(row.amount("cost_micros") for row in rows) - request_in(warm).record.cost_micros


async def break_it(scene: DrillScene, simulation: Simulation, mark: Mark = _nothing) -> datetime:
    """Set the faults when their time has come. When that was."""
    await asyncio.sleep(scene.calm_first)
    simulation.set_faults(scene.script())
    if scene.faults:
        mark(f"the failure begins: {scene.about}")
        if scene.mends:
            asyncio.get_running_loop().call_later(scene.lasts, mark, "the failure is over")
    return now()


async def _warm_up(upstream: Upstream) -> None:
    """One image before the scene: imports, connections and the pump's lead are no part of it."""
    await upstream.publish([{"request_id": WARM_UP, "prompt": "a lighthouse", "purpose": "draft"}])
    await upstream.requests({WARM_UP: DEFAULT_TENANT}, WARM_WITHIN)


def now() -> datetime:
    return datetime.now(UTC)


async def _send(scene: DrillScene, upstream: Upstream) -> dict[str, tuple[dict[str, Any], datetime]]:
    """Every request with the moment at which it was published, by its id."""
    sent = {}
    async for number in paced(scene.traffic.arrivals()):
        at = now()
        request = scene.traffic.request(scene.name, number, at)
        for _ in range(2 if scene.twice else 1):
            await upstream.publish([request])
        sent[request["request_id"]] = request, at
    return sent


def _ended(
    request: dict[str, Any], sent_at: datetime, document: Request | None, announced: Sequence[str] | None
) -> EndedRequest:
    if document is None:
        return EndedRequest(request["request_id"], sent_at, "lost", None, request)
    record, receipt = document.record, document.record.receipt
    return EndedRequest(
        request_id=id_of(document.id),
        sent_at=sent_at,
        status=record.status,
        ended_at=record.finished_at,
        fields=request,
        model=receipt.delivered.model if receipt else None,
        reasons=receipt.reasons if receipt else (),
        cost_micros=record.cost_micros,
        mismatches=receipt.mismatches if receipt else (),
        announced=announced,
    )


async def play_all(
    scenes: Sequence[DrillScene],
    at_once: int,
    report: Callable[[DrillRecording], None],
    *,
    longest: timedelta = timedelta(minutes=5),
) -> dict[str, DrillRecording]:
    """Play several scenes at once, each on its own home and simulator; `report` gets each as it ends."""
    room = asyncio.Semaphore(at_once)

    async def one(scene: DrillScene) -> DrillRecording:
        async with room, asyncio.timeout(longest.total_seconds()):
            played = await play(scene)
        report(played)
        return played

    ordered = sorted(scenes, key=lambda scene: -(scene.traffic.seconds + scene.recovery + scene.patience))
    recordings = await asyncio.gather(*(one(scene) for scene in ordered))
    return {played.scene.name: played for played in recordings}
