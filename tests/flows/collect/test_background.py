"""Background calls: a start that is acknowledged at once, and a collection by any worker."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from shared.adapters.signatures.gemini_signatures import GeminiSignatures
from shared.adapters.signatures.key_set import KeySet
from shared.adapters.signatures.token import Tokens
from shared.core.messages.pubsub_messages import Arrival, BatchArrival, ReleaseMessage
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.core.observability import events, metrics
from shared.core.provider.failure import Failure, FailureKind
from shared.core.records.request import RequestRecord
from shared.core.values.documents import Update
from shared.flows.arrive.arrive import arrive as door_of
from shared.flows.collect.collect import collect
from shared.flows.collect.look import Collector
from shared.flows.render.render import render
from shared.flows.requests.message import Message
from shared.flows.upkeep.watch import break_leases, watch
from tests.fakes.webhook_sender import ISSUER, URL, TokenSender, event
from tests.flows.batch.test_batches import batch_of
from tests.flows.collect.worlds import CIRCUIT, a_world, arrive, books_are_right, proof, until
from tests.flows.render.test_limit_reports import slow
from tests.flows.test_tracing import stages, tree
from tests.world import World

SOON = timedelta(minutes=2)
TOKENS = TokenSender()


def codes(world: World, request_id: str = "r-1") -> list[str]:
    return [one["outcome"]["code"] for one in world.attempts(request_id)]


async def test_a_call_in_the_background_is_collected_by_polling_alone_and_its_record_is_deleted() -> None:
    world = a_world()
    await world.submit()
    await world.run_until_quiet(SOON)
    status = world.status()
    assert status["status"] == "succeeded"
    assert status["cost_basis"] == "metered"
    assert codes(world) == ["succeeded"]
    assert len(world.lane.calls) == 1
    assert world.interactions.kept == []
    assert status["leftovers"] == []
    assert world.attempts()[0]["latency_ms"] == pytest.approx(20_000, abs=200)
    assert world.attempts()[0]["provider_request_id"]
    assert world.crashes == []


async def test_the_worker_lets_go_once_the_provider_has_the_call() -> None:
    world = a_world()
    await world.submit()

    async def story() -> None:
        await until(world, "rendering", interaction=True)
        await world.clock.sleep(1)
        data = world.status()
        assert RequestRecord.from_json(data).is_awaiting
        assert (data["lease_holder"], data["lease_until"]) == (None, None)
        assert data["interaction_id"] in world.interactions.records
        again = Message("m-2", ReleaseMessage("r-1", data["release"]).to_bytes())
        before = world.clock.monotonic()
        await render(world.ports, world.kicks, world.evidence, again)
        assert world.clock.monotonic() - before < 0.1, "a second delivery of its release is acknowledged at once"

    await world.run_for(timedelta(seconds=5), story())
    assert len(world.lane.calls) == 1


async def test_an_id_is_on_record_before_what_was_noticed_of_its_start() -> None:
    """A start that was only just in time is reported, which takes its time: a death meanwhile costs no image."""
    world = a_world()
    late_claims = slow(world.store.commit, world, "requests/", 0.6)
    world.store.commit = slow(late_claims, world, "evidence/", 30)  # type: ignore[method-assign]
    world.boot()
    await world.submit()

    async def story() -> None:
        await until(world, "rendering", interaction=True)
        await world.clock.sleep(1)
        assert RequestRecord.from_json(world.status()).is_awaiting
        assert not world.store.commits[f"evidence/{world.ports.boot}"], "it is still being written"

    await world.run_for(timedelta(minutes=1), story())
    assert world.store.commits[f"evidence/{world.ports.boot}"] >= 1
    assert world.status()["status"] == "succeeded"


async def test_a_webhook_that_knows_the_id_alone_brings_the_result_within_half_a_second_of_its_end() -> None:
    world = a_world()
    await world.submit()

    async def story() -> None:
        await until(world, "rendering", interaction=True)
        (record,) = world.interactions.records.values()
        while not record.is_over(world.clock.now()):
            await world.clock.sleep(0.05)
        ended_at = world.clock.monotonic()
        world.ports.store.query = no_net(world)  # type: ignore[method-assign]
        await arrive(world)
        while not world.results():
            await world.clock.sleep(0.02)
        assert world.clock.monotonic() - ended_at <= 0.5

    await world.run_for(timedelta(seconds=30), story())
    assert world.status()["status"] == "succeeded"


def no_net(world: World) -> Any:
    """The store without the query of the net."""
    real = world.store.query

    async def query(wanted: Any) -> Any:
        is_net = any(bound.field == "collect_at" for bound in wanted.bounds)
        return [] if is_net else await real(wanted)

    return query


async def test_polling_alone_brings_half_of_the_results_within_two_seconds_of_their_end() -> None:
    world = a_world("auto")
    for number in range(30):
        await world.submit(f"r-{number:02}")
    await world.run_until_quiet(timedelta(minutes=10))
    for number in range(30, 60):
        await world.submit(f"r-{number}")
    await world.run_until_quiet(timedelta(minutes=10))
    delays = sorted(int(str(span.fields["delay_ms"])) for span in world.signals.stages(spans_collect()))
    assert len(delays) > 20
    assert delays[len(delays) // 2] <= 2_000
    assert delays[-1] <= 5_000
    assert len(world.interactions.looks) < 12 * len(world.interactions.records), "looks are bounded"


def spans_collect() -> Any:
    from shared.core.observability import spans

    return spans.COLLECT


async def test_of_two_that_collect_one_interaction_one_wins_and_the_cost_is_booked_once() -> None:
    world = a_world()
    await world.submit()

    async def story() -> None:
        await until(world, "rendering", interaction=True)
        await world.clock.sleep(20)
        (interaction_id,) = world.interactions.records
        message = Message("m-1", Arrival(interaction_id, "r-1", 1).to_bytes())
        others = [Collector(world.ports, world.evidence) for _ in range(3)]
        await asyncio.gather(*(collect(world.ports, world.kicks, one, message) for one in others))

    await world.run_for(timedelta(seconds=40), story())
    assert codes(world) == ["succeeded"]
    assert len(world.results()) == 1
    books_are_right(world)
    assert world.interactions.kept == []


@pytest.mark.parametrize("seed", range(6))
async def test_every_message_twice_and_in_any_order_comes_to_the_same_end(seed: int) -> None:
    world = a_world(seed=seed)
    world.deliver_twice = world.shuffled = True
    for number in range(10):
        await world.submit(f"r-{number}")

    async def webhooks() -> None:
        for number in range(10):
            while len(world.interactions.records) <= number:
                await world.clock.sleep(0.1)
            await arrive(world, number + 1, by_id_alone=number % 2 == 0)
        await world.clock.sleep(20)
        for number in range(10):
            await arrive(world, number + 1, by_id_alone=number % 3 == 0)

    await world.run_for(timedelta(seconds=60), webhooks())
    await world.run_until_quiet(SOON)
    assert set(world.statuses().values()) == {"succeeded"}
    assert len(world.lane.calls) == 10 == len(world.images.stored)
    assert world.interactions.kept == []
    books_are_right(world)


async def test_a_webhook_that_comes_before_the_id_is_on_record_finds_it_a_moment_later() -> None:
    world = a_world()
    real = world.interactions.start

    async def start(order: Any, at_slot: Any) -> Any:
        begun = await real(order, at_slot)
        (record,) = world.interactions.records.values()
        record.ends_at = world.clock.now()  # it was done at once, and the webhook is faster than the answer
        await arrive(world)
        await world.clock.sleep(0.4)
        return begun

    world.interactions.start = start  # type: ignore[method-assign]
    world.boot()
    await world.submit()
    await world.run_for(timedelta(seconds=4))
    assert world.status()["status"] == "succeeded"
    assert world.signals.of(events.ARRIVAL_UNKNOWN) == []


async def test_an_arrival_of_nobodys_interaction_is_acknowledged_and_told() -> None:
    world = a_world()
    await world.topics.publish(RENDER_ARRIVALS, Arrival("v1_of-another-project").to_bytes())
    await world.topics.publish(RENDER_ARRIVALS, Arrival("v1_x", "no-such-request", 1).to_bytes())
    await world.run_for(timedelta(seconds=5))
    assert world.crashes == []
    assert [one["interaction_id"] for one in world.signals.of(events.ARRIVAL_UNKNOWN)] == [
        "v1_x", "v1_of-another-project",
    ]  # fmt: skip
    assert world.interactions.looks == []


# -- time-outs, refusals, losses --------------------------------------------------------------------------------------


async def test_past_the_models_time_it_is_cancelled_looked_at_once_more_and_booked_as_what_it_says() -> None:
    world = a_world()
    world.interactions.never_ends = lambda order: order.attempt == 1
    world.interactions.bills_cancelled = True
    await world.submit("r-1", purpose="final")
    await world.run_until_quiet(timedelta(minutes=20))
    assert world.status()["status"] == "succeeded"
    first, second = world.attempts()
    assert first["outcome"]["code"] == "not_finished"
    assert (first["cost_basis"], first["cost_micros"] > 0) == ("metered", True), "what it reports is booked"
    time_out = world.catalogue.models[first["route"]["model"]].timeout
    assert time_out <= first["ended_at"] - first["started_at"] < time_out + timedelta(seconds=70)
    assert second["route"] != first["route"], "the next route"
    assert world.status()["cost_unknown_attempts"] == 0
    assert [one["why"] for one in world.signals.of(events.INTERACTION_STOPPED)] == ["time"]
    assert world.interactions.kept == []


async def test_what_nobody_says_the_cost_of_after_a_time_out_is_held_against_the_cap_and_limits_no_repeat() -> None:
    world = a_world()
    world.interactions.never_ends = lambda _order: True
    await world.submit("r-1", max_cost_usd="0.20")
    await world.run_until_quiet(timedelta(hours=2))
    status = world.status()
    assert status["status"] == "failed"
    assert status["outcome"]["code"] == "cost_cap"
    assert status["cost_unknown_attempts"] == len(world.attempts()) > 1
    assert status["ambiguous_count"] == 0
    assert world.interactions.kept == []


async def test_what_an_interaction_fails_with_is_what_the_failure_table_says() -> None:
    world = a_world()
    world.lane.then(FailureKind.REFUSED)
    await world.submit("refused")
    await world.run_until_quiet(SOON)
    world.lane.then(Failure(FailureKind.OVERLOAD, "high demand", http_status=200))
    await world.submit("overload")
    await world.run_until_quiet(SOON)
    assert world.status("refused")["status"] == "refused"
    assert codes(world, "overload") == ["overload", "succeeded"]
    assert world.interactions.kept == []


async def test_an_interaction_that_the_provider_has_lost_is_made_again_and_may_have_been_paid() -> None:
    world = a_world()
    await world.submit()

    async def story() -> None:
        await until(world, "rendering", interaction=True)
        world.interactions.records[next(iter(world.interactions.records))].deleted = True

    await world.run_for(timedelta(seconds=25), story())
    assert world.status()["status"] == "rendering", "a young interaction may not be visible yet"
    await world.run_until_quiet(SOON)
    assert codes(world) == ["connection_lost", "succeeded"]
    assert world.status()["cost_unknown_attempts"] == 1


async def test_a_provider_that_cannot_be_looked_at_for_an_hour_costs_no_image() -> None:
    from shared.core.provider.interaction import Unread

    world = a_world()
    real = world.interactions.look
    away_until = world.clock.now() + timedelta(hours=1)

    async def look(interaction_id: str, order: Any) -> Any:
        if world.clock.now() < away_until:
            return Unread(Failure(FailureKind.CREDENTIAL, "the key is revoked", http_status=401))
        return await real(interaction_id, order)

    world.interactions.look = look  # type: ignore[method-assign]
    world.boot()
    await world.submit()
    await world.run_until_quiet(timedelta(hours=2))
    assert codes(world) == ["succeeded"]
    assert len(world.lane.calls) == 1


# -- the canary -------------------------------------------------------------------------------------------------------


async def test_one_canary_at_a_time_proves_a_model_and_everything_else_goes_in_the_foreground_until_then() -> None:
    world = a_world("auto")
    for number in range(6):
        await world.submit(f"r-{number}")
    await world.run_until_quiet(SOON)
    assert len(world.interactions.records) == 1
    assert len(world.lane.calls) == 6
    assert proof(world).state == "proven"
    assert proof(world).canary is None
    for number in range(6, 12):
        await world.submit(f"r-{number}")
    await world.run_until_quiet(SOON)
    assert len(world.interactions.records) == 7
    assert [one["circuit"] for one in world.signals.of(events.BACKGROUND_PROVEN)] == [CIRCUIT]


async def test_no_slot_is_open_by_what_held_while_the_canary_was_out() -> None:
    """The pump may go home between the canary's end and its next tick: what it left open holds still."""
    world = a_world("auto")
    await world.submit()

    async def wait_for_the_proof() -> None:
        await until(world, "rendering", interaction=True)
        await world.clock.sleep(3)  # ticks go on
        (calendar,) = world.store.all("calendars")
        assert calendar.data["opening"]["terms"]["ways"].get(CIRCUIT) is None
        await until(world, "succeeded")

    await world.run_for(timedelta(seconds=40), wait_for_the_proof())
    await world.submit("r-2")
    await world.run_until_quiet(SOON)
    assert len(world.interactions.records) == 2
    assert world.status("r-2")["way"] == "background"


