"""What both scenes play on: a provider, a home of its own, and a client of its topics and store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from msgspec import Struct

from scripts.bench.harness import rig
from scripts.local.upstream import Upstream


class FloodStage(Struct, frozen=True):
    provider_url: str
    environment: Mapping[str, str]
    """Of a worker of this home."""
    client: Upstream


@asynccontextmanager
async def built(kind: rig.HomeKind, rpm: int) -> AsyncIterator[FloodStage]:
    """`rpm`: the quota of every model, calls a minute."""
    with (
        rig.simulator(latency="uniform:0.5,1.5") as provider,
        rig.homes(kind, provider.url, f"*=rpm:{rpm}") as environment,
    ):
        client = Upstream.of(environment)
        try:
            yield FloodStage(provider.url, environment, client)
        finally:
            await client.close()
