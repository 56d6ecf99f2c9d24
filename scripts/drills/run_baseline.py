"""The same scene as a script would play it: plain google-genai with its default retries, and no fallback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from scripts.drills import fake_gateway
from scripts.drills.recording import DrillRecording, EndedRequest
from scripts.drills.run_worker import WARM_UP, break_it, marked, now, simulator
from scripts.drills.scene import DrillScene
from scripts.drills.scenes import scenes
from scripts.drills.traffic import LITE, PRIMARY
from scripts.local.upstream import paced
from scripts.simulator.engine.simulation import Simulation

if TYPE_CHECKING:
    from google import genai


def play_in_process(names: tuple[str, ...], at_once: int, *, quick: bool) -> dict[str, DrillRecording]:
    """Several beside each other, in an event loop of their own. What is played comes back without its checks, which
    are the worker's and cannot be handed from process to process."""
    recordings = asyncio.run(_play_all(scenes(names, quick=quick), at_once))
    return {
        name: replace(recording, scene=replace(recording.scene, holds=(), afterwards=()))
        for name, recording in recordings.items()
    }


async def _play_all(chosen: Sequence[DrillScene], at_once: int) -> dict[str, DrillRecording]:
    room = asyncio.Semaphore(at_once)

    async def one(scene: DrillScene) -> DrillRecording:
        async with room:
            return await play(scene)

    ordered = sorted(chosen, key=lambda scene: -(scene.traffic.seconds + scene.patience))
    return {played.scene.name: played for played in await asyncio.gather(*(one(scene) for scene in ordered))}


async def play(scene: DrillScene) -> DrillRecording:
    """A scene with a gateway: the script has the gateway's address and key, and no other."""
    async with simulator(scene) as (google, url), fake_gateway.gateway(scene) as beside:
        from google import genai
        from google.genai import types

        simulation, url = beside or (google, url)
        options = types.HttpOptions(base_url=url)
        if beside is not None:
            bearer = {"authorization": f"Bearer {fake_gateway.KEY}"}
            options = types.HttpOptions(base_url=url, api_version="v1beta", headers=bearer)
        client = genai.Client(api_key=fake_gateway.KEY if beside else "AQ.drill", http_options=options)
        try:
            return await _play(scene, simulation, client)
        finally:
            await client.aio.aclose()
            client.close()


async def _play(scene: DrillScene, simulation: Simulation, client: genai.Client) -> DrillRecording:
    call = _by_gateway if scene.gateway else _call
    await call(client, {"request_id": WARM_UP, "prompt": "a lighthouse before all", "model": LITE})
    began_at = now()
    failing = asyncio.create_task(break_it(scene, simulation))
    asked_calls = await _ask_all(scene, partial(call, client))
    await asyncio.wait([task for _, _, tasks in asked_calls for task in tasks], timeout=scene.patience)
    requests = tuple([await _ended(request, at, tasks) for request, at, tasks in asked_calls])
    calls = [call for call in simulation.ledger.since(0) if call.marker != WARM_UP]
    return DrillRecording(
        scene=scene,
        requests=requests,
        calls=() if scene.gateway else tuple(calls),
        gateway_calls=marked(simulation, [request for request, _, _ in asked_calls]) if scene.gateway else (),
        began_at=began_at,
        failed_at=await failing,
        ended_at=now(),
    )


Ask = Callable[[dict[str, Any]], Coroutine[Any, Any, datetime | None]]
AskedCalls = tuple[dict[str, Any], datetime, list["asyncio.Task[datetime | None]"]]


async def _ask_all(scene: DrillScene, call: Ask) -> list[AskedCalls]:
    """A call for each message: a script has no memory of what it was asked before."""
    asked_calls: list[AskedCalls] = []
    async for number in paced(scene.traffic.arrivals()):
        at = now()
        request = scene.traffic.request(scene.name, number, at)
        calls = [asyncio.create_task(call(request)) for _ in range(2 if scene.twice else 1)]
        asked_calls.append((request, at, calls))
    return asked_calls


async def _call(client: genai.Client, request: dict[str, Any]) -> datetime | None:
    """When the image came; None where the answer held none. Raises what the SDK raises in the end."""
    picture = {name: request[name] for name in ("aspect_ratio",) if name in request}
    tier = {"service_tier": request["lane"]} if "lane" in request else {}
    answer: Any = await client.aio.interactions.create(
        model=request.get("model", PRIMARY),
        input=request["prompt"],
        response_format={"type": "image", "image_size": request.get("image_size", "1K"), **picture},
        labels={"request_id": request["request_id"]},
        store=False,
        **tier,
    )
    image = answer.output_image
    return now() if image is not None and image.data else None


async def _by_gateway(client: genai.Client, request: dict[str, Any]) -> datetime | None:
    """As `_call`, in the form that gateways serve."""
    from google.genai import types

    answer = await client.aio.models.generate_content(
        model=request.get("model", PRIMARY),
        contents=request["prompt"],
        config=types.GenerateContentConfig(
            response_modalities=["TEXT", "IMAGE"],
            image_config=types.ImageConfig(image_size=request.get("image_size", "1K")),
        ),
    )
    return now() if any(part.inline_data and part.inline_data.data for part in answer.parts or ()) else None


async def _ended(
    request: dict[str, Any], sent_at: datetime, calls: list[asyncio.Task[datetime | None]]
) -> EndedRequest:
    came: list[datetime] = []
    status = "no image"
    for call in calls:
        if not call.done():
            call.cancel()
            status = "no answer"
        with contextlib.suppress(asyncio.CancelledError, Exception):
            at = await call
            came += [] if at is None else [at]
        if not call.cancelled() and call.exception() is not None:
            status = "failed"
    status = "succeeded" if came else status
    ended_at = min(came, default=None)
    return EndedRequest(request["request_id"], sent_at, status, ended_at, request)
