"""One entrant in one scene: a provider of its own, the requests at their times, the faults, the kills, the record."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx2

from scripts.bench.harness import rig
from scripts.bench.race.checker import Recorded
from scripts.bench.race.entrants import Entrant, EntrantKind, Ground
from scripts.bench.race.gate import Gate
from scripts.bench.race.gauge import Gauge
from scripts.bench.race.scene import RaceScene, SceneRequest
from scripts.local.upstream import until

LOOK = 0.5
"""Seconds between two looks at what has ended."""
SETTLE = 1.0
"""Seconds after the last image, for the books."""
WARM_WITHIN = 60.0


async def play(kind: EntrantKind, scene: RaceScene, folder: Path, python: Path, gate: Gate) -> Recorded:
    folder.mkdir(parents=True)
    simulator = rig.simulator(latency=f"fixed:{scene.latency}", limits=_limits(scene.limits))
    with contextlib.ExitStack() as stack:
        provider = await asyncio.to_thread(stack.enter_context, simulator)
        entrant = kind.of(Ground(scene, provider.url, folder, python))
        try:
            return await _run(entrant, scene, provider.url, gate)
        finally:
            await entrant.stop()


async def _run(entrant: Entrant, scene: RaceScene, provider: str, gate: Gate) -> Recorded:
    began = time.time()
    await entrant.start()
    cold_start = await _first_image(entrant, scene, began) if scene.warm else None
    gauge, published = Gauge(), dict[str, float]()
    await gate.ready()
    if scene.faults:
        await _control(provider, "faults", list(scene.faults))
    before = await entrant.ended()
    gauge.look(entrant.roots())
    spent = gauge.cpu_seconds
    began = time.time()
    side = [asyncio.create_task(_kills(entrant, scene)), asyncio.create_task(_change_limits(scene, provider))]
    publishing = asyncio.create_task(_publish(entrant, scene, published))
    try:
        await _watch(entrant, scene, gauge, before, began)
        await asyncio.gather(publishing, *side)
    finally:
        for task in (publishing, *side):
            task.cancel()
    delivered = await entrant.delivered()
    return Recorded(
        began=began,
        published=published,
        delivered={id: at for id, at in delivered.items() if at - began <= scene.within},
        calls=await asyncio.to_thread(rig.calls, provider),
        booked_micros=await entrant.booked_micros(order.id for order in scene.orders),
        cpu_seconds=gauge.cpu_seconds - spent,
        peak_bytes=gauge.peak_bytes,
        cold_start=cold_start,
    )


async def _first_image(entrant: Entrant, scene: RaceScene, began: float) -> float:
    """Seconds from exec to it, without the model's own time."""
    order = SceneRequest(id="first", at=0.0, prompt="the first image", model=scene.orders[0].model)
    await entrant.publish(order)

    async def is_there() -> bool:
        return order.id in await entrant.delivered()

    if not await until(is_there, WARM_WITHIN, longest=0.05):
        raise RuntimeError(f"no first image within {WARM_WITHIN:.0f} s")
    return (await entrant.delivered())[order.id] - began - scene.latency


async def _publish(entrant: Entrant, scene: RaceScene, published: dict[str, float]) -> None:
    """Those of the same moment together: one by one, hundreds would delay those that follow."""
    began = time.time()
    for at, orders in groupby(sorted(scene.orders, key=lambda order: order.at), lambda order: order.at):
        if (pause := began + at - time.time()) > 0:
            await asyncio.sleep(pause)
        moment = list(orders)
        published.update((order.id, time.time()) for order in moment)
        await asyncio.gather(*(entrant.publish(order) for order in moment))


async def _kills(entrant: Entrant, scene: RaceScene) -> None:
    began = time.time()
    for at in scene.kills:
        await asyncio.sleep(max(0.0, began + at - time.time()))
        await entrant.kill()


async def _change_limits(scene: RaceScene, provider: str) -> None:
    if scene.limits_later is not None:
        at, limits = scene.limits_later
        await asyncio.sleep(at)
        await _control(provider, "limits", {"limits": _limits(limits)})


async def _watch(entrant: Entrant, scene: RaceScene, gauge: Gauge, before: int, began: float) -> None:
    """Until every request has ended, or the scene is cut off."""
    while time.time() - began < scene.within:
        gauge.look(entrant.roots())
        if await entrant.ended() - before >= len(scene.orders):
            await asyncio.sleep(SETTLE)
            break
        await asyncio.sleep(LOOK)
    gauge.look(entrant.roots())


async def _control(provider: str, what: str, body: Any) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        headers = {"content-type": "application/json"}
        answer = await http.post(f"{provider}/control/{what}", content=json.dumps(body), headers=headers)
        answer.raise_for_status()


def _limits(limits: Any) -> str:
    return ";".join(f"{model}=rpm:{limit}" for model, limit in limits.items())