async def test_a_model_that_refuses_costs_one_refused_call_and_its_request_is_made_in_the_foreground() -> None:
    world = a_world("auto")
    world.interactions.refuses = True
    for number in range(20):
        await world.submit(f"r-{number}")
    await world.run_until_quiet(SOON)
    assert set(world.statuses().values()) == {"succeeded"}
    assert len(world.lane.calls) == 21
    refused = proof(world)
    assert (refused.state, refused.refusals) == ("refused", 1)
    assert "background is not supported" in refused.why
    assert refused.probe_at is not None
    assert refused.probe_at > world.clock.now() + timedelta(hours=20)
    all_codes = [code for number in range(20) for code in codes(world, f"r-{number}")]
    assert all_codes.count("background_refused") == 1
    assert sum(one.data["cost_unknown_attempts"] for one in world.store.all("requests")) == 0
    books_are_right(world)


async def test_a_refused_model_has_another_canary_after_days() -> None:
    world = a_world("auto")
    world.interactions.refuses = True
    await world.submit()
    await world.run_until_quiet(SOON)
    world.interactions.refuses = False
    world.clock.advance(timedelta(days=1, minutes=1))
    await world.submit("r-2")
    await world.run_until_quiet(SOON)
    assert proof(world).state == "proven"
    assert len(world.interactions.records) == 1


