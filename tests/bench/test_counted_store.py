"""A counted store does what the store does, and counts it; and so does a whole counted worker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from scripts.bench.harness import rig
from scripts.bench.quota_live.counted_store import CountedStore
from scripts.bench.quota_live.counters import READS, Counters
from scripts.local import upstream
from scripts.local.upstream import Upstream
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.sqlite.store import SqliteStore
from shared.core.lifecycle.queries import INDEXES
from shared.core.values.documents import Absent, Committed, Conflict, Create, Document, Query

REQUESTS = 3


async def test_a_counted_store_answers_as_the_store_below_and_counts_by_flow(tmp_path: Path) -> None:
    counters = Counters()
    store = CountedStore(SqliteStore(tmp_path / "state.db", SystemClock(), INDEXES), counters, lambda: "intake")
    everything = Query("requests", limit=10)
    assert isinstance(await store.get("requests/a"), Absent)
    assert isinstance(await store.commit(Create("requests/a", {"status": "queued"})), Committed)
    assert isinstance(await store.commit(Create("requests/a", {"status": "queued"})), Conflict)
    documents = await store.get_all(["requests/a", "requests/b"])
    assert [type(item) for item in documents] == [Document, Absent]
    assert len(await store.query(everything)) == await store.count(everything) == 1
    await store.close()
    assert [counters.of("intake", operation) for operation in READS] == [3, 1, 1]
    assert (counters.refused(), counters.purposes["intake"]) == (1, 1)


@pytest.mark.slow
async def test_a_counted_worker_accounts_for_every_write_of_its_renders(tmp_path: Path) -> None:
    path = tmp_path / "counters.json"
    with rig.simulator(latency="fixed:0.1") as provider:
        environment = {
            "RENDERLANE_HOME": str(tmp_path),
            "GEMINI_API_KEY": "AQ.test",
            "GOOGLE_GEMINI_BASE_URL": provider.url,
        }
        client = Upstream.of(environment)
        await client.publish([{"request_id": f"c-{number}", "prompt": "a lighthouse"} for number in range(REQUESTS)])
        await _work(path, environment, client, until="queued", functions="intake")
        await _work(path.with_name("others.json"), environment, client, until="succeeded")
        await client.close()
    counters = Counters.from_json(json.loads(path.read_text()))
    assert counters.purposes["intake"] == REQUESTS
    assert counters.purposes["release"] == 0, "only intake got deliveries"
    counters = Counters.from_json(json.loads(path.with_name("others.json").read_text()))
    assert counters.purposes["release"] >= REQUESTS
    assert counters.purposes["announcement"] == REQUESTS
    assert counters.purposes["background proof"] == 2, "one model and lane: its canary was sent, and proved it"
    assert counters.purposes["awaiting"] >= counters.purposes["provider webhook"] >= 1
    assert counters.purposes["worker report"] >= 1
    assert counters.purposes["other"] == 0, "a write that the bench knows no purpose of"
    assert counters.of("render", "create") >= REQUESTS
    assert counters.of("pump", "query") > 0


async def _work(path: Path, environment: dict[str, str], client: Upstream, until: str, functions: str = "") -> None:
    """One counted worker, from its start until all requests stand in the status `until` and it was stopped."""
    words = [sys.executable, "-m", "scripts.bench.quota_live.counted_up", "--counters", str(path)]
    popen = rig.begin(words + (["--functions", functions] if functions else []), environment)
    try:
        rig.ready(popen)
        await _all_are(until, client)
    finally:
        rig.end(popen)


async def _all_are(status: str, client: Upstream) -> None:

    async def are_there() -> bool:
        return await client.store.count(Query("requests", equal=(("status", status),), limit=REQUESTS)) == REQUESTS

    assert await upstream.until(are_there, 60), f"not all are {status}"
