"""A home with the Vertex lane, in this process: requests over both APIs; the day's ledger is the simulator's bill."""

from __future__ import annotations

import io
import json
from pathlib import Path

import httpx2
import pytest

from scripts.cli.data.run.completion import Submission
from scripts.cli.data.run.outgoing import read_lines, send
from scripts.local.home import Simulated, running
from shared.config import Settings
from shared.core.values.documents import Query

PRO, LITE = "gemini-3-pro-image", "gemini-3.1-flash-lite-image"
LINES = [
    {"request_id": "r-1", "prompt": "a red cube"},
    {"request_id": "r-2", "prompt": "a blue cube", "lane": "vertex", "model": PRO, "image_size": "2K"},
    {"request_id": "r-3", "prompt": "a green cube", "lane": "flex", "model": PRO},
    {"request_id": "r-4", "prompt": "a cube", "allow": {"vertex": False}, "purpose": "draft"},
    {"request_id": "r-5", "prompt": "a house in the rain", "lane": "vertex", "model": PRO, "grounding": True},
]
DELIVERED = {"r-1": "vertex", "r-2": "vertex", "r-3": "flex", "r-4": "standard", "r-5": "vertex"}


@pytest.mark.parametrize(("route", "location"), [("first", "global"), ("first", "eu")])
async def test_the_books_are_the_bill_over_both_apis(route: str, location: str, tmp_path: Path) -> None:
    variables = {
        "RENDERLANE_HOME": "home", "RENDERLANE_VERTEX": f"shop/{location}", "RENDERLANE_VERTEX_ROUTE": route,
        "RENDERLANE_TIER": "2",
    }  # fmt: skip
    settings = Settings.read(variables, tmp_path)
    lines = read_lines("\n".join(map(json.dumps, LINES)).encode(), "")
    async with running(settings, 0, Simulated(latency="fixed:0"), io.StringIO()) as home:
        ports = home.worker.ports
        assert set(ports.lanes) == {"standard", "priority", "flex", "vertex"}
        waiting = Submission(ports.store, await send(ports.topics, lines))
        await waiting.until_ended(60.0, lambda _ended: None)
        requests = {row.id.rpartition(":")[2]: row.data for row in await ports.store.query(Query("requests", limit=9))}
        ledger = [row.data for row in await ports.store.query(Query("ledger", limit=99))]
        async with httpx2.AsyncClient(base_url=home.simulator_url or "", trust_env=False) as client:
            bill = (await client.get("/control/bill")).json()
            calls = (await client.get("/control/calls")).json()["calls"]
    assert {name: data["receipt"]["delivered"]["lane"] for name, data in requests.items()} == DELIVERED
    assert {call["api"] for call in calls} == {"vertex", "interactions"}
    by_lane = {lane: sum(row["cost_micros"] for row in ledger if row["lane"] == lane) for lane in DELIVERED.values()}
    billed = {tier: total["cost_micros"] for tier, total in bill["by_tier"].items()}
    assert by_lane["flex"] == billed["flex"]
    assert by_lane["standard"] == billed["standard"]
    tenth_more = sum(call["cost_micros"] for call in calls if call["tier"] == "vertex") * 11 / 10
    expected = billed["vertex"] if location == "global" else tenth_more
    searches = sum(row.get("micros_grounding", 0) for row in ledger if row["lane"] == "vertex")
    assert searches > 0
    if location == "global":
        assert by_lane["vertex"] == expected
    else:  # a search costs the same everywhere; each call is rounded by itself
        assert by_lane["vertex"] == pytest.approx(expected - searches / 10, abs=3)
    assert {data["image_uri"].rpartition(".")[2] for data in requests.values()} == {"png", "jpg"}