async def test_a_canary_that_does_not_finish_refuses_its_model_and_is_made_in_the_foreground() -> None:
    world = a_world("auto")
    world.interactions.never_ends = lambda _order: True
    await world.submit()
    await world.run_until_quiet(timedelta(minutes=10))
    assert codes(world) == ["background_refused", "succeeded"]
    assert world.status()["route"]["model"] == world.attempts()[0]["route"]["model"], "the same route"
    assert proof(world).state == "refused"
    assert "had not finished" in proof(world).why
    assert world.interactions.kept == []


async def test_a_canary_that_ends_for_another_reason_says_nothing_and_another_is_sent() -> None:
    world = a_world("auto")
    world.lane.then(FailureKind.REFUSED)
    await world.submit("first")
    await world.run_until_quiet(SOON)
    assert proof(world) == type(proof(world))()
    await world.submit("second")
    await world.run_until_quiet(SOON)
    assert proof(world).state == "proven"


async def test_a_picture_without_usage_proves_nothing() -> None:
    from msgspec.structs import replace

    from tests.fakes.lane import made

    world = a_world("auto")
    world.lane.then(lambda order: replace(made(order), usage=None))
    await world.submit()
    await world.run_until_quiet(SOON)
    assert world.status()["status"] == "succeeded"
    assert proof(world).state == "unproven"
    assert proof(world).canary is None


