"""One connected tree of spans per request, in virtual time, for every course it can take."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from shared.core.lifecycle.batch import Result
from shared.core.observability import spans
from shared.core.observability.spans import Span
from shared.core.provider.failure import Failure, FailureKind
from shared.flows.intake.intake import cancel
from tests.fakes.batches import made_in_batch
from tests.fakes.lane import made
from tests.flows.batch.test_batches import batch_of
from tests.world import Killed, World

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
MARKER = "zebra-crossing-in-the-rain-4711"
KEY = "AQ.a-key-that-nobody-may-read"


def tree(world: World, request_id: str = "r-1") -> list[Span]:
    """All spans of the request's trace. AssertionError where they are not one connected tree."""
    trace_id = world.status(request_id)["trace_id"]
    spans_ = [span for span in world.signals.spans if span.place.trace_id == trace_id]
    ids = [span.place.span_id for span in spans_]
    assert len(ids) == len(set(ids)), "a span was written twice"
    above = {span.parent_id for span in spans_} - set(ids)
    caller = world.status(request_id)["caller_span_id"]
    assert above == {caller}, "spans whose parent nobody wrote"
    for span in spans_:
        assert span.started_at <= span.ended_at
    return spans_


def stages(spans_: list[Span]) -> Counter[str]:
    return Counter(span.stage.name for span in spans_)


def only(spans_: list[Span], stage: spans.Stage) -> Span:
    (span,) = (span for span in spans_ if span.stage is stage)
    return span


WHOLE = Counter(
    [
        "request", "publish", "intake", "queue wait", "pump", "release", "slot wait", "attempt", "generate_content",
        "store image", "settle", "result",
    ]
)  # fmt: skip


async def test_a_request_is_one_tree_from_its_publishing_to_its_result() -> None:
    world = World()
    await world.submit("r-1", purpose="final", image_size="2K")
    await world.run_until_quiet()
    spans_ = tree(world)
    assert stages(spans_) == WHOLE
    root = only(spans_, spans.REQUEST)
    assert root.parent_id is None
    assert root.ended_at == world.status()["finished_at"]
    assert root.attributes["renderlane.route"] == "standard gemini-3-pro-image 2K"
    assert root.attributes["renderlane.cost_micros"] == world.status()["cost_micros"]


async def test_the_stages_follow_each_other_without_a_gap_from_the_publishing_to_the_call() -> None:
    world = World(quota="*=rpm:1")
    await world.submit("r-0")
    await world.submit("r-1")
    await world.run_until_quiet()
    spans_ = tree(world)
    order = [spans.PUBLISH, spans.INTAKE, spans.QUEUE_WAIT, spans.PUMP, spans.SLOT_WAIT, spans.MODEL_CALL]
    row = [only(spans_, stage) for stage in order]
    for one, following in itertools.pairwise(row):
        assert timedelta(0) <= following.started_at - one.ended_at < timedelta(milliseconds=300), following.name
    wait = only(spans_, spans.QUEUE_WAIT)
    assert timedelta(seconds=55) < only(spans_, spans.MODEL_CALL).started_at - wait.started_at < timedelta(seconds=65)


async def test_where_one_span_waits_for_another_it_is_linked_to_it() -> None:
    world = World()
    await world.submit("r-1")
    await world.run_until_quiet()
    spans_ = tree(world)
    (tick,) = world.signals.stages(spans.TICK)
    assert only(spans_, spans.QUEUE_WAIT).links == (tick.place,)
    assert only(spans_, spans.PUMP).links == (tick.place,)
    assert only(spans_, spans.SLOT_WAIT).links == (only(spans_, spans.RELEASE).place,)
    assert tick.attributes["renderlane.grants"] == 1


@pytest.mark.parametrize("attribute", ["traceparent", "googclient_traceparent"])
async def test_the_callers_trace_goes_on_into_the_result_whatever_its_flag(attribute: str) -> None:
    world = World()
    await world.publish({"request_id": "r-1", "prompt": "a lighthouse"}, **{attribute: CALLER})
    await world.run_until_quiet()
    spans_ = tree(world)
    assert stages(spans_) == WHOLE
    assert only(spans_, spans.REQUEST).parent_id == "b7ad6b7169203331"
    (event,) = world.topics.on("render-results")
    assert event.attributes["traceparent"] == only(spans_, spans.RESULT).place.traceparent
    assert event.attributes["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")


async def test_the_call_follows_the_conventions_for_generative_models() -> None:
    world = World()
    await world.submit("r-1")
    await world.run_until_quiet()
    call = only(tree(world), spans.MODEL_CALL)
    assert call.name == "generate_content gemini-nano-banana-2.1"
    assert call.stage.kind == "CLIENT"
    assert call.attributes == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini-nano-banana-2.1",
        "gen_ai.response.model": "gemini-nano-banana-2.1",
        "gen_ai.response.id": "v1_r-1",
        "gen_ai.output.type": "image",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 1220,
        "http.response.status_code": 200,
        "renderlane.request_id": "r-1",
        "renderlane.attempt": 1,
        "renderlane.lane": "standard",
        "renderlane.image_size": "1K",
        "renderlane.references": 0,
    }


