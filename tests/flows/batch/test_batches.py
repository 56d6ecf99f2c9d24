"""The batch lane in virtual time: collected, handed over once, looked after, settled one by one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.core.lifecycle.batch import Result
from shared.core.observability import events
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage
from shared.core.routing.flag import Flag
from shared.flows.operations.flags import trip
from tests.fakes.batches import made_in_batch
from tests.world import World

PRO_IN_BATCH = {
    "model": "nano-banana-pro",
    "lane": "batch",
    "allow": {"batch": True},
    "floor": {"model": "nano-banana-pro"},
}


async def batch_of(world: World, count: int, **fields: Any) -> None:
    for number in range(count):
        await world.submit(f"r-{number}", **PRO_IN_BATCH, **fields)


def checked(world: World) -> World:
    """Nothing crashed, and every cent is on its request, on an attempt and in the ledger."""
    assert world.crashes == []
    assert world.watch_crashes == []
    requests = [document.data for document in world.store.all("requests")]
    attempts = [attempt for request in world.store.all("requests") for attempt in world.attempts(request.id)]
    assert sum(request["cost_micros"] for request in requests) == sum(attempt["cost_micros"] for attempt in attempts)
    assert world.ledger_micros() == sum(request["cost_micros"] for request in requests)
    return world


async def test_requests_that_may_wait_share_a_batch_and_cost_half() -> None:
    world = World("*=rpm:1")
    await batch_of(world, 3)
    await world.run_until_quiet()
    checked(world)
    assert set(world.statuses().values()) == {"succeeded"}
    assert [len(job.orders) for job in world.batches.jobs] == [3]
    assert world.lane.calls == []
    status = world.status("r-0")
    assert status["receipt"]["delivered"]["lane"] == "batch"
    assert status["receipt"]["reasons"] == []
    (attempt,) = world.attempts("r-0")
    rates = world.catalogue.models["gemini-3-pro-image"].lanes["batch"]
    assert attempt["cost_parts"]["image"] == 1120 * rates.image_output == 67_200
    assert attempt["cost_basis"] == "metered"
    assert [event["delivered"]["lane"] for event in world.results()] == ["batch"] * 3


async def test_a_collection_is_closed_by_age() -> None:
    world = World()
    await batch_of(world, 2)
    await world.run_for(timedelta(minutes=4))
    assert set(world.statuses().values()) == {"batched"}
    assert world.status("r-0")["batch"] is None
    assert world.store.all("batches") == []
    await world.run_for(timedelta(minutes=3))
    assert len(world.batches.jobs) == 1
    assert world.status("r-0")["batch"] == world.store.all("batches")[0].id


async def test_a_full_collection_is_closed_by_the_pump_and_a_file_has_100_at_most() -> None:
    world = World()
    await batch_of(world, 230)
    await world.run_for(timedelta(seconds=55))
    assert sorted(len(document.data["items"]) for document in world.store.all("batches")) == [100, 100]
    await world.run_until_quiet()
    checked(world)
    assert sorted(len(job.orders) for job in world.batches.jobs) == [30, 100, 100]
    assert set(world.statuses().values()) == {"succeeded"}


async def test_each_model_and_size_has_its_own_batch() -> None:
    world = World()
    await world.submit("pro-1", **PRO_IN_BATCH)
    await world.submit("pro-4k", **PRO_IN_BATCH, image_size="4K")
    await world.submit("lite", model="nano-banana-2-lite", lane="batch", allow={"batch": True})
    await world.run_until_quiet()
    assert {(job.model, len(job.orders)) for job in checked(world).batches.jobs} == {
        ("gemini-3-pro-image", 1),
        ("gemini-3.1-flash-lite-image", 1),
    }
    assert len(world.batches.jobs) == 3


async def test_use_batch_moves_only_requests_that_consent_and_whose_deadline_allows() -> None:
    world = World()
    now = world.clock.now()
    flag = Flag("f-1", "use-batch", "ann", "the quota is short", now, now + timedelta(hours=2))
    await world.run(trip(world.store, world.signals, flag))
    tomorrow = (world.clock.now() + timedelta(hours=20)).isoformat()
    later = (world.clock.now() + timedelta(hours=40)).isoformat()
    await world.submit("consents", allow={"batch": True}, deadline=later)
    await world.submit("refuses", deadline=later)
    await world.submit("in-a-hurry", allow={"batch": True}, deadline=tomorrow)
    await world.submit("interactive", allow={"batch": True}, priority="interactive")
    await world.run_until_quiet()
    lanes = {
        document.id: document.data["receipt"]["delivered"]["lane"] for document in checked(world).store.all("requests")
    }
    assert lanes == {"consents": "batch", "refuses": "standard", "in-a-hurry": "standard", "interactive": "standard"}
    receipt = world.status("consents")["receipt"]
    assert "lane standard -> batch" in receipt["reasons"][-1]
    assert len(receipt["flags"]) == 1
    pump = world.store.all("pump")[0].data
    assert pump["routing"]["effects"][receipt["flags"][0]]["requests"] == 1


async def test_a_slot_that_was_not_used_before_the_request_went_by_batch_is_given_back() -> None:
    world = World("*=rpm:60")
    put = world.topics.put

    def lost_releases(subscription: str, message_id: str, data: bytes, attributes: dict[str, str], number: int) -> None:
        if subscription != "render-releases-render":
            put(subscription, message_id, data, attributes, number)

    world.topics.put = lost_releases  # type: ignore[method-assign]
    await world.submit("r-0", model="nano-banana-pro", allow={"batch": True})
    await world.run_for(timedelta(seconds=5))
    assert world.status("r-0")["status"] == "released"
    starts = [
        document.data["buckets"] for document in world.store.all("calendars") if document.id == "gemini-3-pro-image"
    ]
    assert starts != [{}]
    now = world.clock.now()
    flag = Flag("f-1", "use-batch", "ann", "the quota is short", now, now + timedelta(hours=2))
    await world.run(trip(world.store, world.signals, flag))
    await world.run_for(timedelta(seconds=25))
    assert world.status("r-0")["status"] == "batched"
    assert world.status("r-0")["unused_slot"] is None
    calendar = next(document.data for document in world.store.all("calendars") if document.id == "gemini-3-pro-image")
    assert sum(weight[0] for weight in calendar["buckets"].values()) == 0


async def test_a_request_can_be_cancelled_until_its_batch_document_exists() -> None:
    world = World()
    await batch_of(world, 2)
    await world.run_for(timedelta(minutes=1))
    assert world.status("r-0")["status"] == "batched"
    await world.publish({"cancel": "r-0"})
    await world.run_for(timedelta(minutes=6))
    assert world.status("r-0")["status"] == "cancelled"
    assert world.status("r-1")["batch"] is not None
    await world.publish({"cancel": "r-1"})
    await world.run_until_quiet()
    checked(world)
    assert world.status("r-1")["status"] == "succeeded"
    assert world.status("r-1")["cancel_requested_at"] is not None
    assert [[key for key, _ in job.orders] for job in world.batches.jobs] == [["r-1/1"]]
    assert world.attempts("r-0") == []


async def test_one_bad_item_ends_alone() -> None:
    world = World()

    def answers(key: str, order: Order) -> list[Result]:
        failures = {
            "r-0/1": Failure(FailureKind.REFUSED, "no", usage=Usage(text_in=10, thought=50)),
            "r-1/1": Failure(FailureKind.INVALID_REQUEST, "the aspect ratio is wrong"),
            "r-2/1": Failure(FailureKind.SERVER_ERROR, "later perhaps"),
        }
        return [Result(key, failures.get(key) or made_in_batch(order))]

    world.batches.answers = answers
    await batch_of(world, 4)
    await world.run_until_quiet()
    checked(world)
    assert world.statuses() == {"r-0": "refused", "r-1": "failed", "r-2": "succeeded", "r-3": "succeeded"}
    assert world.status("r-0")["cost_micros"] > 0
    assert world.status("r-1")["cost_micros"] == 0
    assert [attempt["outcome"]["code"] for attempt in world.attempts("r-2")] == ["server_error", "succeeded"]
    assert len(world.batches.jobs) == 2


async def test_a_missing_key_is_of_unknown_cost_and_comes_again() -> None:
    world = World()
    world.batches.answers = lambda key, order: [] if key == "r-1/1" else [Result(key, made_in_batch(order))]
    await batch_of(world, 2)
    await world.run_until_quiet()
    checked(world)
    assert set(world.statuses().values()) == {"succeeded"}
    first, second = world.attempts("r-1")
    assert first["outcome"]["message"].startswith("no_result")
    assert first["cost_basis"] == "unknown"
    assert second["outcome"]["code"] == "succeeded"
    assert world.status("r-1")["cost_unknown_attempts"] == 1


async def test_a_key_with_many_outputs_keeps_the_first_image_and_books_the_rest() -> None:
    world = World()
    world.batches.answers = lambda key, order: [Result(key, made_in_batch(order))] * (21 if key == "r-0/1" else 1)
    await batch_of(world, 2)
    await world.run_until_quiet()
    checked(world)
    first, *others = world.attempts("r-0")
    assert len(others) == 20
    assert {item["outcome"]["code"] for item in others} == {"duplicate"}
    assert world.status("r-0")["cost_micros"] == 21 * first["cost_micros"]
    assert world.status("r-0")["image_uri"] == first["image_uri"]
    assert len(world.images.stored) == 2
    assert world.status("r-0")["attempt_count"] == 1


async def test_an_error_beside_an_image_under_one_key_does_not_cost_the_image() -> None:
    world = World()
    charged = Failure(FailureKind.NO_IMAGE, "nothing", usage=Usage(text_in=10, thought=80))
    world.batches.answers = lambda key, order: [Result(key, charged), Result(key, made_in_batch(order))]
    await batch_of(world, 1)
    await world.run_until_quiet()
    checked(world)
    assert world.status("r-0")["status"] == "succeeded"
    assert {attempt["outcome"]["code"] for attempt in world.attempts("r-0")} == {"succeeded", "no_image"}


async def test_answers_under_strange_keys_are_reported() -> None:
    world = World()
    world.batches.answers = lambda key, order: [Result(key, made_in_batch(order)), Result("x", made_in_batch(order))]
    await batch_of(world, 1)
    await world.run_until_quiet()
    checked(world)
    (escalation,) = world.signals.of(events.ESCALATION)
    assert escalation["runbook"] == "batch-strange-answers"


async def test_an_expired_batch_gives_its_requests_back_to_the_queue() -> None:
    world = World()
    world.watch_every = timedelta(minutes=10)
    world.batches.takes, world.batches.ends_as = timedelta(hours=48), "expired"
    await batch_of(world, 2)
    await world.run_until_quiet(timedelta(hours=60))
    checked(world)
    assert set(world.statuses().values()) == {"succeeded"}
    first, second = world.attempts("r-0")
    assert first["outcome"]["code"] == "timeout"
    assert "expired" in first["outcome"]["message"]
    assert second["route"]["lane"] == "flex"


async def test_an_expired_batch_ends_what_is_past_its_deadline() -> None:
    world = World()
    world.watch_every = timedelta(minutes=10)
    world.batches.takes, world.batches.ends_as = timedelta(hours=48), "expired"
    await batch_of(world, 1, deadline=(world.clock.now() + timedelta(hours=30)).isoformat())
    await world.run_until_quiet(timedelta(hours=60))
    assert checked(world).status("r-0")["status"] == "expired"
    assert world.status("r-0")["cost_unknown_attempts"] == 1


async def test_a_failed_batch_sends_each_request_round_again() -> None:
    world = World()
    world.batches.ends_as = "failed"
    await batch_of(world, 2)
    await world.run_for(timedelta(minutes=28))
    world.batches.ends_as = "succeeded"
    await world.run_until_quiet()
    checked(world)
    assert set(world.statuses().values()) == {"succeeded"}
    assert [attempt["outcome"]["code"] for attempt in world.attempts("r-0")] == ["server_error", "succeeded"]


@pytest.mark.parametrize("deaf", [False, True], ids=["stops", "is deaf"])
async def test_a_stuck_batch_is_escalated_once_then_cancelled_then_given_up(deaf: bool) -> None:
    world = World()
    world.watch_every = timedelta(minutes=10)
    world.batches.takes, world.batches.deaf = timedelta(days=9), deaf
    await batch_of(world, 1)
    await world.run_until_quiet(timedelta(hours=60))
    checked(world)
    escalations = [item for item in world.signals.of(events.ESCALATION) if item["runbook"] == "batch-stuck"]
    assert len(escalations) == 1
    assert world.batches.jobs[0].cancelled
    first, second = world.attempts("r-0")
    assert first["outcome"]["code"] == "timeout"
    assert first["ended_at"] - first["started_at"] >= timedelta(hours=52 if deaf else 50)
    assert (second["route"]["lane"], second["outcome"]["code"]) == ("flex", "succeeded")


NOT_THIS_FILE = Failure(FailureKind.INVALID_REQUEST, "not for this model", http_status=400)


async def test_a_refused_file_is_split_once_and_then_its_requests_take_their_next_route() -> None:
    world = World()
    world.batches.refusals["create"] = [NOT_THIS_FILE] * 3
    await batch_of(world, 2)
    await world.run_until_quiet()
    checked(world)
    assert set(world.statuses().values()) == {"succeeded"}
    assert [attempt["outcome"]["code"] for attempt in world.attempts("r-0")] == ["lane_unsupported", "succeeded"]
    assert world.status("r-0")["receipt"]["delivered"]["lane"] == "flex"
    await world.submit("later", **PRO_IN_BATCH)
    await world.run_until_quiet()
    assert world.status("later")["receipt"]["delivered"]["lane"] == "batch", "one file says nothing of the lane"


async def test_one_tenants_file_that_is_refused_takes_nobody_else_out_of_the_batch() -> None:
    world = World()
    for number in range(4):
        await world.submit(f"good-{number}", **PRO_IN_BATCH, tenant="good")
    await world.submit("bad", **PRO_IN_BATCH, tenant="bad")
    world.batches.refuses = lambda orders: NOT_THIS_FILE if any("bad/" in key for key, _ in orders) else None
    await world.run_until_quiet()
    checked(world)
    assert set(world.statuses().values()) == {"succeeded"}
    assert {world.status(f"good-{item}")["receipt"]["delivered"]["lane"] for item in range(4)} == {"batch"}
    assert world.status("bad")["receipt"]["delivered"]["lane"] == "flex"


async def test_a_refusal_of_the_whole_file_refuses_nobody_who_is_not_alone_in_it() -> None:
    world = World()
    world.batches.refusals["create"] = [Failure(FailureKind.REFUSED, "unsafe", http_status=400)] * 3
    await batch_of(world, 4)
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}


async def test_three_files_that_are_refused_conclude_that_the_lane_takes_none() -> None:
    world = World()
    world.batches.refusals["create"] = [NOT_THIS_FILE] * 3
    for number in range(3):
        await world.submit(f"r-{number}", **PRO_IN_BATCH)
        await world.run_until_quiet()
    await world.submit("asks", **PRO_IN_BATCH)
    await world.submit("later", **PRO_IN_BATCH)
    await world.run_until_quiet()
    checked(world)
    (lacking,) = world.signals.of(events.ROUTE_LACKING)
    assert "does not take this lane" in str(lacking["what"])


@pytest.mark.parametrize("verb", ["upload", "create"])
async def test_a_provider_without_room_is_asked_later(verb: str) -> None:
    world = World()
    full = Failure(FailureKind.QUOTA_UNKNOWN, "100 batches at once", http_status=429)
    world.batches.refusals[verb] = [full] * 4
    await batch_of(world, 1)
    await world.run_until_quiet()
    checked(world)
    assert world.batches.creates == 1
    assert len(world.attempts("r-0")) == 1
    assert len(world.signals.of(events.BATCH_DELAYED)) == 4


async def test_a_batch_that_nobody_takes_is_escalated_after_an_hour() -> None:
    world = World()
    world.batches.refusals["create"] = [Failure(FailureKind.CREDENTIAL, "no", http_status=401)] * 500
    await batch_of(world, 1)
    await world.run_for(timedelta(hours=3))
    escalations = [item for item in world.signals.of(events.ESCALATION) if item["runbook"] == "batch-stuck"]
    assert len(escalations) == 1
    assert "not handed over" in str(escalations[0]["what"])


@pytest.mark.parametrize("listed_after", [timedelta(0), timedelta(minutes=10)])
async def test_a_create_whose_answer_was_lost_is_found_by_its_name_and_not_repeated(listed_after: timedelta) -> None:
    world = World()
    world.batches.lost_replies = [Failure(FailureKind.TIMEOUT, "no answer in time")]
    world.batches.listed_after = listed_after
    await batch_of(world, 2)
    await world.run_until_quiet()
    checked(world)
    assert world.batches.creates == 1
    assert set(world.statuses().values()) == {"succeeded"}
    (submitted,) = world.signals.of(events.BATCH_SUBMITTED)
    assert submitted["found_again"]


async def test_a_create_that_never_arrived_is_made_again_when_that_is_sure() -> None:
    world = World()
    world.batches.refusals["create"] = [Failure(FailureKind.CONNECTION_LOST, "the connection broke")]
    await batch_of(world, 1)
    await world.run_for(timedelta(minutes=20))
    assert world.batches.jobs == []
    await world.run_until_quiet()
    checked(world)
    assert world.batches.creates == 1
    assert world.status("r-0")["status"] == "succeeded"


async def test_a_list_that_cannot_be_read_lets_nothing_be_created_twice() -> None:
    world = World()
    world.batches.lost_replies = [Failure(FailureKind.TIMEOUT, "no answer in time")]
    world.batches.refusals["find"] = [Failure(FailureKind.SERVER_ERROR, "down", http_status=500)] * 40
    await batch_of(world, 1)
    await world.run_until_quiet()
    assert checked(world).batches.creates == 1


async def test_a_download_that_breaks_off_is_read_again_and_nothing_is_booked_twice() -> None:
    world = World()
    world.batches.answers = lambda key, order: [Result(key, made_in_batch(order))] * 2
    world.batches.breaks_after = 3
    await batch_of(world, 4)
    await world.run_until_quiet()
    checked(world)
    assert set(world.statuses().values()) == {"succeeded"}
    assert [len(world.attempts(f"r-{number}")) for number in range(4)] == [2, 2, 2, 2]
    assert len(world.images.stored) == 4


async def test_a_reference_that_cannot_be_fetched_ends_its_request_alone() -> None:
    world = World()
    world.references.images["gs://allowed/a.png"] = b"png"
    await world.submit("good", **PRO_IN_BATCH, references=[{"uri": "gs://allowed/a.png"}])
    await world.submit("bad", **PRO_IN_BATCH, references=[{"uri": "gs://allowed/missing.png"}])
    await world.run_until_quiet()
    checked(world)
    assert world.statuses() == {"good": "succeeded", "bad": "failed"}
    assert world.status("bad")["outcome"]["code"] == "reference"
    ((_, order),) = world.batches.jobs[0].orders
    assert order.references[0].data == b"png"


async def test_a_batch_without_a_sound_request_is_never_created() -> None:
    world = World()
    await world.submit("bad", **PRO_IN_BATCH, references=[{"uri": "gs://allowed/missing.png"}])
    await world.run_until_quiet()
    await world.run_for(timedelta(minutes=2))
    assert checked(world).batches.creates == 0
    assert [document.data["state"] for document in world.store.all("batches")] == ["ended"]


async def test_a_batch_that_is_handed_over_after_the_deadline_expires_unpaid() -> None:
    world = World()
    world.batches.refusals["create"] = [Failure(FailureKind.QUOTA_UNKNOWN, "full", http_status=429)] * 90
    await batch_of(world, 1, deadline=(world.clock.now() + timedelta(hours=24, minutes=5)).isoformat())
    await world.run_until_quiet()
    checked(world)
    status = world.status("r-0")
    assert status["status"] == "expired"
    assert (status["cost_micros"], status["cost_unknown_attempts"], status["attempt_count"]) == (0, 0, 0)
    assert world.attempts("r-0") == []
    assert world.batches.creates == 0


async def test_a_batch_that_the_provider_forgot_sends_its_requests_round_again() -> None:
    world = World()
    world.batches.refusals["look"] = [Failure(FailureKind.INVALID_REQUEST, "not found", http_status=404)]
    await batch_of(world, 1)
    await world.run_until_quiet()
    first, second = checked(world).attempts("r-0")
    assert (first["outcome"]["code"], first["cost_basis"]) == ("connection_lost", "unknown")
    assert second["outcome"]["code"] == "succeeded"


async def test_two_watches_at_once_hand_over_one_batch() -> None:
    world = World()
    await batch_of(world, 3)
    await world.run_for(timedelta(minutes=5, seconds=30))

    async def many() -> None:
        await asyncio.gather(*(world._watch() for _ in range(4)))

    await world.run_for(timedelta(minutes=10), many(), many())
    await world.run_until_quiet()
    assert checked(world).batches.creates == 1
    assert set(world.statuses().values()) == {"succeeded"}


async def test_an_ended_batch_is_forgotten_after_its_time() -> None:
    world = World()
    await batch_of(world, 1)
    await world.run_until_quiet()
    (document,) = world.store.all("batches")
    assert document.data["state"] == "ended"
    assert document.data["due_at"] is None
    world.clock.advance(timedelta(days=31))
    await world.run_for(timedelta(minutes=2))
    assert world.store.all("batches") == []


async def test_a_batch_that_succeeded_and_names_no_answers_is_looked_at_again_and_never_made_again() -> None:
    world = World()
    world.batches.answers = lambda key, order: []
    await batch_of(world, 2)
    await world.run_for(timedelta(hours=3))
    assert set(world.statuses().values()) == {"batched"}
    assert world.batches.creates == 1
    escalations = [event for event in world.signals.of(events.ESCALATION) if "names no answers" in str(event["what"])]
    assert len(escalations) == 1
    world.batches.answers = lambda key, order: [Result(key, made_in_batch(order))]
    await world.run_until_quiet()
    checked(world)
    assert world.batches.creates == 1
    assert set(world.statuses().values()) == {"succeeded"}


async def test_a_batch_whose_answers_never_come_ends_after_two_days() -> None:
    world = World()
    world.batches.answers = lambda key, order: []
    await batch_of(world, 1)
    await world.run_for(timedelta(hours=47))
    assert world.batches.creates == 1
    await world.run_for(timedelta(hours=3))
    assert world.batches.creates == 2