async def test_switched_off_nothing_runs_in_the_background_and_what_does_already_is_still_collected() -> None:
    world = a_world("on")
    await world.submit()
    await world.run_for(timedelta(seconds=5))
    assert len(world.interactions.records) == 1
    world.background = "off"
    await world.restart()
    await world.submit("r-2")
    await world.run_until_quiet(SOON)
    assert set(world.statuses().values()) == {"succeeded"}
    assert len(world.interactions.records) == 1
    assert world.interactions.kept == []


# -- cancelled in flight ----------------------------------------------------------------------------------------------


async def test_cancelling_a_request_that_is_being_made_stops_it_at_the_provider() -> None:
    world = a_world()
    await world.submit()

    async def story() -> None:
        await until(world, "rendering", interaction=True)
        await world.clock.sleep(5)
        await world.publish({"cancel": "r-1"})

    await world.run_for(timedelta(seconds=10), story())
    status = world.status()
    assert status["status"] == "cancelled"
    assert status["outcome"]["code"] == "cancelled"
    assert world.interactions.images == []
    assert (status["cost_basis"], status["cost_unknown_attempts"]) == ("unknown", 1), "it does not say what it cost"
    assert [event["status"] for event in world.results()] == ["cancelled"]
    assert world.interactions.kept == []
    books_are_right(world)