async def test_each_attempt_has_its_own_wait_slot_and_call() -> None:
    world = World()
    world.lane.then(FailureKind.SERVER_ERROR)
    await world.submit("r-1")
    await world.run_until_quiet()
    spans_ = tree(world)
    assert stages(spans_) == WHOLE + Counter(
        ["queue wait", "pump", "release", "slot wait", "attempt", "generate_content", "settle"]
    )
    failed, _ = sorted((span for span in spans_ if span.stage is spans.ATTEMPT), key=lambda span: span.started_at)
    assert (failed.failed, failed.attributes["renderlane.effect"]) == ("server_error", "queued")
    assert only(spans_, spans.REQUEST).failed is None


async def test_an_attempt_whose_worker_died_is_written_by_whoever_settles_it() -> None:
    world = World()

    def dies(_order: Any) -> Any:
        raise Killed

    world.lane.then(dies)
    await world.submit("r-1")
    with pytest.raises(Killed):
        await world.run_until_quiet()
    await world.restart()
    await world.run_until_quiet()
    spans_ = tree(world)
    crashed, succeeded = sorted((span for span in spans_ if span.stage is spans.ATTEMPT), key=lambda s: s.started_at)
    assert (crashed.failed, crashed.attributes["renderlane.recovered"]) == ("crashed", True)
    assert succeeded.attributes["renderlane.recovered"] is False
    assert stages(spans_)["generate_content"] == 1


async def test_a_cancelled_and_an_expired_request_end_their_wait_and_their_trace() -> None:
    world = World(quota="*=rpm:0")
    await world.submit("r-1")
    await world.submit("r-2", deadline=(world.started + timedelta(minutes=5)).isoformat())
    await world.run_for(timedelta(seconds=20))
    await world.run(cancel(world.ports, "default", "r-1"))
    await world.run_until_quiet()
    for request_id, how in (("r-1", "cancelled"), ("r-2", "expired")):
        spans_ = tree(world, request_id)
        assert only(spans_, spans.QUEUE_WAIT).attributes["renderlane.ended_by"] == how
        assert only(spans_, spans.REQUEST).attributes["renderlane.status"] == how
        assert "attempt" not in stages(spans_)


async def test_a_slot_that_passed_is_a_failed_wait_and_the_tree_stays_whole() -> None:
    world = World()
    world.lane.then(lambda _order: Failure(FailureKind.LATE, "the call could not leave within its slot"))
    await world.submit("r-1")
    await world.run_until_quiet()
    spans_ = tree(world)
    assert stages(spans_)["slot wait"] == 2
    assert stages(spans_)["attempt"] == 1


async def test_a_request_that_went_by_batch_is_one_tree_too() -> None:
    world = World()
    await batch_of(world, 1)
    await world.run_until_quiet()
    (request_id,) = world.statuses()
    spans_ = tree(world, request_id)
    assert only(spans_, spans.QUEUE_WAIT).attributes["renderlane.ended_by"] == "batch"
    attempt = only(spans_, spans.ATTEMPT)
    assert attempt.attributes["renderlane.recovered"] is False
    assert only(spans_, spans.REQUEST).ended_at >= attempt.ended_at > attempt.started_at


async def test_a_call_by_batch_has_its_span_from_the_handing_over_to_its_answer() -> None:
    world = World()
    await batch_of(world, 2)
    await world.run_until_quiet()
    for request_id in world.statuses():
        spans_ = tree(world, request_id)
        call, attempt = only(spans_, spans.MODEL_CALL), only(spans_, spans.ATTEMPT)
        assert call.parent_id == attempt.place.span_id
        assert attempt.started_at < call.started_at < call.ended_at <= attempt.ended_at
        assert call.name == "generate_content gemini-3-pro-image"
        recorded = call.attributes
        assert (recorded["gen_ai.provider.name"], recorded["renderlane.lane"]) == ("gcp.gemini", "batch")
        assert (recorded["gen_ai.usage.input_tokens"], recorded["gen_ai.response.model"]) == (10, "gemini-3-pro-image")
        assert call.failed is None


async def test_a_call_by_batch_that_brought_nothing_says_why_and_each_attempt_has_its_own() -> None:
    world = World()
    nothing = Failure(FailureKind.NO_IMAGE, "text only", http_status=200)
    world.batches.answers = lambda key, _order: [Result(key, nothing)]
    await batch_of(world, 1)
    await world.run_for(timedelta(minutes=30))
    world.batches.answers = lambda key, order: [Result(key, made_in_batch(order))]
    await world.run_until_quiet()
    spans_ = tree(world, "r-0")
    calls = [span for span in spans_ if span.stage is spans.MODEL_CALL]
    assert len(calls) == len(world.attempts("r-0")) > 1
    assert [call.failed is None for call in calls] == [False] * (len(calls) - 1) + [True]


