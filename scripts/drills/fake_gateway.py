"""A provider gateway of a scene's own: its address in the catalogue, its proof, the flag that sends requests there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

from scripts.drills.scene import DrillScene
from scripts.drills.traffic import PRIMARY
from scripts.simulator.api.server import served
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.tariff import Tariff
from shared.core.catalogue.gateway_proof import ITEMS, TEST
from shared.core.routing.flag import Flag
from shared.core.values.route import GATEWAY
from shared.flows.operations import flags, gateway_proofs
from shared.ports import Ports

NAME = "laozhang"
"""The catalogue's."""
KEY = "sk-drill-of-nobody"
ASK_AGAIN_SECONDS = 3
ACTOR = "drill"


@contextlib.asynccontextmanager
async def gateway(scene: DrillScene) -> AsyncIterator[tuple[Simulation, str] | None]:
    """The stand-in and its address, where the scene has one."""
    if not scene.gateway:
        yield None
        return
    simulation = Simulation(latency=scene.latency, seed=2, pictures="cached", tariff=Tariff())
    async with served(simulation) as url:
        yield simulation, url


def catalogue_with(url: str) -> str:
    """The shipped catalogue, its gateway at that address."""
    text = resources.files("shared").joinpath("catalogue.toml").read_text("utf-8")
    address = 'base_url = "https://api.laozhang.ai"'
    assert address in text, "the shipped gateway has another address"
    return text.replace(address, f'base_url = "{url}"\nask_again_seconds = {ASK_AGAIN_SECONDS}')


def environment(folder: Path, url: str) -> dict[str, str]:
    """What a worker needs to use it; writes the catalogue into `folder`."""
    path = folder / "catalogue.toml"
    path.write_text(catalogue_with(url), "utf-8")
    return {"RENDERLANE_CATALOGUE": str(path), f"RENDERLANE_GATEWAY_KEY_{NAME.upper()}": KEY}


async def prove(ports: Ports) -> None:
    """Write every item of the proof down; the logged test is a real call, and charged."""
    for item in ITEMS:
        if item != TEST:
            await gateway_proofs.record(ports.store, ports.catalogue, NAME, item, "as the stand-in is made", ACTOR)
    await gateway_proofs.prove(ports.store, ports.catalogue, ports.lanes[GATEWAY], ports.clock, NAME, PRIMARY, ACTOR)


async def send_there(ports: Ports) -> None:
    """Trip `use-gateway` for an hour."""
    now = datetime.now(UTC)
    flag = Flag("use-gateway-drill", "use-gateway", ACTOR, "Google is slow", now, now + timedelta(hours=1))
    await flags.trip(ports.store, ports.signals, flag)