async def test_what_a_cancelled_call_cost_is_booked_where_the_provider_says_it() -> None:
    world = a_world()
    world.interactions.bills_cancelled = True
    await world.submit()

    async def story() -> None:
        await until(world, "rendering", interaction=True)
        await world.publish({"cancel": "r-1"})

    await world.run_for(timedelta(seconds=10), story())
    assert world.status()["status"] == "cancelled"
    assert world.status()["cost_micros"] > 0
    assert world.status()["cost_basis"] == "metered"


async def test_an_image_that_was_made_before_the_cancellation_arrived_is_delivered() -> None:
    world = a_world(latency=timedelta(seconds=3))
    await world.submit()

    async def story() -> None:
        await until(world, "rendering", interaction=True)
        (record,) = world.interactions.records.values()
        record.ends_at = world.clock.now()
        await world.publish({"cancel": "r-1"})

    await world.run_for(timedelta(seconds=10), story())
    assert world.status()["status"] == "succeeded"
    assert world.status()["cancel_requested_at"] is not None


async def test_a_cancellation_that_comes_while_the_call_is_on_its_way_stops_it_once_it_has_arrived() -> None:
    world = a_world()
    real = world.interactions.start

    async def start(order: Any, at_slot: Any) -> Any:
        begun = await real(order, at_slot)
        await world.publish({"cancel": "r-1"})
        await world.clock.sleep(1)
        return begun

    world.interactions.start = start  # type: ignore[method-assign]
    world.boot()
    await world.submit()
    await world.run_for(timedelta(seconds=10))
    assert world.status()["status"] == "cancelled"
    assert world.interactions.kept == []


async def test_a_cancelled_request_is_not_tried_again_after_a_failure_of_its_own() -> None:
    world = World(latency=timedelta(seconds=20))
    world.lane.then(FailureKind.OVERLOAD)
    await world.submit()

    async def story() -> None:
        await until(world, "rendering")
        await world.publish({"cancel": "r-1"})

    await world.run_for(timedelta(seconds=40), story())
    assert world.status()["status"] == "cancelled"
    assert len(world.lane.calls) == 1


# -- what is left at the provider -------------------------------------------------------------------------------------


async def test_a_record_that_could_not_be_deleted_is_deleted_by_the_watch() -> None:
    world = a_world()
    world.interactions.failing["delete"] = 3
    await world.submit()
    await world.run_until_quiet(SOON)
    assert world.status()["leftovers"] != []
    assert len(world.interactions.kept) == 1
    await world.run_for(timedelta(minutes=6))
    assert world.interactions.kept == []
    assert (world.status()["leftovers"], world.status()["leftovers_at"]) == ([], None)