async def test_a_batch_that_the_provider_never_had_is_no_call() -> None:
    world = World()
    world.batches.refusals["create"] = [Failure(FailureKind.LANE_UNSUPPORTED, "no batches", http_status=400)]
    await batch_of(world, 1)
    await world.run_until_quiet()
    spans_ = tree(world, "r-0")
    assert stages(spans_)["attempt"] == 2
    assert only(spans_, spans.MODEL_CALL).attributes["renderlane.lane"] != "batch"


async def test_every_event_of_a_request_carries_its_trace() -> None:
    world = World(quota="*=rpm:60", seed=7)
    world.deliver_twice = True
    world.lane.then(FailureKind.TIMEOUT, FailureKind.REFUSED, FailureKind.OVERLOAD)
    for number in range(8):
        await world.submit(f"r-{number}")
    await world.submit("r-0")
    await world.run_until_quiet()
    await world.run(cancel(world.ports, "default", "r-1"))
    await world.submit("gone", priority="bulk")
    await world.run(cancel(world.ports, "default", "gone"))
    await world.run_until_quiet()
    own = {document.id: document.data["trace_id"] for document in world.store.all("requests")}
    reported = [(signal.name, fields) for signal, fields in world.signals.emitted if fields.get("request_id") in own]
    assert {name for name, _ in reported} >= {
        "request_accepted", "request_repeated", "request_released", "attempt_ended", "request_finished",
    }  # fmt: skip
    early = [name for name, fields in reported if fields.get("trace_id") is None]
    assert set(early) <= {"request_cancelled"}, "a cancellation may come before its request"
    assert [
        name for name, fields in reported if fields.get("trace_id") not in (None, own[str(fields["request_id"])])
    ] == []


async def test_a_repeated_request_is_a_visit_in_its_callers_trace_linked_to_the_first() -> None:
    world = World()
    await world.submit("r-1")
    await world.run_until_quiet()
    await world.publish({"request_id": "r-1", "prompt": "a lighthouse"}, traceparent=CALLER)
    await world.run_until_quiet()
    (visit,) = (span for span in world.signals.spans if span.fields.get("effect") == "repeated")
    assert visit.parent_id == "b7ad6b7169203331"
    assert visit.links == (only(tree(world), spans.REQUEST).place,)


async def test_a_rejected_message_has_a_trace_too() -> None:
    world = World()
    await world.submit("r-1", image_size="8K")
    await world.run_until_quiet()
    (visit,) = world.signals.stages(spans.INTAKE)
    assert (visit.failed, visit.attributes["renderlane.problems"]) == ("rejected", ("image_size",))
    assert visit.place.trace_id == world.results("r-1")[0]["trace_id"]


@pytest.mark.parametrize("deliver_twice", [False, True])
async def test_thirty_requests_through_faults_are_thirty_trees(deliver_twice: bool) -> None:
    world = World(quota="*=rpm:60", seed=7)
    world.deliver_twice = deliver_twice
    world.shuffled = True
    faults = (FailureKind.TIMEOUT, FailureKind.REFUSED, FailureKind.NO_IMAGE, FailureKind.OVERLOAD)
    world.lane.then(*faults, *faults)
    for number in range(30):
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    for number in range(30):
        spans_ = tree(world, f"r-{number}")
        assert stages(spans_)["request"] == 1
        assert stages(spans_)["attempt"] == len(world.attempts(f"r-{number}"))


async def test_neither_prompt_nor_key_nor_image_reaches_a_span_or_an_event() -> None:
    world = World()
    quoting = f"the prompt {MARKER!r} with key {KEY} was not taken"
    world.lane.then(
        Failure(FailureKind.SERVER_ERROR, quoting, http_status=500),
        Failure(FailureKind.NO_IMAGE, quoting, http_status=200),
        lambda order: made(order),
    )
    await world.submit("r-1", prompt=MARKER, labels={"campaign": "spring"})
    await world.submit("r-2", prompt=MARKER, image_size="8K")
    await world.submit("r-1", prompt=f"{MARKER} and more")
    await world.run_until_quiet()
    assert world.status("r-1")["status"] == "succeeded"
    written = json.dumps(
        [
            *([span.name, span.attributes, span.failed] for span in world.signals.spans),
            *([signal.name, fields] for signal, fields in world.signals.emitted),
        ],
        default=str,
    )
    assert len(world.signals.spans) > 20
    for secret in (MARKER, KEY, "image of r-1"):
        assert secret not in written
