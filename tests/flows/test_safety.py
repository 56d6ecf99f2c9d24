"""The ten rules of safety, each at its weak moment: killed there, repeated there, raced there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.messages.pubsub_messages import ReleaseMessage
from shared.core.messages.topics import RENDER_RELEASES
from shared.core.observability import events
from shared.core.provider.failure import FailureKind
from shared.core.provider.usage import Usage
from shared.core.values.documents import Update
from shared.flows.intake.intake import accept_message, cancel
from shared.flows.render.render import render
from shared.flows.requests.message import Message
from shared.flows.upkeep import dead_letters as bury_flow
from shared.flows.upkeep.watch import watch
from shared.ports.images import ImagesUnavailable
from shared.ports.store import StoreUnavailable
from tests.fakes.lane import made
from tests.world import Killed, World


class Guard:
    """Stands before every port: counts the calls, and kills the process before or after a chosen one."""

    def __init__(self, kill_at: int | None = None, *, after: bool = False) -> None:
        self.calls: list[str] = []
        self.kill_at = kill_at
        self.after = after
        self.killed = False

    def __call__(self, port: Any, name: str) -> Any:
        return _Guarded(port, name, self)


class _Guarded:
    def __init__(self, port: Any, name: str, guard: Guard) -> None:
        self._port, self._name, self._guard = port, name, guard

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        real = getattr(self._port, verb)

        async def called(*args: Any, **kwargs: Any) -> Any:
            guard = self._guard
            guard.calls.append(f"{self._name}.{verb}")
            fatal = not guard.killed and len(guard.calls) - 1 == guard.kill_at
            if fatal and not guard.after:
                guard.killed = True
                raise Killed
            answer = await real(*args, **kwargs)
            if fatal:
                guard.killed = True
                raise Killed
            return answer

        return called


async def _one_request_through(guard: Guard, *, one_machine: bool) -> World:
    world = World()
    world.guard = guard
    world.boot()
    await world.submit()
    try:
        await world.run_until_quiet()
    except Killed:
        await world.restart(one_machine=one_machine)
        await world.run_until_quiet()
    return world


CALLS = 90
"""At least as many port calls as one request takes from publication to announcement."""


@pytest.mark.parametrize("one_machine", [True, False], ids=["one machine", "cloud"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(CALLS))
async def test_a_process_killed_at_any_step_loses_nothing_and_pays_at_most_for_what_was_in_flight(
    at: int, after: bool, one_machine: bool
) -> None:
    guard = Guard(at, after=after)
    world = await _one_request_through(guard, one_machine=one_machine)
    status = world.status()
    assert status["status"] == "succeeded"
    assert len(world.results()) >= 1
    assert {event["status"] for event in world.results()} == {"succeeded"}
    made_images = len(world.lane.images)
    assert len(world.lane.calls) <= 2
    # Every image the provider made is either booked or counted as unknown; none is paid in silence.
    booked = sum(1 for attempt in world.attempts() if attempt["cost_micros"])
    assert made_images <= booked + status["cost_unknown_attempts"]
    assert world.ledger_micros() == status["cost_micros"] == sum(attempt["cost_micros"] for attempt in world.attempts())
    if len(world.lane.calls) == 2:
        assert status["cost_unknown_attempts"] == 1
        assert world.attempts()[0]["outcome"]["code"] == "crashed"


async def test_the_kills_above_cover_every_step_of_a_request() -> None:
    guard = Guard()
    world = await _one_request_through(guard, one_machine=True)
    assert world.status()["status"] == "succeeded"
    announced = max(index for index, call in enumerate(guard.calls) if call == "topics.publish")
    assert announced < CALLS, guard.calls


async def test_an_image_stored_before_the_crash_is_settled_and_not_bought_again() -> None:
    world = World()
    guard = Guard()
    world.guard = guard
    world.boot()
    await world.submit()
    with pytest.raises(StopAsyncIteration):
        await _killed_after(world, guard, "images.put")
    await world.restart()
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    assert len(world.lane.calls) == 1
    assert world.status()["cost_unknown_attempts"] == 0
    assert world.status()["cost_basis"] == "metered"


async def _killed_after(world: World, guard: Guard, call: str) -> None:
    """Run until the named call has been made, and die there."""

    class Watcher(list[str]):
        def append(self, name: str) -> None:
            super().append(name)
            if name == call:
                guard.kill_at, guard.after = len(self) - 1, True

    guard.calls = Watcher(guard.calls)
    try:
        await world.run_until_quiet()
    except Killed:
        raise StopAsyncIteration from None


@pytest.mark.parametrize("seed", range(8))
async def test_every_message_delivered_twice_in_any_order_comes_to_the_same_end(seed: int) -> None:
    world = World(seed=seed)
    world.deliver_twice = True
    world.shuffled = True
    for number in range(12):
        await world.submit(f"r-{number}")
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    assert len(world.lane.calls) == 12
    assert len(world.images.stored) == 12
    assert world.ledger_micros() == sum(document.data["cost_micros"] for document in world.store.all("requests"))


async def test_a_stale_release_is_acknowledged_and_ignored() -> None:
    world = World()
    await world.submit()
    await world.run_until_quiet()
    calls = len(world.lane.calls)
    stale = Message("m-1", ReleaseMessage("r-1", 0).to_bytes())
    await world.run(render(world.ports, world.kicks, world.evidence, stale))
    assert len(world.lane.calls) == calls


async def test_a_second_delivery_of_a_live_attempt_is_acknowledged_without_a_second_call() -> None:
    world = World(latency=timedelta(seconds=40))
    await world.submit()

    async def twice() -> None:
        story = asyncio.ensure_future(world._until_quiet(timedelta(hours=1)))
        await world.clock.sleep(10)
        assert world.status()["status"] == "rendering"
        number = world.status()["release"]
        await render(world.ports, world.kicks, world.evidence, Message("m-2", ReleaseMessage("r-1", number).to_bytes()))
        await story

    await world.run(twice())
    assert len(world.lane.calls) == 1


async def test_a_long_attempt_keeps_its_lease_by_renewing_it() -> None:
    world = World(latency=timedelta(seconds=290))
    await world.submit()
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    assert len(world.lane.calls) == 1
    assert world.status()["crash_count"] == 0


async def test_two_workers_that_both_believe_in_their_attempt_book_a_duplicate_and_keep_the_first_image() -> None:
    world = World(latency=timedelta(seconds=200))
    await world.submit()

    async def frozen_worker() -> None:
        story = asyncio.ensure_future(world._until_quiet(timedelta(hours=1)))
        await world.clock.sleep(5)
        document = world.request()
        # The worker is frozen: its lease lapses, and the watch gives its attempt up.
        lapsed = {"lease_until": world.clock.now() - timedelta(seconds=1)}
        await world.store.commit(Update(document.path, lapsed, document.version))
        await watch(world.ports, world.kicks, world.collector)
        assert world.status()["status"] == "queued"
        await story

    await world.run(frozen_worker())
    status = world.status()
    assert status["status"] == "succeeded"
    assert len(world.lane.calls) == 2
    codes = [attempt["outcome"]["code"] for attempt in world.attempts()]
    assert sorted(codes) == ["duplicate", "succeeded"]
    assert status["cost_unknown_attempts"] == 0, "what was booked as unknown is known by now"
    assert status["cost_micros"] == sum(attempt["cost_micros"] for attempt in world.attempts())
    assert world.ledger_micros() == status["cost_micros"]
    assert len(world.results()) >= 1


async def test_a_result_whose_publication_failed_is_announced_by_the_watch() -> None:
    world = World()
    real = world.topics.publish
    failures = [0]

    async def publish(topic: str, data: bytes, attributes: Any = None) -> str:
        if topic == "render-results" and failures[0] < 2:
            failures[0] += 1
            raise StoreUnavailable("away")
        return await real(topic, data, attributes)

    world.topics.publish = publish  # type: ignore[method-assign]
    world.boot()
    await world.submit()
    await world.run_until_quiet()
    assert failures[0] == 2
    assert [event["status"] for event in world.results()] == ["succeeded"]
    assert world.status()["announce"] is None


async def test_a_release_whose_publication_was_lost_is_taken_back_and_granted_again() -> None:
    world = World(quota="*=rpm:60")
    real = world.topics.publish
    lost: list[bytes] = []

    async def publish(topic: str, data: bytes, attributes: Any = None) -> str:
        if topic == RENDER_RELEASES and not lost:
            lost.append(data)
            return "lost"
        return await real(topic, data, attributes)

    world.topics.publish = publish  # type: ignore[method-assign]
    world.boot()
    await world.submit()
    await world.run_until_quiet()
    assert lost
    assert world.status()["status"] == "succeeded"
    assert world.status()["release"] == 2
    assert len(world.lane.calls) == 1
    calendar = next(document for document in world.store.all("calendars"))
    assert sum(bucket[0] for bucket in calendar.data["buckets"].values()) == 1, "the lost slot was given back"


async def test_a_refusal_ends_the_request_and_is_never_sent_again() -> None:
    world = World()
    world.lane.then(FailureKind.REFUSED)
    await world.submit()
    await world.run_until_quiet()
    assert world.status()["status"] == "refused"
    assert len(world.lane.calls) == 1
    assert world.status()["outcome"]["advice"]


async def test_an_overloaded_provider_is_asked_again_and_the_first_image_ends_it() -> None:
    world = World()
    world.lane.then(FailureKind.OVERLOAD, FailureKind.OVERLOAD)
    await world.submit()
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    assert [attempt["outcome"]["code"] for attempt in world.attempts()] == ["overload", "overload", "succeeded"]
    assert world.status()["cost_unknown_attempts"] == 2


async def test_an_ambiguous_time_out_is_repeated_at_most_twice_without_a_cap() -> None:
    world = World()
    world.lane.then(*[FailureKind.TIMEOUT] * 9)
    await world.submit()
    await world.run_until_quiet()
    assert world.status()["status"] == "failed"
    assert len(world.lane.calls) == 3
    assert world.status()["cost_unknown_attempts"] == 3


async def test_with_a_cap_ambiguous_attempts_spend_the_cap_before_they_are_repeated() -> None:
    world = World()
    world.lane.then(*[FailureKind.TIMEOUT] * 9)
    await world.submit("r-1", purpose="final", max_cost_usd="0.30", floor="exact")
    await world.run_until_quiet()
    assert world.status()["status"] == "failed"
    assert world.status()["outcome"]["code"] == "cost_cap"
    assert len(world.lane.calls) == 2


async def test_a_day_quota_that_is_gone_waits_for_midnight_in_los_angeles_and_loses_nothing() -> None:
    world = World()
    world.lane.sick = lambda _, now: FailureKind.QUOTA_DAY if now.isoformat() < "2026-11-23T08:00" else None
    for number in range(3):
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    assert world.clock.now().isoformat() > "2026-11-23T08:00"
    assert len(world.lane.calls) <= 3 + 3 + 9 + 28, "5 s apart at first, half an hour in the end, over fourteen hours"


async def test_a_cancellation_before_the_attempt_ends_it_unpaid_and_one_that_comes_first_is_kept() -> None:
    world = World(quota="*=rpm:1")
    await world.submit("first")
    await world.publish({"cancel": "early"})
    await world.submit("early")
    await world.submit("second")
    await world.publish({"cancel": "second"})
    await world.run_until_quiet()
    assert world.statuses() == {"first": "succeeded", "early": "cancelled", "second": "cancelled"}
    assert len(world.lane.calls) == 1
    assert {event["status"] for event in world.results("early")} == {"cancelled"}


async def test_a_cancellation_of_a_running_attempt_is_noted_and_the_attempt_ends_as_it_ends() -> None:
    world = World(latency=timedelta(seconds=20))
    await world.submit()

    async def cancel_midway() -> None:
        story = asyncio.ensure_future(world._until_quiet(timedelta(hours=1)))
        await world.clock.sleep(5)
        assert world.status()["status"] == "rendering"
        await world.publish({"cancel": "r-1"})
        await story

    await world.run(cancel_midway())
    assert world.status()["status"] == "succeeded"
    assert world.status()["cancel_requested_at"] is not None


async def test_a_deadline_that_passes_in_the_queue_expires_the_request_unpaid() -> None:
    world = World(quota="*=rpm:1")
    soon = (world.clock.now() + timedelta(seconds=30)).isoformat()
    await world.submit("first", deadline=soon)
    await world.submit("second", deadline=soon)
    await world.run_until_quiet()
    assert sorted(world.statuses().values()) == ["expired", "succeeded"]
    assert len(world.lane.calls) == 1


async def test_the_same_id_with_other_content_is_rejected_and_the_first_kept() -> None:
    world = World()
    await world.submit("r-1", labels={"campaign": "spring"})
    await world.submit("r-1", labels={"campaign": "autumn"})
    await world.run_until_quiet()
    assert world.status()["request"]["labels"] == {"campaign": "spring"}
    assert sorted(event["status"] for event in world.results("r-1")) == ["rejected", "succeeded"]
    assert len(world.store.all("rejected")) == 1


async def test_repeating_a_finished_request_publishes_its_result_again_for_nothing() -> None:
    world = World()
    await world.submit()
    await world.run_until_quiet()
    await world.submit()
    await world.run_until_quiet()
    assert [event["status"] for event in world.results()] == ["succeeded", "succeeded"]
    assert len(world.lane.calls) == 1


async def test_rubbish_is_recorded_answered_where_it_names_an_id_and_never_comes_again() -> None:
    world = World()
    await world.publish(b"\xff\xfe not json")
    await world.publish({"request_id": "r-9", "prompt": "x", "image_size": "2k"})
    await world.publish({"request_id": "r-8", "prompt": "x", "model": "nano-banana-9"})
    await world.run_until_quiet()
    assert len(world.store.all("rejected")) == 3
    assert {event["request_id"]: event["status"] for event in world.results()} == {"r-9": "rejected", "r-8": "rejected"}
    assert world.statuses() == {}


async def test_intake_raises_when_the_request_could_not_be_recorded_so_that_the_message_comes_again() -> None:
    world = World()

    async def away(*_: Any) -> Any:
        raise StoreUnavailable("away")

    world.store.commit = away  # type: ignore[method-assign]
    data = json.dumps({"request_id": "r-1", "prompt": "x"}).encode()
    with pytest.raises(StoreUnavailable):
        await world.run(accept_message(world.ports, world.kicks, world.tags, Message("m-1", data)))


async def test_a_dead_letter_of_render_ends_nothing_by_itself() -> None:
    world = World(quota="*=rpm:60")
    real = world.topics.publish

    async def swallow(topic: str, data: bytes, attributes: Any = None) -> str:
        return "lost" if topic == RENDER_RELEASES else await real(topic, data, attributes)

    world.topics.publish = swallow  # type: ignore[method-assign]
    await world.submit()

    async def until_released() -> None:
        story = asyncio.ensure_future(world._until_quiet(timedelta(hours=1)))
        while world.statuses().get("r-1") != "released":
            await world.clock.sleep(0.05)
        world.topics.publish = real  # type: ignore[method-assign]
        dead = Message(
            "m-7",
            ReleaseMessage("r-1", world.status()["release"]).to_bytes(),
            {"CloudPubSubDeadLetterSourceSubscription": "render-releases-render"},
        )
        await bury_flow.bury(world.ports, world.kicks, world.tags, world.evidence, world.room, dead)
        await story

    await world.run(until_released())
    assert world.status()["status"] == "succeeded"


async def test_five_crashed_attempts_end_the_request_with_the_bill_named_unknown() -> None:
    world = World()
    await world.submit("r-1", max_cost_usd="5")
    for _ in range(5):
        guard = Guard()
        world.guard = guard
        world.boot()
        with pytest.raises(StopAsyncIteration):
            await _killed_after(world, guard, "lane.generate")
        await world.restart()
    await world.run_until_quiet()
    assert world.status()["status"] == "failed"
    assert world.status()["outcome"]["code"] == "crashed"
    assert world.status()["cost_unknown_attempts"] == 5
    assert world.status()["crash_count"] == 5


async def test_an_image_that_cannot_be_stored_for_a_while_is_stored_and_paid_once() -> None:
    world = World()
    real = world.images.put
    failures = [0]

    async def put(*args: Any) -> Any:
        failures[0] += 1
        if failures[0] <= 3:
            raise ImagesUnavailable("the bucket is away")
        return await real(*args)

    world.images.put = put  # type: ignore[method-assign, assignment]
    world.boot()
    await world.submit()
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    assert len(world.lane.calls) == 1


async def test_a_size_that_comes_smaller_than_ordered_is_named_in_the_receipt() -> None:
    world = World()
    world.lane.then(lambda order: made(order, size="1K"))
    await world.submit("r-1", purpose="final", image_size="4K")
    await world.run_until_quiet()
    receipt = world.status()["receipt"]
    assert receipt["delivered"]["image_size"] == "1K"
    assert any("4K was ordered" in reason for reason in receipt["reasons"])


async def test_a_bill_over_the_estimate_is_told_and_stands_in_the_receipt() -> None:
    world = World()
    dear = Usage(text_in=10, image_out=1120, thought=50_000)
    world.lane.then(lambda order: replace(made(order), usage=dear), made)
    await world.submit("dear")
    await world.submit("usual")
    await world.run_until_quiet()
    (report,) = world.signals.of(events.COST_OVER_ESTIMATE)
    assert report["request_id"] in ("dear", "usual")
    (reason,) = [item for item in world.status(str(report["request_id"]))["receipt"]["reasons"] if "bill" in item]
    assert "is over the estimate of" in reason


async def test_a_call_too_late_for_its_slot_is_not_made_and_its_slot_is_given_back() -> None:
    world = World(quota="*=rpm:1")
    world.lane.then(FailureKind.LATE, FailureKind.LATE)
    await world.submit()
    await world.run_until_quiet(timedelta(seconds=40))
    assert world.status()["status"] == "succeeded"
    assert [attempt["outcome"]["code"] for attempt in world.attempts()] == ["succeeded"], "no call left, no attempt"
    assert world.status()["late_count"] == 2
    assert sum(document.data["attempts"] for document in world.store.all("ledger")) == 1
    assert world.status()["cost_unknown_attempts"] == 0
    calendar = next(iter(world.store.all("calendars")))
    assert sum(bucket[0] for bucket in calendar.data["buckets"].values()) == 1


async def test_an_image_that_can_never_be_stored_ends_the_request_and_is_not_bought_again() -> None:
    world = World()

    async def put(*_: Any) -> Any:
        raise ImagesUnavailable("the bucket is gone")

    world.images.put = put  # type: ignore[method-assign, assignment]
    world.boot()
    await world.submit()
    await world.run_until_quiet()
    assert world.status()["status"] == "failed"
    assert world.status()["outcome"]["code"] == "image_store"
    assert len(world.lane.calls) == 1
    assert world.status()["cost_micros"] > 0, "it was made and is paid for"


async def test_a_cancellation_noted_while_the_call_turned_out_too_late_ends_its_request_unpaid() -> None:
    """Under the version that the cancellation made: no call left, and none will."""
    world = World(quota="*=rpm:60")
    noted: list[bool] = []

    async def cancel_meanwhile() -> None:
        if not noted:
            noted.append(True)
            await cancel(world.ports, "default", "r-1")

    real = world.lane.generate

    async def generate(*args: Any) -> Any:
        await cancel_meanwhile()
        return await real(*args)

    world.lane.generate = generate  # type: ignore[method-assign, assignment]
    world.lane.then(FailureKind.LATE)
    world.boot()
    await world.submit()
    await world.run_for(timedelta(seconds=20))
    assert noted
    assert (world.status()["status"], world.status()["cost_micros"]) == ("cancelled", 0)
    assert world.attempts() == []