async def test_a_call_whose_worker_was_given_up_while_it_started_is_stopped_or_booked() -> None:
    """Its lease lapsed in the round trip: the request is made again, and what the first call made is not lost."""
    world = a_world(latency=timedelta(seconds=5))
    real = world.interactions.start
    frozen: list[str] = []

    async def start(order: Any, at_slot: Any) -> Any:
        begun = await real(order, at_slot)
        if not frozen:
            frozen.append(order.request_id)
            request = world.request()
            lapsed = {"lease_until": world.clock.now() - timedelta(seconds=1)}
            await world.store.commit(Update(request.path, lapsed, request.version))
            await watch(world.ports, world.kicks, world.collector)
            assert world.status()["status"] == "queued"
        return begun

    world.interactions.start = start  # type: ignore[method-assign]
    world.boot()
    await world.submit()
    await world.run_until_quiet(SOON)
    await world.run_for(timedelta(minutes=5))
    assert world.status()["status"] == "succeeded"
    assert world.interactions.kept == []
    books_are_right(world)


# -- what stands around it --------------------------------------------------------------------------------------------


async def test_a_restart_of_the_one_machine_home_leaves_what_waits_for_its_interaction_alone() -> None:
    world = a_world()
    for number in range(3):
        await world.submit(f"r-{number}")
    await world.run_for(timedelta(seconds=5))
    world.boot()
    await world.run(break_leases(world.ports))
    assert set(world.statuses().values()) == {"rendering"}
    await world.run(world.kicks.kick())
    await world.run_until_quiet(SOON)
    assert len(world.lane.calls) == 3
    assert all(codes(world, f"r-{number}") == ["succeeded"] for number in range(3))


async def test_without_a_pump_and_without_a_webhook_the_watch_collects() -> None:
    world = a_world()
    await world.submit()
    await world.run_for(timedelta(seconds=5))

    async def no_pump(*_: Any, **__: Any) -> None:
        pass

    world.boot()
    world.pump.kicked = no_pump  # type: ignore[method-assign]
    world.clock.advance(timedelta(minutes=2))  # the lead of the old one lapses
    await world.run_until_quiet(timedelta(minutes=3))
    assert world.status()["status"] == "succeeded"


async def test_a_call_in_the_background_takes_no_more_writes_than_one_in_the_foreground() -> None:
    """At 20 s, the mean of the figures: the id on record replaces the renewals of a lease."""
    writes = {}
    for setting in ("off", "on"):
        world = a_world(setting)
        for number in range(8):
            await world.submit(f"r-{number}")
        await world.run_until_quiet(SOON)
        of_requests = {path: count for path, count in world.store.commits.items() if path.startswith("requests/")}
        writes[setting] = sum(of_requests.values()) / 8
    assert writes["on"] <= writes["off"]


async def test_an_arrival_that_names_a_batch_has_it_looked_at_now() -> None:
    world = World("*=rpm:1")
    await batch_of(world, 2)
    await world.run_for(timedelta(minutes=16))
    assert world.store.all("batches")[0].data["state"] == "submitted"
    assert set(world.statuses().values()) == {"batched"}
    world.watch_every = timedelta(hours=1)
    world.batches.takes = timedelta(0)
    await world.topics.publish(RENDER_ARRIVALS, BatchArrival(world.store.all("batches")[0].data["name"]).to_bytes())
    await world.run_for(timedelta(seconds=5))
    assert set(world.statuses().values()) == {"succeeded"}
    await world.topics.publish(RENDER_ARRIVALS, BatchArrival("batches/of-another-project").to_bytes())
    await world.run_for(timedelta(seconds=5))
    assert world.crashes == []


async def test_start_and_collection_are_one_tree_of_spans() -> None:
    world = a_world()
    await world.submit()
    await world.run_until_quiet(SOON)
    spans = tree(world)
    count = stages(spans)
    assert count["start interaction"] == count["collect"] == count["attempt"] == count["generate_content"] == 1
    (call,) = (span for span in spans if span.stage.name == "generate_content")
    assert (call.ended_at - call.started_at).total_seconds() == pytest.approx(20, abs=0.5)


