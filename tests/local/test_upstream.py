"""The one upstream app of scripts and tests: on a SQLite home, without a worker."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from scripts.local import upstream
from scripts.local.upstream import Upstream, paced, until
from shared.core.lifecycle import head_changes, request_record
from shared.core.messages.topics import RENDER_RESULTS
from shared.core.provider.outcome import Outcome
from shared.core.values.documents import Create
from shared.core.values.status import FinalStatus
from shared.ports.messaging import TopicsUnavailable
from tests.builders import NOW, a_record, a_request

REQUESTS = [{"request_id": f"r-{number}", "prompt": "a lighthouse"} for number in range(250)]


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Upstream]:
    app = Upstream.of({"RENDERLANE_HOME": str(tmp_path)})
    yield app
    await app.close()


class Full:
    """Topics that take so many messages."""

    def __init__(self, room: int) -> None:
        self.room, self.bodies = room, list[bytes]()

    async def publish(self, topic: str, data: bytes, attributes: object = None) -> str:
        if len(self.bodies) >= self.room:
            raise TopicsUnavailable("the disk is full")
        self.bodies.append(data)
        return f"m-{len(self.bodies)}"

    async def close(self) -> None: ...


async def put(app: Upstream, request_id: str, status: FinalStatus) -> None:
    outcome = Outcome("overload" if status == "failed" else "rendered", "It ended.")
    fields = a_record(a_request(request_id=request_id)) | head_changes.ended(status, outcome, NOW)
    await app.store.commit(Create(request_record.path(request_id), fields))


async def test_what_is_published_before_a_worker_is_there_waits_for_it_in_its_order(app: Upstream) -> None:
    ids = await app.publish(REQUESTS)
    pulled = await app.topics.pull("render-requests-intake", 300, timedelta(0))
    assert [delivery.message_id for delivery in pulled] == ids
    assert [json.loads(delivery.data) for delivery in pulled] == REQUESTS


async def test_topics_that_fail_half_way_say_how_many_messages_had_left() -> None:
    topics, counts = Full(130), list[int]()
    with pytest.raises(TopicsUnavailable, match=r"the disk is full \(130 of 250 messages were published\)"):
        await upstream.publish(topics, [upstream.message(request) for request in REQUESTS], counts.append)
    assert counts == [100]


async def test_waiting_ends_with_the_last_end_and_counts_by_status(app: Upstream) -> None:
    await put(app, "r-1", "succeeded")
    await put(app, "r-2", "failed")
    progress: list[int] = []
    assert await app.wait_for(2, 60, progress.append) == {"succeeded": 1, "failed": 1}
    assert progress == [2]


async def test_what_has_not_ended_in_time_is_told_with_its_count(app: Upstream) -> None:
    await put(app, "r-1", "succeeded")
    with pytest.raises(TimeoutError, match=r"1 of 2 ended in 0 s: \{'succeeded': 1\}"):
        await app.wait_for(2, 0)


async def test_one_request_is_returned_at_its_end_and_another_is_not_on_record(app: Upstream) -> None:
    await put(app, "r-1", "succeeded")
    assert (await app.request("r-1", 60)).record.status == "succeeded"
    with pytest.raises(TimeoutError, match="r-2 is not on record after 0 s"):
        await app.request("r-2", 0)


async def test_results_are_those_since_it_listens_and_each_is_read_once(app: Upstream) -> None:
    await app.listen()
    for number in range(310):
        await app.topics.publish(RENDER_RESULTS, json.dumps({"request_id": f"r-{number}"}).encode())
    results = await app.results()
    assert [result["request_id"] for result in results] == [f"r-{number}" for number in range(310)]
    assert all(result["published_at"] for result in results)
    assert await app.results() == []


async def test_a_wait_without_time_still_looks_once() -> None:
    looks: list[bool] = []

    async def never() -> bool:
        looks.append(False)
        return False

    assert not await until(never, 0)
    assert looks == [False]


async def test_a_wait_without_a_bound_ends_when_it_is_so() -> None:
    answers = iter([False, False, True])

    async def third() -> bool:
        return next(answers)

    assert await until(third, None, pause=0, longest=0)


async def test_paced_numbers_come_in_their_order() -> None:
    assert [number async for number in paced([0, 0, 0.01])] == [0, 1, 2]
