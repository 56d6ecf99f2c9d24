"""References are bounded together, and neither a slow one nor a deadly one costs anybody else anything."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.core.limits.observations import StartSignal
from shared.core.provider.call import Reference
from shared.core.references import reference_set
from shared.core.references.reference_set import MOST_FETCHES
from shared.ports.images import ReferenceUnusable
from tests.world import Killed, World

MEGABYTE = 1_000_000


class Places:
    """References of any size, as slow as a test wants them, that remember what was asked of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sizes: dict[str, int] = {}
        self.untold: set[str] = set()
        self.types: dict[str, str] = {}
        self.slow = timedelta(0)
        self.fetches: list[str] = []
        self.flying = 0
        self.most_flying = 0

    def check(self, _uri: str, _tenant: str) -> None:
        pass

    async def size(self, uri: str, tenant: str) -> int | None:
        return None if uri in self.untold else self.sizes[uri]

    async def fetch(self, uri: str, tenant: str, mime_type: str | None, most: int | None = None) -> Reference:
        self.fetches.append(uri)
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        await self._world.clock.sleep(self.slow.total_seconds())
        self.flying -= 1
        if most is not None and self.sizes[uri] > most:
            raise ReferenceUnusable(f"{uri} is larger than {most:,} bytes; send a smaller image")
        return Reference(self.types.get(uri, mime_type or "image/png"), bytes(self.sizes[uri]))


def a_world(**options: Any) -> tuple[World, Places]:
    world = World(**options)
    places = Places(world)
    world.references = places  # type: ignore[assignment]
    world.boot()
    return world, places


async def submit(world: World, places: Places, request_id: str, *sizes: int, **fields: Any) -> None:
    uris = [f"gs://allowed/{request_id}-{index}.png?signature=secret" for index in range(len(sizes))]
    places.sizes |= dict(zip(uris, sizes, strict=True))
    await world.submit(request_id, references=[{"uri": uri} for uri in uris], **fields)


def signs(world: World) -> dict[str, int]:
    counts: dict[str, int] = {}
    for document in world.store.all("evidence"):
        for model in document.data["models"].values():
            for sign, seconds in model["counts"].items():
                counts[sign] = counts.get(sign, 0) + sum(seconds.values())
    return counts


async def test_references_too_large_together_are_refused_before_they_are_fetched() -> None:
    world, places = a_world()
    await submit(world, places, "r-1", *([6 * MEGABYTE] * 12), 7 * MEGABYTE)
    await world.run_until_quiet()
    outcome = world.status()["outcome"]
    assert (world.status()["status"], outcome["code"]) == ("failed", "reference")
    assert "79,000,000 bytes together" in outcome["message"]
    assert "100,000,000 bytes with base64 and prompt" in outcome["message"]
    assert "references[12] (gs://allowed/r-1-12.png) with 7,000,000" in outcome["message"]
    assert "secret" not in json.dumps(outcome)
    assert places.fetches == []
    assert world.lane.calls == []
    assert world.status()["cost_micros"] == 0