async def test_a_webhook_is_in_the_tree_of_the_request_that_it_ends() -> None:
    """Through the public door, by a token of the provider's: start, arrive and collect below one attempt."""
    world = a_world()
    tokens = Tokens(KeySet(_keys), [URL], [ISSUER])
    door = replace(world.ports, signatures=GeminiSignatures(tokens, None))
    await world.submit()

    async def story() -> None:
        await until(world, "rendering", interaction=True)
        ((interaction_id, record),) = world.interactions.records.items()
        while not record.is_over(world.clock.now()):
            await world.clock.sleep(0.05)
        body = event(interaction_id, user_metadata={"request_id": record.order.key, "attempt": 1})
        assert await door_of(door, TOKENS.headers(body, world.clock.now(), "msg_1"), body) == "taken"

    world.ports.store.query = no_net(world)  # type: ignore[method-assign]
    await world.run_for(timedelta(seconds=25), story())
    assert world.status()["status"] == "succeeded"
    spans = tree(world)
    (attempt,) = (span for span in spans if span.stage.name == "attempt")
    below = {span.stage.name: span for span in spans if span.parent_id == attempt.place.span_id}
    arrived, collected = below["arrive"], below["collect"]
    assert below["start interaction"].ended_at <= arrived.started_at <= arrived.ended_at <= collected.ended_at
    assert [link.span_id for link in collected.links] == [arrived.place.span_id]
    assert (arrived.fields["message_id"], arrived.fields["webhook_way"]) == ("msg_1", "dynamic")
    assert arrived.fields["webhook_event"] == "interaction.completed"


async def _keys() -> bytes:
    return TOKENS.key_set()


async def test_a_call_shorter_than_the_second_in_which_the_provider_says_it_ended_still_took_time() -> None:
    world = a_world()
    world.interactions.tells_whole_seconds = True
    world.lane.latency = timedelta(milliseconds=1)
    await world.submit()
    await world.run_until_quiet(SOON)
    (record,) = world.interactions.records.values()
    assert record.ends_at is not None
    assert record.ends_at.replace(microsecond=0) < record.started_at, "the case that this is about"
    (call,) = (span for span in tree(world) if span.stage.name == "generate_content")
    assert call.started_at < call.ended_at
    assert world.attempts()[0]["latency_ms"] > 0


async def test_what_waits_for_the_provider_is_measured_with_its_age() -> None:
    world = a_world()
    world.signals.measures = True
    for number in range(3):
        await world.submit(f"r-{number}")
    await world.run_for(timedelta(seconds=12))
    await world.run(watch(world.ports, world.kicks, world.collector))
    observed = {one.metric.name: one for one in world.signals.observed}
    assert observed[metrics.AWAITING.name].value == 3
    assert 8 <= observed[metrics.AWAITING_AGE.name].value <= 13
    assert observed[metrics.LEFTOVERS.name].value == 0


async def test_an_arrival_that_kept_crashing_ends_nothing() -> None:
    world = a_world()
    await world.submit()
    await world.run_for(timedelta(seconds=5))
    (interaction_id,) = world.interactions.records
    dead = {"CloudPubSubDeadLetterSourceSubscription": "render-arrivals-collect"}
    await world.topics.publish("render-dead-letters", Arrival(interaction_id, "r-1", 1).to_bytes(), dead)
    await world.run_until_quiet(SOON)
    assert world.status()["status"] == "succeeded"
    assert [one["runbook"] for one in world.signals.of(events.ESCALATION)] == ["dead-letter"]


async def test_an_interaction_whose_every_collection_crashes_is_given_up() -> None:
    world = a_world(latency=timedelta(seconds=2))
    real = world.interactions.look

    async def look(interaction_id: str, order: Any) -> Any:
        if order.attempt == 1:
            raise RuntimeError("a mistake of ours")
        return await real(interaction_id, order)

    world.interactions.look = look  # type: ignore[method-assign]
    world.boot()
    await world.submit()
    await world.run_until_quiet(timedelta(hours=1))
    assert codes(world) == ["crashed", "succeeded"]
    assert world.status()["cost_unknown_attempts"] == 1
