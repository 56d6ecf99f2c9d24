"""An outage: found out by the fleet, probed a little, left as soon as it is over; nothing lost and little wasted."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest

from shared.core.observability import events
from shared.core.provider.call import Order
from shared.core.provider.failure import FailureKind
from shared.flows.operations import flags
from tests.world import World

PRO, NB21 = "gemini-3-pro-image", "gemini-nano-banana-2.1"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def an_outage(world: World, model: str, begins: timedelta, lasts: timedelta, kind: FailureKind) -> None:
    begin = world.clock.now() + begins

    def sick(order: Order, now: datetime) -> FailureKind | None:
        return kind if order.model == model and begin <= now < begin + lasts else None

    world.lane.sick = sick


async def steady(world: World, count: int, every: timedelta, **fields: object) -> None:
    for number in range(count):
        await world.submit(f"r-{number:03d}", **fields)
        await world.clock.sleep(every.total_seconds())


@pytest.mark.parametrize("kind", [FailureKind.OVERLOAD, FailureKind.CONNECTION, FailureKind.SERVER_ERROR])
async def test_in_an_outage_the_primary_gets_four_calls_a_minute_and_everybody_an_image(kind: FailureKind) -> None:
    world = World(quota="*=rpm:600")
    began = world.clock.now()
    an_outage(world, PRO, MINUTE, 4 * MINUTE, kind)
    await world.run_for(9 * MINUTE, steady(world, 240, 2 * SECOND, model=PRO))
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    for minute in (2, 3, 4):
        since = began + minute * MINUTE
        calls = [call for call in world.lane.calls if call.order.model == PRO and since <= call.at < since + MINUTE]
        assert 1 <= len(calls) <= 4
    after = [call for call in world.lane.calls if call.at >= began + 5 * MINUTE + 45 * SECOND]
    assert {call.order.model for call in after} == {PRO}, "reset by evidence"
    history = [(document.data["action"], document.data["actor"]) for document in world.store.all("flag_history")]
    assert history == [("trip", "breaker"), ("reset", "breaker")]


async def test_a_trip_wakes_what_waits_for_the_route_it_closes() -> None:
    world = World(quota="*=rpm:600")
    an_outage(world, PRO, 10 * SECOND, MINUTE, FailureKind.OVERLOAD)
    await world.run_for(20 * SECOND, steady(world, 70, 0.25 * SECOND, model=PRO))
    trip = min(document.data["at"] for document in world.store.all("flag_history"))
    first = {name: world.attempts(name)[0] for name in world.statuses() if world.attempts(name)}
    sick = [name for name, attempt in first.items() if attempt["outcome"]["code"] == "overload"]
    assert len(sick) >= 4
    second = {name: world.attempts(name)[1] for name in sick}
    led_away = {name: attempt for name, attempt in second.items() if attempt["route"]["model"] == NB21}
    assert len(led_away) >= 3
    waits = [attempt["started_at"] - max(trip, first[name]["ended_at"]) for name, attempt in led_away.items()]
    assert max(waits) < 1.3 * SECOND, "a tick later, and not after their back-off"


async def test_probes_come_exactly_one_pause_after_the_first_sick_answer_and_after_each_other() -> None:
    world = World()
    an_outage(world, PRO, 10 * SECOND, 50 * SECOND, FailureKind.OVERLOAD)
    await world.run_for(75 * SECOND, steady(world, 280, 0.25 * SECOND, model=PRO))
    trip = min(document.data["at"] for document in world.store.all("flag_history"))
    probes = [signal["slot_at"] for signal in world.signals.of(events.BREAKER_PROBED)][:3]
    first_sick = min(
        world.attempts(name)[0]["ended_at"]
        for name in world.statuses()
        if world.attempts(name) and world.attempts(name)[0]["outcome"]["code"] == "overload"
    )
    assert first_sick < trip
    gaps = [(late - early).total_seconds() for early, late in itertools.pairwise([first_sick, *probes])]
    assert gaps == pytest.approx([15.0, 15.0, 15.0], abs=0.02)


async def test_a_silent_route_is_not_asked_again_by_the_same_request() -> None:
    world = World(quota="*=rpm:600")
    an_outage(world, PRO, 0 * SECOND, timedelta(hours=1), FailureKind.TIMEOUT)
    await world.submit("r-1", model=PRO)
    await world.run_until_quiet()
    assert [call.order.model for call in world.lane.calls] == [PRO, NB21]
    assert [attempt["changed"] for attempt in world.attempts("r-1")] == [[], ["model"]]
    assert "this request met timeout there" in world.status("r-1")["receipt"]["reasons"][0]


async def test_an_overloaded_route_is_asked_once_more_and_then_the_next() -> None:
    world = World(quota="*=rpm:600")
    an_outage(world, PRO, 0 * SECOND, timedelta(hours=1), FailureKind.OVERLOAD)
    await world.submit("r-1", model=PRO)
    await world.run_until_quiet()
    assert [call.order.model for call in world.lane.calls] == [PRO, PRO, NB21]


async def test_when_every_route_is_out_requests_wait_one_call_of_help_goes_out_and_nothing_thrashes() -> None:
    world = World(quota="*=rpm:600")
    an_outage(world, PRO, 0 * SECOND, 10 * MINUTE, FailureKind.OVERLOAD)
    for number in range(40):
        await world.submit(f"r-{number:03d}", model=PRO, floor="exact", max_cost_usd="5")
    began = world.clock.now()
    await world.run_until_quiet()
    statuses = list(world.statuses().values())
    assert statuses.count("succeeded") >= 30, "those that had not begun waited"
    assert set(statuses) <= {"succeeded", "failed"}
    for minute in range(2, 9):
        since = began + minute * MINUTE
        assert sum(since <= call.at < since + MINUTE for call in world.lane.calls) <= 4
    escalations = [item for item in world.signals.of(events.ESCALATION) if item["runbook"] == "no-route"]
    assert 1 <= len(escalations) <= 3


async def test_on_call_overrules_a_breaker_and_it_does_not_trip_again_at_once() -> None:
    world = World(quota="*=rpm:600")
    an_outage(world, PRO, 0 * SECOND, timedelta(hours=1), FailureKind.OVERLOAD)

    async def story() -> None:
        await steady(world, 30, SECOND, model=PRO)
        (flag,) = (await flags.read_own(world.store)).flags.values()
        assert (flag.actor, flag.name, flag.circuit) == ("breaker", "use-nano-banana-2", f"standard/{PRO}")
        await flags.reset(world.store, world.signals, flag.id, "ann", "I want to see it")
        await steady(world, 30, SECOND, model=PRO, tenant="late")

    await world.run_for(70 * SECOND, story())
    assert (await world.clock.run(flags.read_own(world.store))).flags == {}
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}


async def test_a_rejected_key_holds_the_queue_tells_somebody_once_and_loses_nothing() -> None:
    world = World(quota="*=rpm:600")
    began = world.clock.now()
    world.lane.sick = lambda _, now: FailureKind.CREDENTIAL if now < began + 10 * MINUTE else None
    for number in range(50):
        await world.submit(f"r-{number:03d}", model=PRO)
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    rejected = [call for call in world.lane.calls if call.at > began + 15 * SECOND and call.at < began + 10 * MINUTE]
    assert len(rejected) <= 10, "one at a time asks whether it is mended"
    assert {item["runbook"] for item in world.signals.of(events.ESCALATION)} == {"credential"}


async def test_a_request_that_is_denied_three_times_ends_and_others_go_on() -> None:
    world = World(quota="*=rpm:600")
    world.lane.sick = lambda order, _: FailureKind.PERMISSION if order.request_id == "bad" else None
    await world.submit("bad", model=PRO)
    await world.submit("good", model=PRO)
    await world.run_until_quiet()
    assert world.status("bad")["outcome"]["code"] == "permission"
    assert world.status("bad")["attempt_count"] == 3
    assert world.status("good")["status"] == "succeeded"


async def test_a_model_that_is_gone_is_left_with_a_warning_and_asked_ever_more_seldom() -> None:
    world = World(quota="*=rpm:600")
    world.lane.sick = lambda order, _: FailureKind.MODEL_GONE if order.model == PRO else None
    for number in range(20):
        await world.submit(f"r-{number:03d}", model=PRO)
    await world.run_for(30 * SECOND)
    calls = sum(call.order.model == PRO for call in world.lane.calls)
    await world.submit("asks", model=PRO)
    await world.submit("later", model=PRO)
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    assert sum(call.order.model == PRO for call in world.lane.calls) <= calls + 1
    assert len(world.signals.of(events.ROUTE_LACKING)) == 1
    reasons = [world.status(item)["receipt"]["reasons"][0] for item in ("asks", "later")]
    assert any(f"{PRO} is gone (404)" in reason for reason in reasons)


async def test_a_model_that_comes_back_is_used_again_within_a_probe() -> None:
    world = World(quota="*=rpm:600")
    back = world.clock.now() + MINUTE
    world.lane.sick = lambda order, now: FailureKind.MODEL_GONE if order.model == PRO and now < back else None
    await world.run_for(5 * MINUTE, steady(world, 120, 2 * SECOND, model=PRO))
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    late = [call.order.model for call in world.lane.calls if call.at > back + 85 * SECOND]
    assert set(late) == {PRO}


async def test_flex_that_a_model_does_not_take_is_learned_from_three_requests_and_the_next_takes_standard() -> None:
    world = World(quota="*=rpm:600")
    world.lane.sick = lambda order, _: FailureKind.LANE_UNSUPPORTED if order.lane == "flex" else None
    for number in range(4):
        await world.submit(f"r-{number}", model=PRO, lane="flex")
        await world.run_for(4 * SECOND)
    await world.run_until_quiet()
    assert [call.order.lane for call in world.lane.calls] == ["flex", "standard"] * 3 + ["standard"]
    assert "does not take this lane" in world.status("r-3")["receipt"]["reasons"][0]


async def test_flex_that_is_shed_takes_the_next_route_at_once() -> None:
    world = World(quota="*=rpm:600")
    world.lane.sick = lambda order, _: FailureKind.OVERLOAD if order.lane == "flex" else None
    await world.submit("r-1", model=PRO, lane="flex")
    await world.run_until_quiet()
    assert [call.order.lane for call in world.lane.calls] == ["flex", "standard"]


async def test_a_refusal_is_never_routed_around() -> None:
    world = World(quota="*=rpm:600")
    world.lane.then(FailureKind.REFUSED)
    await world.submit("r-1", model=PRO, allow={"gateway": True, "batch": True})
    await world.run_until_quiet()
    assert world.status("r-1")["status"] == "refused"
    assert len(world.lane.calls) == 1


async def test_an_escalation_records_that_the_lower_model_failed_and_takes_the_one_above() -> None:
    world = World(quota="*=rpm:600")
    await world.submit("r-1")
    await world.run_until_quiet()
    await world.submit("r-2", escalates="r-1")
    await world.submit("r-3", escalates="nobody")
    await world.submit("r-4", escalates="r-1", tenant="other")
    await world.run_until_quiet()
    assert world.status("r-2")["receipt"]["delivered"]["model"] == PRO
    assert f"{NB21} failed the quality bar" in world.status("r-2")["receipt"]["reasons"][0]
    assert world.status("r-3")["receipt"]["delivered"]["model"] == NB21, "an unknown one says nothing"
    assert world.status("r-4")["receipt"]["delivered"]["model"] == NB21, "other tenants' images are theirs to judge"
