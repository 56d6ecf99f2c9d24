"""A published request becomes one image, one status, one cost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.core.catalogue.reader import read_catalogue
from shared.core.provider.failure import Failure, FailureKind
from shared.core.values.documents import Update
from shared.flows.intake.intake import accept_message, cancel
from shared.flows.requests.message import Message
from shared.flows.upkeep.watch import watch
from tests.builders import a_statement
from tests.world import World


async def test_a_published_request_becomes_one_image_one_status_and_one_cost() -> None:
    world = World()
    await world.submit("r-1", purpose="final", image_size="2K")
    await world.run_until_quiet()
    status = world.status("r-1")
    assert status["status"] == "succeeded"
    assert len(world.images.stored) == 1
    assert len(world.lane.calls) == 1
    assert status["cost_micros"] == 10 * 2 + 100 * 12 + 1120 * 120
    assert status["cost_basis"] == "metered"
    assert status["receipt"]["delivered"]["image_size"] == "2K"
    assert world.ledger_micros() == status["cost_micros"]
    assert [event["status"] for event in world.results("r-1")] == ["succeeded"]


async def test_150_requests_at_once_under_60_a_minute_take_two_minutes_and_no_window_is_overrun() -> None:
    world = World(quota="*=rpm:60")
    began = world.clock.monotonic()
    for number in range(150):
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    assert world.lane.most_starts_in(timedelta(seconds=60)) <= 60
    last = max(document.data["finished_at"] for document in world.store.all("requests"))
    assert 120 <= (last - world.started).total_seconds() - began <= 125


async def test_the_projects_spend_window_is_kept_over_all_models() -> None:
    world = World(quota="*=spend10m_usd:0.25")
    for number in range(4):
        await world.submit(f"pro-{number}", purpose="final")
        await world.submit(f"lite-{number}", purpose="draft")
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    ended = sorted(
        (document.data["finished_at"], document.data["cost_micros"]) for document in world.store.all("requests")
    )
    for first, _ in ended:
        window = sum(cost for at, cost in ended if first <= at < first + timedelta(minutes=10))
        assert window <= 250_000


async def test_a_day_limit_is_kept_and_the_rest_waits_for_midnight_in_los_angeles() -> None:
    world = World(quota="*=rpd:5")
    for number in range(8):
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    midnight = datetime(2026, 11, 23, 8, tzinfo=UTC)
    assert sum(1 for call in world.lane.calls if call.at < midnight) == 5


async def test_one_models_used_up_day_holds_no_other_models_queue() -> None:
    world = World(quota="gemini-3-pro-image=rpd:1")
    for number in range(120):
        await world.submit(f"pro-{number:03}", purpose="final")
    await world.submit("lite", purpose="draft")

    async def first_minute() -> None:
        story = asyncio.ensure_future(world._until_quiet(timedelta(days=300)))
        await world.clock.sleep(60)
        assert world.status("lite")["status"] == "succeeded"
        story.cancel()
        await asyncio.gather(story, return_exceptions=True)

    await world.run(first_minute())


async def test_attempts_in_flight_never_exceed_the_concurrency_of_their_model() -> None:
    world = World(quota="*=concurrency:3", latency=timedelta(seconds=7))
    for number in range(20):
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    starts = [call.at for call in world.lane.calls]
    assert max(sum(1 for at in starts if at <= now < at + timedelta(seconds=7)) for now in starts) == 3


async def test_room_that_comes_back_is_seen_within_a_tick_where_concurrency_and_a_rate_are_configured() -> None:
    world = World(quota="*=rpm:600,concurrency:3", latency=timedelta(seconds=7))
    for number in range(12):
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    starts = sorted(call.at for call in world.lane.calls)
    assert max(sum(1 for at in starts if at <= now < at + timedelta(seconds=7)) for now in starts) == 3
    assert max(starts[number + 3] - starts[number] for number in range(9)) < timedelta(seconds=8.5)


async def test_interactive_requests_go_before_a_backlog_of_bulk() -> None:
    world = World(quota="*=rpm:10")
    for number in range(40):
        await world.submit(f"bulk-{number}", priority="bulk")
    await world.submit("now", priority="interactive")
    await world.run_until_quiet()
    started = {document.id: document.data["finished_at"] for document in world.store.all("requests")}
    assert sum(1 for at in started.values() if at < started["now"]) <= 10


async def test_a_request_whose_model_is_retired_while_it_waits_is_rendered_by_the_successor() -> None:
    world = World()
    await world.submit("r-1", model="nano-banana")
    await world.clock.run(_take_in_all(world))
    retired = Path("shared/catalogue.toml").read_text("utf-8").replace('status = "deprecated"', 'status = "retired"')
    world.catalogue = read_catalogue(retired)
    world.boot()
    await world.run_until_quiet()
    successor = world.catalogue.models["gemini-2.5-flash-image"].successor
    assert world.status("r-1")["receipt"]["delivered"]["model"] == successor


async def _take_in_all(world: World) -> None:
    for delivery in world.topics.take("render-requests-intake"):
        await accept_message(
            world.ports, world.kicks, world.tags, Message(delivery.message_id, delivery.data, delivery.attributes)
        )


@pytest.mark.parametrize("recipe", ["the hash of an earlier release", None])
async def test_a_repeat_of_a_request_from_before_a_release_is_still_the_same_request(recipe: str | None) -> None:
    """Its stored hash was made by another recipe, and its content lacks what the release added."""
    world = World()
    await world.submit("r-1", labels={"a": "1"})
    await world.run_until_quiet()
    stored = world.request("r-1")
    older = {name: value for name, value in stored.data["request"].items() if name not in ("grounding", "allow")}
    changes = {"request": older} | ({"content_hash": recipe} if recipe else {})
    await world.store.commit(Update(stored.path, changes, stored.version))
    await world.submit("r-1", labels={"a": "1"})
    await world.run_until_quiet()
    assert [event["status"] for event in world.results("r-1")] == ["succeeded", "succeeded"]
    assert len(world.lane.calls) == 1
    await world.submit("r-1", labels={"a": "2"})
    await world.run_for(timedelta(seconds=5))
    assert [event["status"] for event in world.results("r-1")][2:] == ["rejected"]


async def test_an_id_is_remembered_for_thirty_days_after_its_end_and_then_free_again() -> None:
    world = World()
    await world.submit("r-1")
    await world.publish({"cancel": "r-2"})
    await world.run_until_quiet()
    world.clock.advance(timedelta(days=29))
    await world.clock.run(watch(world.ports, world.kicks, world.collector))
    assert world.statuses() == {"r-1": "succeeded"}
    world.clock.advance(timedelta(days=2))
    await world.clock.run(watch(world.ports, world.kicks, world.collector))
    assert world.statuses() == {}
    assert world.attempts("r-1") == []
    assert world.store.all("cancels") == []
    assert world.ledger_micros() > 0, "the ledger stays"


async def test_a_slot_that_could_not_be_handed_out_is_given_back() -> None:
    world = World(quota="*=rpm:1")
    real = world.store.commit
    cancelled: list[str] = []

    async def commit(*writes: Any) -> Any:
        release = isinstance(writes[0], Update) and writes[0].changes.get("status") == "released"
        if release and not cancelled:
            cancelled.append(writes[0].path)
            request_id = writes[0].path.removeprefix("requests/")
            world.store.commit = real  # type: ignore[method-assign]
            await cancel(world.ports, "default", request_id)
        return await real(*writes)

    world.store.commit = commit  # type: ignore[method-assign]
    await world.submit("first")
    await world.submit("second")
    await world.run_until_quiet()
    assert cancelled
    assert sorted(world.statuses().values()) == ["cancelled", "succeeded"]
    assert world.lane.calls[0].at < world.started + timedelta(seconds=30), "the only slot of the minute was not lost"


async def test_a_limit_that_a_429_names_is_kept_from_then_on() -> None:
    world = World()
    named = Failure(
        FailureKind.QUOTA_MINUTE,
        "too many",
        retry_after=timedelta(seconds=5),
        quota_id="GenerateRequestsPerMinutePerProjectPerModel",
        quota_value=10,
    )
    world.lane.then(named)
    for number in range(60):
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    learned = [call for call in world.lane.calls if call.at > world.started + timedelta(seconds=20)]
    starts = [call.at for call in learned]
    assert max(sum(1 for at in starts if first <= at < first + timedelta(seconds=60)) for first in starts) <= 10


async def test_a_floor_that_names_no_model_is_rejected_with_whatever_else_is_wrong() -> None:
    world = World()
    await world.submit("wrong", floor={"model": "dall-e"}, lane="flex")
    await world.submit("right")
    await world.run_until_quiet()
    (rejected,) = world.store.all("rejected")
    assert [problem["field"] for problem in rejected.data["problems"]] == ["floor.model", "lane"]
    assert world.crashes == []


async def test_why_a_closed_model_waits_stands_in_the_pumps_document() -> None:
    world = World()
    world.lane.sick = lambda _order, _number: a_statement(FailureKind.QUOTA_DAY)
    await world.submit("first")
    await world.clock.run(_some_minutes(world))
    await world.submit("second")
    await world.clock.run(_some_minutes(world))
    gemini_nano_banana_2_1 = world.store.all("pump")[0].data["held"]["gemini-nano-banana-2.1"]
    assert (gemini_nano_banana_2_1["reason"], gemini_nano_banana_2_1["why"]) == ("closed", "quota_day")
    assert gemini_nano_banana_2_1["until"] < datetime(2026, 11, 23, 8, tzinfo=UTC), (
        "a probe comes long before midnight in Los Angeles"
    )


async def _some_minutes(world: World) -> None:
    story = asyncio.ensure_future(world._until_quiet(timedelta(days=300)))
    await world.clock.sleep(150)
    story.cancel()
    await asyncio.gather(story, return_exceptions=True)
