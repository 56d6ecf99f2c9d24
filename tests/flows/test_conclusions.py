"""What is concluded about something shared, through the whole worker: row by row of docs/conclusions.md."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from shared.core.admission.route_memory import Routing
from shared.core.conclusions.claims import CLAIM_OF, POLICIES, Claim
from shared.core.conclusions.conclusion import Conclusions
from shared.core.observability import events
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from shared.flows.operations import flags
from tests.builders import a_failure, a_statement
from tests.world import World

PRO, NB21 = "gemini-3-pro-image", "gemini-nano-banana-2.1"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
KIND_OF = {claim: kind for kind, claim in CLAIM_OF.items()}
Turns = Callable[[Order, datetime], "FailureKind | Failure | None"]


def conclusions(world: World) -> Conclusions:
    return Routing.from_json(world.store.all("pump")[0].data["routing"]).conclusions


async def steady(world: World, count: int, every: float, name: str = "r", **fields: object) -> None:
    for number in range(count):
        await world.submit(f"{name}-{number:03d}", **{"model": PRO, **fields})
        await world.clock.sleep(every)


def always(failure: Failure, *, until: datetime | None = None, model: str = PRO) -> Turns:
    return lambda order, now: failure if order.model == model and (until is None or now < until) else None


@pytest.mark.parametrize("claim", list(Claim))
async def test_where_all_requests_meet_it_it_is_concluded_told_probed_and_left_when_it_is_over(claim: Claim) -> None:
    world = World("*=rpm:600")
    over = world.started + 3 * MINUTE
    world.lane.sick = always(a_failure(KIND_OF[claim]), until=over)
    await world.run_for(8 * MINUTE, steady(world, 100, 4))
    await world.run_until_quiet()
    (report,) = [item for item in world.signals.of(events.CONCLUDED) if str(item["conclusion"]).endswith(PRO)]
    assert report["requests"] >= POLICIES[claim].requests  # type: ignore[operator]
    runbooks = [item["runbook"] for item in world.signals.of(events.ESCALATION)]
    assert (POLICIES[claim].runbook in runbooks) == bool(POLICIES[claim].runbook)
    failed = [call for call in world.lane.calls if call.order.model == PRO and call.at < over]
    assert len(failed) <= 24, "a handful concludes it, then one at a time asks"
    assert conclusions(world).reached == {}
    late = [call.order.model for call in world.lane.calls if call.at > over + 3 * MINUTE]
    assert set(late) == {PRO}, "back on its route within a probe"
    ended = {item["outcome"]["code"] for item in (dict(doc.data) for doc in world.store.all("requests"))}
    assert "succeeded" in ended


@pytest.mark.parametrize("kind", list(CLAIM_OF))
@pytest.mark.parametrize("explicit", [False, True])
async def test_one_request_that_always_meets_it_stops_nobody_and_is_no_conclusion(
    kind: FailureKind, *, explicit: bool
) -> None:
    world = World("*=rpm:600", latency=4 * SECOND)
    world.lane.failures_take = 0.3 * SECOND
    answer = a_statement(kind) if explicit else a_failure(kind)
    world.lane.sick = lambda order, _: answer if order.request_id == "bad-000" else None

    async def story() -> None:
        await steady(world, 30, 0.5)
        await steady(world, 1, 0, name="bad")
        await steady(world, 60, 0.5, name="s")

    await world.run_for(2 * MINUTE, story())
    good = [dict(document.data) for document in world.store.all("requests") if not document.id.startswith("bad")]
    assert {item["status"] for item in good} == {"succeeded"}
    assert {item["route"]["model"] for item in good} == {PRO}
    assert max((item["finished_at"] - item["created_at"]).total_seconds() for item in good) < 8
    assert world.signals.of(events.CONCLUDED) == []


async def test_a_plain_statement_in_a_lull_closes_the_pool_and_another_request_asks_at_once() -> None:
    world = World("*=rpm:600")
    world.lane.sick = lambda order, _: a_statement(FailureKind.CREDENTIAL) if order.request_id == "bad-000" else None

    async def story() -> None:
        await steady(world, 1, 6, name="bad")
        await steady(world, 5, 0)

    await world.run_for(20 * SECOND, story())
    assert [item["conclusion"] for item in world.signals.of(events.CONCLUDED)] == [f"credential:{PRO}"]
    assert {world.status(f"r-{number:03d}")["status"] for number in range(5)} == {"succeeded"}
    probes = [item["request_id"] for item in world.signals.of(events.BREAKER_PROBED)]
    assert len(probes) <= 2
    assert probes[-1] != "bad-000", "it asks itself only as long as nobody else is there"
    assert len(world.signals.of(events.CONCLUSION_CLEARED)) == 1


async def test_where_no_route_is_left_a_request_waits_with_the_conclusion_and_its_next_probe_and_never_ends() -> None:
    world = World("*=rpm:600")
    over = world.started + 4 * MINUTE
    world.lane.sick = always(a_failure(FailureKind.MODEL_GONE), until=over)

    async def story() -> None:
        await steady(world, 3, 3, floor="exact")
        await steady(world, 5, 0, name="waits", floor="exact", tenant="other")

    await world.run_for(80 * SECOND, story())
    blocked = world.store.all("pump")[0].data["held"][PRO]
    assert blocked["reason"] == "no route"
    assert f"model_gone:*/{PRO}" in blocked["why"]
    assert "next probe 2026" in blocked["why"]
    (escalation,) = [item for item in world.signals.of(events.ESCALATION) if item["runbook"] == "no-route"]
    assert f"{PRO} is gone (404)" in str(escalation["what"])
    await world.run_until_quiet()
    assert {world.status(f"waits-{number:03d}")["status"] for number in range(5)} == {"succeeded"}
    assert {world.status(f"r-{number:03d}")["outcome"]["code"] for number in range(3)} == {"model_gone"}


async def test_on_call_resets_a_conclusion_and_the_route_is_used_at_once() -> None:
    world = World("*=rpm:600")
    over = world.started + 70 * SECOND
    world.lane.sick = always(a_failure(FailureKind.MODEL_GONE), until=over)

    async def story() -> None:
        await steady(world, 35, 2)
        (conclusion,) = conclusions(world).reached.values()
        await flags.reset_conclusion(world.store, world.signals, conclusion, "ann", "it is back")
        await world.clock.sleep(3)
        await steady(world, 3, 1, name="after")

    await world.run_for(90 * SECOND, story())
    assert conclusions(world).reached == {}
    assert {world.status(f"after-{number:03d}")["route"]["model"] for number in range(3)} == {PRO}
    (line,) = world.store.all("flag_history")
    assert (line.data["action"], line.data["flag_id"], line.data["actor"]) == ("reset", f"model_gone:*/{PRO}", "ann")


async def test_a_new_pump_knows_what_was_concluded() -> None:
    world = World("*=rpm:600")
    world.lane.sick = always(a_failure(FailureKind.MODEL_GONE))
    await world.run_for(20 * SECOND, steady(world, 8, 2))
    calls_before = sum(call.order.model == PRO for call in world.lane.calls)
    await world.restart()
    await world.run_for(4 * SECOND, steady(world, 3, 1, name="after"))
    assert sum(call.order.model == PRO for call in world.lane.calls) <= calls_before + 1
    assert set(conclusions(world).reached) == {f"model_gone:*/{PRO}"}


@pytest.mark.parametrize("kind", [FailureKind.MALFORMED_ANSWER, FailureKind.NO_IMAGE])
async def test_answers_that_are_paid_for_and_hold_no_picture_stop_a_backlog_after_a_few(kind: FailureKind) -> None:
    world = World(f"{PRO}=rpm:60;*=rpm:600", latency=2 * SECOND)
    world.lane.sick = lambda order, _: a_failure(kind) if order.model == PRO else None
    for number in range(100):
        await world.submit(f"r-{number:03d}", model=PRO, priority="bulk")
    await world.run_until_quiet()
    paid = [call for call in world.lane.calls if call.order.model == PRO]
    assert len(paid) <= 30, "of 200 that two tries of each would have cost"
    escalations = [item for item in world.signals.of(events.ESCALATION) if item["runbook"] == "paid-and-nothing-came"]
    assert len(escalations) == 1
    assert list(world.statuses().values()).count("succeeded") >= 90, "by their next route"


async def test_odd_prompts_among_others_trip_nothing() -> None:
    world = World("*=rpm:600", latency=6 * SECOND)
    world.lane.failures_take = 2 * SECOND
    odd = a_failure(FailureKind.NO_IMAGE)
    world.lane.sick = lambda order, _: odd if order.request_id.endswith(("3", "7")) else None
    for number in range(100):
        await world.submit(f"r-{number:03d}", model=PRO)
    await world.run_until_quiet()
    assert world.signals.of(events.CONCLUDED) == []
    assert list(world.statuses().values()).count("succeeded") == 80


async def test_successes_and_failures_of_the_same_second_conclude_nothing_at_any_rate() -> None:
    world = World("*=rpm:1200", latency=SECOND)
    gone = a_failure(FailureKind.MODEL_GONE)
    world.lane.sick = lambda order, _: gone if int(order.request_id[2:]) % 3 == 0 else None
    for number in range(120):
        await world.submit(f"r-{number:03d}", model=PRO)
    await world.run_until_quiet()
    assert world.signals.of(events.CONCLUDED) == []
    kept = [world.status(f"r-{number:03d}") for number in range(120) if number % 3]
    assert {item["route"]["model"] for item in kept} == {PRO}


async def test_a_lone_request_that_is_turned_away_is_told_of_though_nothing_is_concluded() -> None:
    world = World("*=rpm:600")
    world.lane.sick = lambda _order, _now: FailureKind.CREDENTIAL
    await world.submit("lone", model=PRO)
    await world.run_for(3 * MINUTE)
    assert world.status("lone")["status"] == "queued"
    assert world.signals.of(events.CONCLUDED) == []
    assert [item["runbook"] for item in world.signals.of(events.ESCALATION)] == ["credential"]


async def test_one_tenants_server_errors_beside_as_many_good_requests_leave_the_breaker_closed() -> None:
    """Every two seconds one whose content always gets a 500, and one of another tenant that is made."""
    world = World("*=rpm:600")
    world.lane.sick = lambda order, _: FailureKind.SERVER_ERROR if order.request_id.startswith("bad") else None
    await world.run_for(
        150 * SECOND,
        steady(world, 50, 2, name="bad", tenant="bad", floor="exact"),
        steady(world, 50, 2, name="good", tenant="good"),
    )
    assert world.signals.of(events.FLAG_CHANGED) == []
    good = [world.status(f"good-{number:03d}") for number in range(50)]
    assert {(item["status"], item["route"]["model"]) for item in good} == {("succeeded", PRO)}


async def test_a_request_that_was_sick_on_a_route_does_not_probe_it_while_another_waits() -> None:
    world = World("*=rpm:600")
    world.lane.sick = lambda order, _: FailureKind.SERVER_ERROR if order.request_id.startswith("bad") else None

    async def story() -> None:
        await steady(world, 6, 1, name="bad", floor="exact", tenant="bad")
        await steady(world, 30, 2, name="good", tenant="good", floor="exact")

    await world.run_for(2 * MINUTE, story())
    probes = {
        str(item["request_id"]): slot_at
        for item in world.signals.of(events.BREAKER_PROBED)
        if isinstance(slot_at := item["slot_at"], datetime)
    }
    assert probes, "its breaker tripped: nothing else was answered there"
    first = min(probes.values())
    sick = [(f"bad~{call.order.request_id}", call.at) for call in world.lane.calls if "bad" in call.order.request_id]
    assert len({request for request, at in sick if at < first}) == 5, "these wait now, and bad-005 was never there"
    assert [request for request, at in sick if request in probes and at < probes[request]] == []
    assert {world.status(f"good-{number:03d}")["status"] for number in range(30)} == {"succeeded"}
