"""Options of `submit` with a fixed list, floors and consents; what is said where no worker runs; ids on one line."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from scripts.cli.commands.run.submit import _floor
from scripts.cli.data import worker_home
from scripts.cli.main import cli
from shared.core.values.documents import Create
from tests.cli.conftest import json_lines, renderlane
from tests.world import World

EXACT = "20261129-122646-fd5b38-r2-of-a-long-series"


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--size", "2k", "'2K'"),
        ("--purpose", "best", "'final'"),
        ("--lane", "fast", "'flex'"),
        ("--priority", "high", "'interactive'"),
        ("--thinking", "max", "'minimal'"),
        ("--format", "gif", "'webp'"),
    ],
)
def test_a_value_outside_the_list_is_refused_with_the_list(home: Path, option: str, value: str, allowed: str) -> None:
    result = renderlane("submit", "a red cube", option, value)
    assert result.exit_code == 2
    assert value in result.stderr
    assert allowed in result.stderr


def test_a_shell_completes_verbs_and_values() -> None:
    complete = ShellComplete(cli, {}, "renderlane", "_RENDERLANE_COMPLETE")
    assert "submit" in {item.value for item in complete.get_completions([], "su")}
    values = {item.value for item in complete.get_completions(["submit", "x", "--lane"], "fl")}
    assert values == {"flex"}


@pytest.mark.parametrize(
    ("floors", "expected"),
    [
        (["exact"], "exact"),
        (["1K"], {"image_size": "1K"}),
        (["nano-banana-pro", "2K"], {"model": "nano-banana-pro", "image_size": "2K"}),
    ],
)
def test_a_floor_and_consents_are_sent(floors: list[str], expected: object) -> None:
    assert _floor(floors) == expected


@pytest.mark.parametrize("floors", [["exact", "1K"], ["1K", "2K"]])
def test_two_floors_of_a_kind_are_refused(home: Path, floors: list[str]) -> None:
    words = [word for floor in floors for word in ("--floor", floor)]
    result = renderlane("submit", "a red cube", *words)
    assert result.exit_code == 2
    assert "--floor" in result.stderr


def test_a_published_request_carries_its_floor_and_consents(home: Path) -> None:
    result = renderlane("submit", "a red cube", "--floor", "exact", "--allow-batch", "--allow-gateway", "--json")
    assert result.exit_code == 0, result.stderr
    assert json_lines(result.stdout)


def test_what_waits_says_that_no_worker_runs_and_ids_stay_on_one_line(
    queued_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    listed = renderlane("list")
    assert any(line.strip().startswith(EXACT) for line in listed.stdout.splitlines())
    assert "no worker is running" in listed.stderr
    assert "no worker is running" in renderlane("status", EXACT).stderr


@pytest.fixture
def queued_home(home: Path) -> Path:
    """A home in which one request is queued, and no worker runs."""

    async def write() -> None:
        world = World(quota="*=rpm:0")
        await world.submit(EXACT, model="gemini-3-pro-image")
        await world.run_for(timedelta(seconds=2))
        (document,) = world.store.all("requests")
        home.mkdir()
        (home / "state.db").touch()
        async with worker_home.reading(worker_home.read_settings()) as store:
            await store.commit(Create(document.path, dict(document.data)))

    asyncio.run(write())
    return home