async def test_as_much_as_the_limit_is_sent() -> None:
    world, places = a_world()
    await submit(world, places, "r-1", *([5 * MEGABYTE] * 14))
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    body = sum(-(-len(reference.data) // 3) * 4 for reference in world.lane.calls[0].order.references)
    assert body < 100 * MEGABYTE


async def test_sizes_that_nobody_tells_are_counted_while_they_are_read() -> None:
    world, places = a_world()
    await submit(world, places, "r-1", *([30 * MEGABYTE] * 5))
    places.untold |= set(places.sizes)
    await world.run_until_quiet()
    assert world.status()["outcome"]["code"] == "reference"
    assert "references[2]" in world.status()["outcome"]["message"]
    assert "60,000,000 bytes already" in world.status()["outcome"]["message"]
    assert places.most_flying == 1, "what may be as large as all that is left is read alone"
    assert world.lane.calls == []


async def test_an_image_that_the_model_does_not_take_is_named_with_its_type() -> None:
    world, places = a_world()
    await submit(world, places, "r-1", 10, 10, 10)
    places.types = {uri: "image/gif" for uri in places.sizes if "-2." in uri}
    await world.run_until_quiet()
    message = world.status()["outcome"]["message"]
    assert message.startswith("references[2]: gs://allowed/r-1-2.png is a GIF, which ")
    assert message.endswith("does not take; use png, jpeg, webp, heic or heif.")
    assert world.lane.calls == []


async def test_what_this_process_cannot_hold_is_refused_with_its_own_limit() -> None:
    world = World()
    world.room_bytes = reference_set.weight(10 * MEGABYTE)
    places = Places(world)
    world.references = places  # type: ignore[assignment]
    world.boot()
    await submit(world, places, "r-1", 11 * MEGABYTE)
    await submit(world, places, "r-2", 9 * MEGABYTE)
    await world.run_until_quiet()
    assert "this worker's memory takes 10,000,000" in world.status("r-1")["outcome"]["message"]
    assert world.status("r-2")["status"] == "succeeded"


@pytest.mark.parametrize("seconds", [1, 7, 25])
async def test_slow_references_are_fetched_once_and_are_no_sign_of_a_slow_fleet(seconds: int) -> None:
    world, places = a_world()
    places.slow = timedelta(seconds=seconds)
    for number in range(5):
        await submit(world, places, f"r-{number}", 20 * MEGABYTE)
    await world.run_until_quiet(timedelta(minutes=5))
    assert set(world.statuses().values()) == {"succeeded"}
    assert len(places.fetches) == 5
    assert len(world.lane.calls) == 5
    counts = signs(world)
    assert [
        counts.get(item.value, 0) for item in (StartSignal.LATE, StartSignal.DELIVERED_LATE, StartSignal.TIGHT)
    ] == [
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("seconds", [0, 2, 12, 30])
async def test_requests_wait_for_memory_and_none_is_lost_for_it(seconds: int) -> None:
    world = World()
    world.room_bytes = reference_set.weight(40 * MEGABYTE)
    places = Places(world)
    places.slow = timedelta(seconds=seconds)
    world.references = places  # type: ignore[assignment]
    world.boot()
    for number in range(8):
        await submit(world, places, f"r-{number}", 30 * MEGABYTE)
    await world.run_until_quiet(timedelta(minutes=30))
    assert set(world.statuses().values()) == {"succeeded"}
    assert places.most_flying == 1
    assert len(world.lane.calls) == 8
    assert len(places.fetches) == 8, "each once"


async def test_memory_that_a_cancelled_request_holds_is_given_to_those_that_wait() -> None:
    world = World()
    world.room_bytes = reference_set.weight(40 * MEGABYTE)
    places = Places(world)
    places.slow = timedelta(seconds=12)
    world.references = places  # type: ignore[assignment]
    world.boot()
    await submit(world, places, "gone", 30 * MEGABYTE)

    async def cancel() -> None:
        await world.clock.sleep(12.5)
        await world.publish({"cancel": "gone"})
        await submit(world, places, "next", 30 * MEGABYTE)

    await world.run_for(timedelta(minutes=1), cancel())
    await world.run_until_quiet(timedelta(minutes=5))
    assert world.status("next")["status"] == "succeeded"
    assert world.status("gone")["status"] in ("cancelled", "succeeded")


async def test_a_request_that_kills_its_worker_before_the_claim_ends_after_a_few_times() -> None:
    world, places = a_world()
    await submit(world, places, "deadly", 10)

    async def fetch(uri: str, *_: Any) -> Any:
        places.fetches.append(uri)
        raise Killed

    places.fetch = fetch  # type: ignore[method-assign, assignment]
    for _ in range(20):
        try:
            await world.run_until_quiet(timedelta(minutes=30))
            break
        except Killed:
            await world.restart()
    assert world.status("deadly")["status"] == "failed"
    assert world.status("deadly")["outcome"]["code"] == "reference"
    assert "the worker stopped meanwhile" in world.status("deadly")["outcome"]["message"]
    assert len(places.fetches) == MOST_FETCHES
    assert world.lane.calls == []


async def test_a_call_takes_back_what_was_counted_before_it() -> None:
    world, places = a_world()
    await submit(world, places, "r-1", 10)
    await world.run_until_quiet()
    assert world.status()["fetch_count"] == 0
    assert world.status()["status"] == "succeeded"


async def test_all_room_is_given_back() -> None:
    world, places = a_world()
    for number in range(6):
        await submit(world, places, f"r-{number}", 10 * MEGABYTE)
        await world.submit(f"plain-{number}")
    await submit(world, places, "too-large", 80 * MEGABYTE)
    await world.run_until_quiet()
    assert not world.ports.room.is_full_for(world.room_bytes)


async def test_a_batch_file_is_bounded_in_bytes_and_the_rest_goes_with_another() -> None:
    world, places = a_world(quota="*=rpm:1")
    for number in range(5):
        await submit(world, places, f"r-{number}", *([10 * MEGABYTE] * 6), lane="batch", allow={"batch": True})
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    for job in world.batches.jobs:
        sent = sum(len(reference.data) * 4 // 3 for _, order in job.orders for reference in order.references)
        assert sent <= world.catalogue.batch.most_bytes
    assert sorted(order.request_id for job in world.batches.jobs for _, order in job.orders) == [
        f"r-{number}" for number in range(5)
    ]
    assert len(world.batches.jobs) == 3
    assert world.ledger_micros() == sum(document.data["cost_micros"] for document in world.store.all("requests"))
    assert not world.ports.room.is_full_for(world.room_bytes)


async def test_what_no_batch_takes_ends_by_itself_and_the_others_go() -> None:
    world, places = a_world(quota="*=rpm:1")
    await submit(world, places, "large", *([10 * MEGABYTE] * 8), lane="batch", allow={"batch": True})
    await submit(world, places, "fine", 10, lane="batch", allow={"batch": True})
    await world.run_until_quiet()
    assert world.status("large")["outcome"]["code"] == "reference"
    assert "80,000,000 bytes together" in world.status("large")["outcome"]["message"]
    assert world.status("fine")["status"] == "succeeded"
