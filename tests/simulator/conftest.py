"""One simulator on a real socket and one unmodified SDK client for all tests of a file; every test starts it afresh."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from google import genai
from google.genai.types import HttpOptions, HttpRetryOptions
from PIL import Image

from scripts.simulator.api.server import Server, serve
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.drawing import PictureMode
from scripts.simulator.provider.faults import Fault

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Time that moves when told to; sleeping only notes for how long."""

    at: datetime = START
    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what another task of this loop is about to do."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in the simulator, which signals nobody
            await asyncio.sleep(0.001)


@dataclass
class House:
    simulation: Simulation
    clock: Clock
    server: Server
    client: genai.Client
    http: httpx2.AsyncClient

    def script(self, *faults: Fault) -> None:
        self.simulation.set_faults(faults)

    async def ask(self, prompt: str | Sequence[Any] = "a red cube", **changes: Any) -> Any:
        """One interaction by the SDK; keyword arguments replace those of `create`, None leaves one out."""
        arguments: dict[str, Any] = {
            "model": "gemini-3-pro-image",
            "input": prompt,
            "response_format": {"type": "image"},
            "store": False,
            "automatic_continuation": False,
        }
        arguments |= changes
        given = {name: value for name, value in arguments.items() if value is not None}
        return await self.client.aio.interactions.create(**given)

    async def post(self, body: Any, *, path: str = "/v1/interactions", headers: Any = None) -> httpx2.Response:
        """One raw call."""
        return await self.http.post(
            path, json=body, headers={"x-goog-api-key": "AQ.test"} if headers is None else headers
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    """A test module that looks at the pictures sets PICTURES = "drawn"."""
    clock = Clock()
    pictures: PictureMode = getattr(request.module, "PICTURES", "cached")
    simulation = Simulation(pictures=pictures, now=clock.now, monotonic=clock.monotonic, sleep=clock.sleep)
    server = await serve(simulation)
    options = HttpOptions(base_url=server.url, timeout=20_000, retry_options=HttpRetryOptions(attempts=1))
    client = genai.Client(api_key="AQ.test", http_options=options)
    async with httpx2.AsyncClient(base_url=server.url, timeout=20) as http:
        yield House(simulation, clock, server, client, http)
    await client.aio.aclose()
    client.close()
    await server.stop()
    simulation.close()


@pytest.fixture
def house(running: House) -> House:
    simulation, clock = running.simulation, running.clock
    clock.at, clock.seconds = START, 0.0
    clock.slept.clear()
    simulation.error_form = "detailed"
    simulation.set_limits("")
    simulation.set_latency("fixed:0")
    simulation.reset()
    return running


@pytest.fixture(scope="session")
def png() -> Callable[[int, int], bytes]:
    def encode(width: int, height: int) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (width, height), (200, 40, 40)).save(file, "PNG")
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def opened() -> Callable[[Any], Image.Image]:
    """The picture of an interaction, decoded to its last pixel."""

    def open_image(interaction: Any) -> Image.Image:
        data = interaction.output_image.data
        picture = Image.open(io.BytesIO(base64.b64decode(data) if isinstance(data, str) else data))
        picture.load()
        return picture

    return open_image
