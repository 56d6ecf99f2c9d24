"""Each route is called in the form that the catalogue names for it, and the other form is not even prepared."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scripts.simulator.api.server import serve
from scripts.simulator.engine.simulation import Simulation
from shared.adapters.gemini.api_router import ByApiLane
from shared.adapters.gemini.generate_content_lane import GenerateContentLane
from shared.adapters.gemini.interactions_lane import GeminiLane
from shared.core.catalogue.catalogue import Api
from shared.core.catalogue.reader import read_catalogue
from shared.core.provider.call import Made
from shared.ports.lanes import Lane
from tests.adapters.gemini.test_interactions_lane import an_order
from tests.builders import CATALOGUE_FILE
from tests.fakes.slots import at_once

KEY = "AQ.test-key-of-nobody-0123456789"
SOON = timedelta(seconds=20)
STANDARD = '[google."gemini-3-pro-image".standard]'


@pytest.mark.parametrize(
    ("lane", "form"), [("standard", "generate_content"), ("flex", "interactions"), ("priority", "interactions")]
)
async def test_one_route_moves_and_its_neighbours_stay(lane: str, form: str) -> None:
    text = CATALOGUE_FILE.read_text("utf-8").replace(STANDARD, f'{STANDARD}\napi = "generate_content"')
    simulation = Simulation(pictures="cached")
    server = await serve(simulation)
    forms: dict[Api, Lane] = {
        "interactions": GeminiLane(KEY, server.url),
        "generate_content": GenerateContentLane(KEY, server.url),
    }
    by_api = ByApiLane(read_catalogue(text), forms)
    await by_api.prepare()
    answer = await by_api.generate(an_order(lane=lane), SOON, at_once)
    await by_api.close()
    await server.stop()
    simulation.close()
    assert isinstance(answer, Made), answer
    (call,) = simulation.ledger.since()
    assert (call.api, call.tier, answer.lane) == (form, lane, lane)
    assert answer.usage is not None
    assert answer.usage.image_out == 1120


async def test_a_form_that_no_route_uses_costs_nothing_at_start() -> None:
    used, unused = Counting(), Counting()
    shipped = read_catalogue(CATALOGUE_FILE.read_text("utf-8"))
    await ByApiLane(shipped, {"interactions": used, "generate_content": unused}).prepare()
    assert (used.prepared, unused.prepared) == (1, 0)


class Counting(GeminiLane):
    """Counts what it is asked to load, and loads nothing."""

    def __init__(self) -> None:
        super().__init__(KEY)
        self.prepared = 0

    async def prepare(self) -> None:
        self.prepared += 1
