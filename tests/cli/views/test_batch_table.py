"""`renderlane list --lane batch`: what is on its way by batch, its place and its age."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.config import Settings
from shared.core.lifecycle import batch, head_changes, request_record, transitions
from shared.core.lifecycle.batch import Progress
from shared.core.records.batch import Item
from shared.core.records.request import RequestRecord
from shared.core.values.documents import Create, Write
from shared.core.values.route import Route
from shared.ports.clock import Clock
from tests.builders import a_head_of, a_planned, a_record, a_request
from tests.cli.conftest import json_lines, renderlane

BY_BATCH = {"lane": "batch", "model": "nano-banana-pro", "allow": {"batch": True}}


def _seed(home: Path, *, collecting: int, in_batch: int) -> None:
    """Requests that wait for a batch, and one batch that the provider works on."""
    clock: Clock = SystemClock()
    now = clock.now()
    writes: list[Write] = []
    items = [Item(f"sent-{number}", 1) for number in range(in_batch)]
    route = Route("batch", "gemini-3-pro-image", "1K")
    for index, request_id in enumerate([*(f"waits-{n}" for n in range(collecting)), *(i.request_id for i in items)]):
        request = a_request(request_id=request_id, tenant="press" if index == 0 else "web", **BY_BATCH)
        planned = a_planned(request)
        written = a_record(request, now=now)
        head = a_head_of(request, written)
        assert head.ask.allow_batch
        written |= head_changes.batched(
            head, planned, now - timedelta(minutes=90 if request_id.startswith("sent") else 2)
        )
        if request_id.startswith("sent"):
            collected = RequestRecord.from_json(written)
            written = transitions.in_batch(collected, "b1", 1, now - timedelta(minutes=85)).to_json()
        writes.append(Create(request_record.path(request_id), written))
    if items:
        record = batch.new_record("b1", route, items, now - timedelta(minutes=85))
        record = batch.submitted(record, "batches/abc", now - timedelta(minutes=84))
        record = batch.after_look(record, Progress("running", 1), now - timedelta(minutes=3))
        writes.append(Create(batch.path("b1"), record.to_json()))
    asyncio.run(_write(home, writes))


async def _write(home: Path, writes: list[Write]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    store = wiring.store(Settings.read({"RENDERLANE_HOME": str(home)}, home), SystemClock())
    await store.commit(*writes)
    await store.close()


def test_each_request_is_shown_with_its_place_and_age_longest_waiting_first(home: Path) -> None:
    _seed(home, collecting=2, in_batch=3)
    shown = renderlane("list", "--lane", "batch").stdout
    rows = [line.split() for line in shown.splitlines() if line.strip().startswith(("sent", "waits"))]
    assert [row[0] for row in rows] == ["sent-0", "sent-1", "sent-2", "waits-0", "waits-1"]
    assert "running 2 of 3 1 h b1" in " ".join(rows[1])
    assert "collecting 1 of 2 2 min -" in " ".join(rows[3])
    text = " ".join(shown.split())
    assert "batch b1 (batches/abc): gemini-3-pro-image 1K, running, 1 of 3 done, closed 1 h ago" in text
    assert "collecting: closed 5 min after its first request, or at 100 requests" in text


def test_json_has_the_status_document_and_the_place(home: Path) -> None:
    _seed(home, collecting=1, in_batch=1)
    sent, waits = json_lines(renderlane("list", "--lane", "batch", "--json").stdout)
    assert (sent["request_id"], sent["status"], sent["in_batch"]["state"]) == ("sent-0", "batched", "running")
    assert (sent["in_batch"]["position"], sent["in_batch"]["of"], sent["in_batch"]["batch"]) == (1, 1, "b1")
    assert 5_390 <= sent["in_batch"]["age_seconds"] <= 5_460
    assert waits["in_batch"]["batch"] is None


def test_tenant_and_limit_hold_here_too(home: Path) -> None:
    _seed(home, collecting=3, in_batch=0)
    press = renderlane("list", "--lane", "batch", "--tenant", "press").stdout
    assert "waits-0" in press
    assert "waits-1" not in press
    assert len(json_lines(renderlane("list", "--lane", "batch", "--limit", "2", "--json").stdout)) == 2


def test_nothing_on_its_way_says_so(home: Path) -> None:
    _seed(home, collecting=0, in_batch=0)
    _seed(home, collecting=1, in_batch=0)
    assert "no open batch requests" in renderlane("list", "--lane", "batch", "--tenant", "nobody").stderr


def test_with_another_lane_or_a_status_it_is_a_filter_of_the_list(home: Path) -> None:
    _seed(home, collecting=1, in_batch=1)
    assert "no such requests" in renderlane("list", "--lane", "flex").stderr
    assert len(json_lines(renderlane("list", "--lane", "batch", "--status", "batched", "--json").stdout)) == 2
