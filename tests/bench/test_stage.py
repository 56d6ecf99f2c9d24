"""The stage on the embedded home: real processes, a real simulator."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from scripts.bench.quota_live.fleet import WorkerFleet
from scripts.bench.quota_live.stage import RunSetting, stage

REQUESTS = 3


async def counted(fleet: WorkerFleet, releases: int) -> None:
    """A worker writes its counters once a second; a kill loses what came after."""
    async with asyncio.timeout(30):
        while True:
            if fleet.counters().purposes["release"] >= releases:
                return
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_a_worker_killed_and_started_again_renders_the_rest_and_is_counted_in_both_lives() -> None:
    lines: list[str] = []
    setting = RunSetting(kind="embedded", workers=1, pumps=1, rpm=500, latency="fixed:0.1", hosts={}, say=lines.append)
    async with stage(setting, "both-lives") as where:
        await where.fleet.start()
        await where.publish_backlog(REQUESTS, "normal")
        assert await where.fleet.leader(where.upstream.store) == 0
        await where.look_for(REQUESTS, where.published["both-lives-0"] + 60)
        assert await where.ended(REQUESTS, 60) == {"succeeded": REQUESTS}
        await counted(where.fleet, REQUESTS)
        where.fleet.kill(0)
        await where.fleet.start_one(0)
        await where.publish("one-more", "normal")
        assert await where.ended(REQUESTS + 1, 60) == {"succeeded": REQUESTS + 1}
        await where.fleet.stop()
        counters = where.fleet.counters()
        calls = await where.all_calls()
    assert {call.request_id for call in calls if call.charged} == set(where.published)
    assert counters.purposes["release"] > REQUESTS, "both lives' releases are counted"
    assert lines, "progress is told"


async def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    fleet = WorkerFleet({"RENDERLANE_QUOTA": "nonsense"}, tmp_path, size=1, pumps=1)
    with pytest.raises(RuntimeError, match="RENDERLANE_QUOTA"):
        await fleet.start()
    await fleet.stop()
