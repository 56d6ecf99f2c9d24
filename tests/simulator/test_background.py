"""Background interactions, seen by the unmodified SDK over a socket, and what each is on the bill."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from google.genai import _interactions as sdk

from scripts.simulator.provider.faults import Fault, InvalidFaults, parse
from tests.simulator.conftest import House, until
from tests.simulator.gate import gated

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRO = "gemini-3-pro-image"


async def begin(house: House, **changes: Any) -> Any:
    return await house.ask(store=True, background=True, automatic_continuation=None, **changes)


async def look(house: House, interaction_id: str) -> Any:
    return await house.client.aio.interactions.get(interaction_id)


async def at_its_end(house: House, interaction_id: str) -> Any:
    answer = await look(house, interaction_id)
    while answer.status == "in_progress":
        await asyncio.sleep(0)
        answer = await look(house, interaction_id)
    return answer


async def test_a_background_call_is_answered_at_once_and_told_of_by_get(house: House) -> None:
    house.simulation.set_latency("fixed:20")
    with gated(house.simulation) as gate:
        begun = await begin(house, labels={"request_id": "spring"})
        assert (begun.status, begun.steps) == ("in_progress", None)
        assert begun.id.startswith("v1_")
        assert (await look(house, begun.id)).status == "in_progress"
        call = house.simulation.ledger.since()[-1]
        assert (call.outcome, call.status, call.charged, call.finished_at) == ("in_progress", 200, False, None)
        await gate.wake(20.0)
    ended = await at_its_end(house, begun.id)
    assert (ended.status, ended.id, ended.labels) == ("completed", begun.id, {"request_id": "spring"})
    assert base64.b64decode(ended.output_image.data)[:3] == b"\xff\xd8\xff"
    assert ended.usage.total_output_tokens == 1120
    call = house.simulation.ledger.since()[-1]
    assert (call.outcome, call.charged, call.marker) == ("image", True, "spring")
    assert call.finished_at is not None


async def test_it_ends_as_the_same_call_in_the_foreground_does(house: House) -> None:
    """Field by field, but for its id."""
    answers = []
    ways: list[dict[str, Any]] = [{"background": True, "automatic_continuation": None}, {}]
    for changes in ways:
        house.simulation.reset()
        answer = await house.ask(response_format={"type": "image", "image_size": "2K"}, store=True, **changes)
        answers.append((await at_its_end(house, answer.id)).model_dump() | {"id": ""})
    assert answers[0] == answers[1]


async def test_who_leaves_after_the_create_is_billed_once_and_finds_the_picture(house: House) -> None:
    house.simulation.set_latency("fixed:20")
    body = {"model": PRO, "input": "a cup", "background": True, "response_format": {"type": "image"}}
    with gated(house.simulation) as gate:
        answer = await house.post(body)
        await gate.wake(20.0)
    ended = await at_its_end(house, answer.json()["id"])
    again = await look(house, ended.id)
    assert again.output_image.data == ended.output_image.data
    bill = house.simulation.ledger.bill()
    assert (bill.total.calls, bill.total.images) == (1, 1)


@pytest.mark.parametrize("kind", ["reset", "cut"])
async def test_a_create_whose_answer_is_lost_goes_on_and_is_billed(house: House, kind: Any) -> None:
    house.script(Fault(kind=kind, charged=True))
    with pytest.raises(sdk.APIConnectionError):
        await begin(house)
    await until(lambda: house.simulation.ledger.since()[-1].finished_at is not None)
    call = house.simulation.ledger.since()[-1]
    assert (call.outcome, call.charged) == (kind, True)


async def test_a_create_that_never_came_makes_nothing(house: House) -> None:
    house.script(Fault(kind="reset"))
    with pytest.raises(sdk.APIConnectionError):
        await begin(house)
    call = house.simulation.ledger.since()[-1]
    assert (call.outcome, call.charged, call.cost_micros) == ("reset", False, 0)
    assert house.simulation.quota_of(PRO).in_flight == 0


async def test_it_is_in_flight_until_it_ends(house: House) -> None:
    house.simulation.set_limits("*=concurrency:1")
    house.simulation.set_latency("fixed:20")
    with gated(house.simulation) as gate:
        begun = await begin(house)
        with pytest.raises(sdk.RateLimitError):
            await begin(house)
        await gate.wake(20.0)
    await at_its_end(house, begun.id)
    assert house.simulation.quota_of(PRO).in_flight == 0


@pytest.mark.parametrize("changes", [{"store": False}, {"background": False, "webhook_config": {"uris": []}}])
async def test_what_background_needs_is_a_400_that_says_so(house: House, changes: dict[str, Any]) -> None:
    with pytest.raises(sdk.BadRequestError, match="needs"):
        await house.ask(**({"background": True, "store": True, "automatic_continuation": None} | changes))


@pytest.mark.parametrize("by", ["fault", "simulation"])
async def test_a_model_that_takes_no_background_calls_says_so(house: House, by: str) -> None:
    if by == "fault":
        house.script(Fault(kind="background_unsupported", model=PRO))
    house.simulation.takes_background = by == "fault"
    try:
        with pytest.raises(sdk.BadRequestError, match="'background' is not supported for model gemini-3-pro-image"):
            await begin(house)
        assert (await house.ask()).status == "completed", "in the foreground it is served"
    finally:
        house.simulation.takes_background = True
    assert [call.charged for call in house.simulation.ledger.since()] == [False, True]


@pytest.mark.parametrize("status", ["failed", "cancelled", "requires_action", "incomplete", "budget_exceeded"])
async def test_it_can_end_without_a_picture(house: House, status: Any) -> None:
    house.script(Fault(kind="ended", status=status, code="internal_error", message="It broke."))
    ended = await at_its_end(house, (await begin(house)).id)
    assert (ended.status, ended.output_image, ended.usage) == (status, None, None)
    errors = [(error.code, error.message) for error in ended.errors or []]
    assert errors == ([("internal_error", "It broke.")] if status == "failed" else [])
    assert not house.simulation.ledger.since()[-1].charged


async def test_an_end_without_a_picture_may_be_charged_and_says_what_it_used(house: House) -> None:
    house.script(Fault(kind="ended", status="incomplete", charged=True))
    ended = await at_its_end(house, (await begin(house)).id)
    assert ended.usage.total_output_tokens == 1120
    assert house.simulation.ledger.since()[-1].cost_micros > 134_400


async def test_a_refusal_is_an_end_in_every_form(house: House) -> None:
    for form in ("http_400", "failed"):
        house.script(Fault(kind="refusal", form=form))
        ended = await at_its_end(house, (await begin(house)).id)
        assert (ended.status, ended.errors[0].code) == ("failed", "image_safety")


async def test_a_deadline_is_an_end_and_an_overload_a_refused_create(house: House) -> None:
    house.script(Fault(kind="deadline"))
    ended = await at_its_end(house, (await begin(house)).id)
    assert (ended.status, ended.errors[0].code) == ("failed", "deadline_exceeded")
    house.script(Fault(kind="overload"))
    with pytest.raises(sdk.InternalServerError) as refused:
        await begin(house)
    assert refused.value.status_code == 503


async def test_it_may_complete_late_or_never(house: House) -> None:
    house.script(Fault(kind="slow", seconds=300), Fault(kind="never", marker="stuck"))
    with gated(house.simulation) as gate:
        late = await begin(house)
        await gate.wake(300.0)
        assert (await at_its_end(house, late.id)).status == "completed"
        stuck = await begin(house, labels={"request_id": "stuck"})
        await gate.wake(300.0)
        await asyncio.sleep(0)
        assert (await look(house, stuck.id)).status == "in_progress"
        await house.client.aio.interactions.cancel(stuck.id)
        await gate.wake(0.5)
        await until(lambda: house.simulation.ledger.since()[-1].finished_at is not None)
    assert (await look(house, stuck.id)).status == "cancelled"


async def test_a_cancel_is_told_of_a_moment_later_and_charges_nothing(house: House) -> None:
    house.simulation.set_latency("fixed:20")
    with gated(house.simulation) as gate:
        begun = await begin(house)
        answer = await house.client.aio.interactions.cancel(begun.id)
        assert answer.status == "in_progress"
        assert (await look(house, begun.id)).status == "in_progress"
        await gate.wake(0.5)
        await until(lambda: house.simulation.ledger.since()[-1].finished_at is not None)
    assert (await look(house, begun.id)).status == "cancelled"
    with pytest.raises(sdk.BadRequestError, match="has ended"):
        await house.client.aio.interactions.cancel(begun.id)
    call = house.simulation.ledger.since()[-1]
    assert (call.outcome, call.charged) == ("cancelled", False)


async def test_a_picture_that_is_done_first_wins_over_a_cancel(house: House) -> None:
    house.simulation.set_latency("fixed:20")
    with gated(house.simulation) as gate:
        begun = await begin(house)
        await house.client.aio.interactions.cancel(begun.id)
        await gate.wake(20.0)
        await at_its_end(house, begun.id)
        await gate.wake(0.5)
        await asyncio.sleep(0)
    assert (await look(house, begun.id)).status == "completed"
    assert house.simulation.ledger.bill().total.images == 1


async def test_a_cancelled_picture_may_be_charged(house: House) -> None:
    house.simulation.set_latency("fixed:20")
    house.script(Fault(kind="cancel_billed"))
    with gated(house.simulation) as gate:
        begun = await begin(house)
        await house.client.aio.interactions.cancel(begun.id)
        await gate.wake(0.5)
        await until(lambda: house.simulation.ledger.since()[-1].finished_at is not None)
    ended = await look(house, begun.id)
    assert (ended.status, ended.usage.total_output_tokens) == ("cancelled", 1120)
    assert house.simulation.ledger.since()[-1].charged


async def test_a_deleted_interaction_is_not_found(house: House) -> None:
    begun = await begin(house)
    await at_its_end(house, begun.id)
    await house.client.aio.interactions.delete(begun.id)
    with pytest.raises(sdk.NotFoundError):
        await look(house, begun.id)
    with pytest.raises(sdk.NotFoundError):
        await house.client.aio.interactions.delete(begun.id)
    with pytest.raises(sdk.NotFoundError):
        await house.client.aio.interactions.cancel(begun.id)


@pytest.mark.parametrize("api", ["interaction_get", "interaction_cancel", "interaction_delete"])
async def test_each_endpoint_of_an_interaction_can_fail(house: House, api: Any) -> None:
    house.simulation.set_latency("fixed:20")
    calls: dict[str, Any] = {
        "interaction_get": house.client.aio.interactions.get,
        "interaction_cancel": house.client.aio.interactions.cancel,
        "interaction_delete": house.client.aio.interactions.delete,
    }
    call = calls[api]
    with gated(house.simulation):
        begun = await begin(house, labels={"request_id": "r-1"})
        house.script(Fault(kind="missing", api=api, marker="r-1", times=1), Fault(kind="overload", api=api, times=1))
        with pytest.raises(sdk.NotFoundError):
            await call(begun.id)
        with pytest.raises(sdk.InternalServerError):
            await call(begun.id)
        house.script(Fault(kind="reset", api=api, times=1))
        with pytest.raises(sdk.APIConnectionError):
            await call(begun.id)
        await call(begun.id)


async def test_a_look_can_be_cut_or_tell_nonsense(house: House) -> None:
    begun = await begin(house)
    await at_its_end(house, begun.id)
    house.script(Fault(kind="cut", api="interaction_get", times=1), Fault(kind="malformed", api="interaction_get"))
    with pytest.raises(sdk.APIConnectionError):
        await look(house, begun.id)
    with pytest.raises(sdk.APIResponseValidationError):
        await look(house, begun.id)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"kind": "ended"}]', "status"),
        ('[{"kind": "overload", "status": "failed"}]', "status"),
        ('[{"kind": "missing"}]', "interaction_get"),
        ('[{"kind": "missing", "api": "interactions"}]', "interaction_get"),
    ],
)
async def test_a_fault_of_the_background_that_means_nothing_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidFaults, match=problem):
        parse(text)


async def test_faults_of_the_background_meet_no_other_call(house: House) -> None:
    house.script(Fault(kind="never"), Fault(kind="background_unsupported"))
    assert (await house.ask()).status == "completed"
