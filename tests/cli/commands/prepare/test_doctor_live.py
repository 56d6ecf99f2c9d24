"""`renderlane doctor --live` as a command: the estimate first, then the calls, two files, and the exit code."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.simulator.engine.simulation import Simulation
from tests.cli.conftest import renderlane


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulation]:
    """The simulator on a socket, in a loop of its own."""
    import asyncio

    from scripts.simulator.api.server import served

    simulation, ready = Simulation(pictures="cached"), threading.Event()
    address: list[str] = []

    async def serve(stopped: asyncio.Event) -> None:
        async with served(simulation) as url:
            address.append(url)
            ready.set()
            await stopped.wait()

    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(stopped)))
    thread.start()
    assert ready.wait(30)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", address[0])
    yield simulation
    loop.call_soon_threadsafe(stopped.set)
    thread.join(30)
    loop.close()


def test_without_yes_the_estimate_is_printed_and_nothing_is_sent(home: Path, provider: Simulation) -> None:
    ended = renderlane("doctor", "--live")
    assert ended.exit_code == 2
    assert "paid for, about $0.9" in ended.stderr
    assert "Nothing was sent. To go on: --live --yes" in ended.stderr
    assert provider.ledger.since() == []


def test_with_yes_it_asks_and_writes_two_dated_files_within_its_budget(
    home: Path, provider: Simulation, tmp_path: Path
) -> None:
    ended = renderlane("doctor", "--live", "--yes", "--budget", "0.20", "--out", str(tmp_path / "reports"), "--json")
    assert ended.exit_code == 1, "the simulator takes background calls, of which the catalogue knows nothing yet"
    document = json.loads(ended.stdout)
    bill = provider.ledger.bill().total.cost_micros
    assert 0 < bill <= 200_000
    assert document["cost_usd"] == f"{bill / 1_000_000:.6f}"
    assert document["simulated"] is True
    (json_file,) = (tmp_path / "reports").glob("doctor-live-*Z.json")
    (text_file,) = (tmp_path / "reports").glob("doctor-live-*Z.md")
    assert json.loads(json_file.read_text("utf-8")) == document
    assert "A STAND-IN ANSWERED, NOT GOOGLE" in text_file.read_text("utf-8")
    assert '-background = { standard = "unknown"' in document["catalogue_diff"]


def test_without_a_key_it_says_what_is_missing(home: Path) -> None:
    ended = renderlane("doctor", "--live", "--yes")
    assert ended.exit_code == 2
    assert "GEMINI_API_KEY: found nothing" in ended.stderr


@pytest.mark.parametrize("budget", ["0", "-1", "much", "0.0000001"])
def test_a_budget_is_dollars_above_zero(home: Path, provider: Simulation, budget: str) -> None:
    ended = renderlane("doctor", "--live", "--yes", "--budget", budget)
    assert ended.exit_code == 2
    assert "--budget" in ended.stderr
    assert provider.ledger.since() == []


def test_yes_alone_means_nothing(home: Path) -> None:
    assert renderlane("doctor", "--yes").exit_code == 2
