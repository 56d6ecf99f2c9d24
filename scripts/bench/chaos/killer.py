"""A one-machine worker that is killed at random moments and started again, under a load that keeps it busy."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from urllib.parse import unquote, urlsplit

import httpx2
from msgspec import Struct

from scripts.bench.chaos.checker import Accounts
from scripts.bench.harness import rig
from scripts.local.upstream import Upstream, until
from shared.core.lifecycle import queries
from shared.core.records.versioned import request_in
from shared.core.values.documents import Query

WORKS_WITHIN = 240.0
TIDY_WITHIN = 180.0
"""Seconds after the last result in which interactions are deleted that were left over: a deletion that died with its
worker is due after 30 s. One whose id died with its worker is known by its webhook alone, and a webhook that met no
worker eight times comes again after four minutes: it is not left over while its webhook is under way."""
LOOK_EVERY = 0.2


class ChaosPlan(Struct, frozen=True):
    requests: int
    kills: int
    at_once: int
    """Calls in flight that the worker may have."""
    latency: str
    rendering: int
    """Calls at the provider, their ids on record, that a kill waits for; fewer where fewer are left."""
    uptime: tuple[float, float]
    """Seconds from then to the kill, at least and at most."""
    within: float
    """Seconds for the last boot to finish the rest."""
    spread: float = 0.0
    """The share of the requests over which the kills are spread evenly; 0: each comes as soon as it may."""
    background: str = "auto"
    """RENDERLANE_BACKGROUND."""
    refused: bool = False
    """The provider refuses background calls."""
    seed: int = 20261129


class ChaosRun(Struct, frozen=True):
    accounts: Accounts
    kills: int
    in_flight: int
    """Requests that were rendering at the kills, all kills together."""
    seconds: float


async def play(plan: ChaosPlan, folder: Path, say: Callable[[str], None]) -> ChaosRun:
    chance, began = Random(plan.seed), time.monotonic()
    with rig.simulator(latency=plan.latency, background=not plan.refused) as provider:
        environment = {
            "RENDERLANE_HOME": str(folder),
            "GEMINI_API_KEY": "AQ.chaos",
            "GOOGLE_GEMINI_BASE_URL": provider.url,
            "RENDERLANE_QUOTA": f"*=concurrency:{plan.at_once}",
            "RENDERLANE_CAPACITY": str(2 * plan.at_once),
            "RENDERLANE_BACKGROUND": plan.background,
        }
        client = Upstream.of(environment)
        try:
            names = [f"r-{number:05}" for number in range(plan.requests)]
            in_flight, kills, port = 0, 0, _free_port()
            await client.listen()
            await client.publish(_requests(names[:1]))
            with rig.command("up", "--port", str(port), environment=environment):
                await client.wait_for(1, WORKS_WITHIN)  # what the model takes is learned in peace: the canary
            await client.publish(_requests(names[1:]))
            while kills < plan.kills and not await _is_over(client, plan.requests):
                in_flight += await _live_and_die(client, plan, environment, port, chance, kills)
                kills += 1
                say(f"kill {kills} of {plan.kills}: {sum((await client.ended(plan.requests)).values()):,} have ended")
            with rig.command("up", "--port", str(port), environment=environment):
                await client.wait_for(plan.requests, plan.within)
                await all_announced(client)
                left, announcing = await tidied(provider.url)
                if announcing:
                    say(f"the webhooks of {announcing} more interactions are still under way")
            accounts = await read_accounts(client, names, provider.url, left)
        finally:
            await client.close()
    return ChaosRun(accounts, kills, in_flight, time.monotonic() - began)


def _requests(names: list[str]) -> list[dict[str, str]]:
    return [{"request_id": name, "prompt": f"picture {name}"} for name in names]


async def _live_and_die(
    client: Upstream, plan: ChaosPlan, environment: Mapping[str, str], port: int, chance: Random, kills: int
) -> int:
    """One boot, from its start to kill -9, after `kills` others. How many requests were rendering then."""
    command = [str(Path(sys.executable).parent / "renderlane"), "up", "--port", str(port)]
    popen = rig.begin(command, environment)
    try:
        rig.ready(popen)
        await _until_it_renders(client, plan, round(plan.spread * plan.requests * kills / plan.kills))
        await asyncio.sleep(chance.uniform(*plan.uptime))
        return await client.store.count(queries.in_status("rendering", plan.requests))
    finally:
        rig.kill(popen)


async def _until_it_renders(client: Upstream, plan: ChaosPlan, ended: int) -> None:
    """Until so many calls are at the provider as the plan says, or as are left, of this boot or an earlier one, and so
    many requests have ended.
    """

    async def renders() -> bool:
        over = sum((await client.ended(plan.requests)).values())
        wanted = min(plan.rendering, round(0.9 * (plan.requests - over)))
        return over >= ended and await client.store.count(_at_provider(plan)) >= wanted

    if not await until(renders, WORKS_WITHIN, longest=LOOK_EVERY):
        raise TimeoutError(f"the restarted worker did not begin {plan.rendering} calls within {WORKS_WITHIN:.0f} s")


def _at_provider(plan: ChaosPlan) -> Query:
    """In the foreground no id tells of it: every attempt in flight counts."""
    if plan.background == "off" or plan.refused:
        return queries.in_status("rendering", plan.requests)
    return queries.awaiting(queries.FAR_AHEAD, plan.requests)


async def _is_over(client: Upstream, requests: int) -> bool:
    return sum((await client.ended(requests)).values()) >= requests


async def all_announced(client: Upstream) -> None:
    """Until each result was announced, or a worker left alone has had its time. One whose announcement died with its
    its worker, or met a full disk, is announced by `watch`, up to a minute later.
    """

    async def are_announced() -> bool:
        return not await client.store.count(queries.unannounced(queries.FAR_AHEAD, 1))

    await until(are_announced, TIDY_WITHIN, longest=LOOK_EVERY)


async def tidied(provider: str) -> tuple[int, int]:
    """Interactions that the provider still keeps when a worker that is left alone has had its time: those of which
    nothing will tell it any more, and those whose webhook is under way.
    """
    began = time.monotonic()
    async with httpx2.AsyncClient(trust_env=False) as http:
        while True:
            counts = (await http.get(f"{provider}/control/state")).json()["interactions"]
            left, announcing = int(counts["ended"] + counts["in_progress"]), int(counts["announcing"])
            if not left or time.monotonic() - began > TIDY_WITHIN:
                return left - announcing, announcing
            await asyncio.sleep(0.5)


async def read_accounts(client: Upstream, names: list[str], provider: str, left: int) -> Accounts:
    documents, attempts = {}, {}
    for document in await client.store.query(queries.newest(None, len(names) + 100)):
        name = request_in(document).record.content.request_id
        documents[name] = dict(document.data)
        attempts[name] = [dict(row.data) for row in await client.store.query(queries.attempts_of(document.id))]
    return Accounts(
        published=names,
        documents=documents,
        attempts=attempts,
        images={name: _bytes_at(document["image_uri"]) for name, document in documents.items()},
        results=await client.results(),
        calls=rig.calls(provider),
        left_with_provider=left,
    )


def _bytes_at(uri: str | None) -> bytes | None:
    path = Path(unquote(urlsplit(uri).path)) if uri else None
    return path.read_bytes() if path is not None and path.is_file() else None


def _free_port() -> int:
    """The same for all boots: what the provider was told to call back stays true."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
