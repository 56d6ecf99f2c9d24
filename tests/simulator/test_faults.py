"""Scripted faults, seen by the unmodified SDK over a socket, and what each does to the bill."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from google.genai import _interactions as sdk
from PIL import Image

from scripts.simulator.provider.accepted_request import Headline
from scripts.simulator.provider.faults import KINDS, Fault, FaultBook, InvalidFaults, check, parse
from scripts.simulator.provider.quota_problems import spoken, wire
from tests.simulator.conftest import House, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def last(house: House) -> Any:
    return house.simulation.ledger.since()[-1]


async def refused(house: House, fault: Fault, **changes: Any) -> sdk.APIStatusError:
    house.script(fault)
    with pytest.raises(sdk.APIStatusError) as raised:
        await house.ask(**changes)
    assert not last(house).charged
    assert last(house).cost_micros == 0
    return raised.value


async def ask_and_leave(house: House) -> None:
    """Until the simulator has seen the caller go."""
    task = asyncio.create_task(house.ask())
    await until(lambda: bool(house.simulation.ledger.since()))
    connections = house.server.connections
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: house.server.connections < connections)


@pytest.mark.parametrize(
    ("fault", "exception", "status", "code"),
    [
        (Fault(kind="credential"), sdk.AuthenticationError, 401, "authentication"),
        (Fault(kind="payment"), sdk.APIStatusError, 402, "payment_required"),
        (Fault(kind="permission"), sdk.PermissionDeniedError, 403, "permission_denied"),
        (Fault(kind="gone"), sdk.NotFoundError, 404, "model_not_found"),
        (Fault(kind="rejected"), sdk.BadRequestError, 400, "invalid_request"),
        (Fault(kind="tier_unsupported"), sdk.BadRequestError, 400, "invalid_request"),
        (Fault(kind="quota"), sdk.RateLimitError, 429, "rate_limit_exceeded"),
        (Fault(kind="internal"), sdk.InternalServerError, 500, "api_error"),
        (Fault(kind="overload"), sdk.InternalServerError, 503, "service_unavailable"),
        (Fault(kind="deadline"), sdk.InternalServerError, 504, "deadline_exceeded"),
        (Fault(kind="no_image", form="http_400", code="image_safety"), sdk.BadRequestError, 400, "image_safety"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_each_error_raises_the_exception_of_its_status(
    house: House, fault: Fault, exception: type[sdk.APIStatusError], status: int, code: str
) -> None:
    error = await refused(house, fault)
    assert type(error) is exception
    assert error.status_code == status
    assert error_of(error)["code"] == code
    assert (last(house).status, last(house).outcome) == (status, code)


@pytest.mark.parametrize(
    ("variant", "code", "ids", "delay"),
    [
        ("minute", "rate_limit_exceeded", ["GenerateRequestsPerMinutePerProjectPerModel"], "45.837906927s"),
        ("tokens", "rate_limit_exceeded", ["GenerateContentInputTokensPerModelPerMinute"], "45.837906927s"),
        (
            "paid_tokens",
            "rate_limit_exceeded",
            ["GenerateContentPaidTierInputTokensPerModelPerMinute"],
            "45.837906927s",
        ),
        ("day", "quota_exceeded", ["GenerateRequestsPerDayPerProjectPerModel"], "45.837906927s"),
        ("day_short_delay", "quota_exceeded", ["GenerateRequestsPerDayPerProjectPerModel"], "0.856000000s"),
        ("zero", "quota_exceeded", ["GenerateRequestsPerDayPerProjectPerModel"], None),
        ("several", "quota_exceeded", ["GenerateRequestsPerMinutePerProjectPerModel"], "45.837906927s"),
        ("valueless", "rate_limit_exceeded", ["GenerateRequestsPerMinutePerProjectPerModel"], "45.837906927s"),
        ("help_only", "rate_limit_exceeded", [], None),
        ("bare", "rate_limit_exceeded", [], None),
        ("balance", "insufficient_user_quota", [], None),
        ("too_many", "too_many_requests", [], None),
        ("other_model", "rate_limit_exceeded", ["GenerateRequestsPerMinutePerProjectPerModel"], "45.837906927s"),
        ("images", "rate_limit_exceeded", ["GenerateImagesPerMinutePerProjectPerModel"], "45.837906927s"),
    ],
)
async def test_each_429_seen_in_the_wild(
    house: House, variant: Any, code: str, ids: list[str], delay: str | None
) -> None:
    error = error_of(await refused(house, Fault(kind="quota", variant=variant)))
    details = {row["@type"].rpartition(".")[2]: row for row in error.get("details", [])}
    violations = details.get("QuotaFailure", {}).get("violations", [])
    assert error["code"] == code
    assert [row["quotaId"] for row in violations][: len(ids)] == ids
    assert details.get("RetryInfo", {}).get("retryDelay") == delay
    if variant == "several":
        assert [row.get("quotaValue") for row in violations] == ["60", None, "60"]
    if variant == "valueless":
        assert "quotaValue" not in violations[0]
    if variant == "zero":
        assert {row["quotaValue"] for row in violations} == {"0"}
    if variant == "other_model":
        assert violations[0]["quotaDimensions"]["model"] != "gemini-3-pro-image"


async def test_a_429_can_be_worded_in_any_form(house: House) -> None:
    verbatim = Fault(
        kind="quota", retry_delay="856ms", retry_after="7", quota_suffix="-PaidTier1", quota_value=100, error_form="rpc"
    )
    raised = await refused(house, verbatim)
    error = error_of(raised)
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert raised.response.headers["retry-after"] == "7"
    violation = error["details"][1]["violations"][0]
    assert violation["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel-PaidTier1"
    assert violation["quotaValue"] == "100"
    assert error["details"][2]["retryDelay"] == "856ms"
    coded = error_of(await refused(house, Fault(kind="quota", error_form="coded")))
    assert set(coded) == {"code", "message"}
    house.simulation.error_form = "coded"
    assert set(error_of(await refused(house, Fault(kind="quota")))) == {"code", "message"}


async def test_delays_are_written_as_captured() -> None:
    assert spoken(6776.4) == "1h52m56.4s"
    assert spoken(0.856) == "856ms"
    assert spoken(45.837906927) == "45.837906927s"
    assert wire(6776.4) == "6777s"
    assert wire(45.837906927) == "45.837906927s"
    assert wire(60.0) == "60s"


@pytest.mark.parametrize(
    ("form", "status", "steps"),
    [
        ("failed", "failed", ["thought"]),
        ("step_error", "completed", ["thought", "model_output"]),
        ("text_only", "completed", ["thought", "model_output"]),
        ("empty_steps", "completed", []),
        ("incomplete", "incomplete", ["thought"]),
        ("prompt_blocked", "failed", ["thought"]),
        ("finish_reason", "failed", ["thought"]),
    ],
)
async def test_an_answer_without_a_picture_in_each_form(house: House, form: Any, status: str, steps: list[str]) -> None:
    house.script(Fault(kind="no_image", form=form))
    answer = await house.ask()
    assert answer.output_image is None
    assert answer.status == status
    assert [step.type for step in answer.steps] == steps
    assert bool(answer.errors) == (status == "failed")
    if form == "step_error":
        assert answer.steps[-1].error.message.startswith("no_image")
    assert answer.usage.total_input_tokens == 3
    call = last(house)
    assert call.charged
    assert call.cost_micros == 3 * 2 + 12 * answer.usage.total_thought_tokens + 12 * answer.usage.total_output_tokens


async def test_a_refusal_is_charged_only_when_it_carries_usage(house: House) -> None:
    refusal = await house.ask("a thing [refuse]")
    assert (refusal.status, refusal.errors[0].code) == ("failed", "image_safety")
    assert last(house).outcome == "refusal"
    assert last(house).charged
    house.script(Fault(kind="refusal", usage=False, code="safety"))
    refusal = await house.ask()
    assert refusal.usage is None
    assert not last(house).charged


async def test_connections_that_end_without_a_whole_answer(house: House) -> None:
    house.script(Fault(kind="reset"))
    with pytest.raises(sdk.APIConnectionError):
        await house.ask()
    assert (last(house).status, last(house).charged) == (None, False)
    house.script(Fault(kind="cut"))
    with pytest.raises(sdk.APIConnectionError):
        await house.ask()
    assert (last(house).status, last(house).charged) == (200, True)
    house.script(Fault(kind="reset", charged=True))
    with pytest.raises(sdk.APIConnectionError):
        await house.ask()
    assert last(house).cost_micros > 134_400


async def test_a_hang_ends_when_the_client_leaves(house: House) -> None:
    house.script(Fault(kind="hang"))
    await ask_and_leave(house)
    assert last(house).client_disconnected
    assert not last(house).charged


async def test_a_picture_made_for_a_client_that_left_is_charged(house: House) -> None:
    gate = asyncio.Event()

    async def slow(seconds: float) -> None:
        await gate.wait()

    house.simulation.set_latency("fixed:30")
    house.simulation.sleep = slow
    try:
        await ask_and_leave(house)
        gate.set()
        await until(lambda: last(house).finished_at is not None)
    finally:
        house.simulation.sleep = house.clock.sleep
    assert last(house).client_disconnected
    assert last(house).charged
    assert last(house).outcome == "image"


async def test_answers_that_do_not_parse(house: House) -> None:
    house.script(Fault(kind="malformed"))
    with pytest.raises(sdk.APIResponseValidationError):
        await house.ask()
    assert last(house).charged
    house.script(Fault(kind="other_shape"))
    answer = await house.ask()
    assert (answer.status, answer.id) == (None, "")
    house.script(Fault(kind="other_shape", charged=False))
    await house.ask()
    assert not last(house).charged


async def test_pictures_that_are_not_the_one_asked_for(house: House, opened: Callable[[Any], Image.Image]) -> None:
    house.script(Fault(kind="wrong_size"))
    answer = await house.ask(response_format={"type": "image", "image_size": "4K"})
    assert opened(answer).size == (1024, 1024)
    assert answer.usage.output_tokens_by_modality[0].tokens == 1120
    house.script(Fault(kind="wrong_ratio"))
    answer = await house.ask(response_format={"type": "image", "aspect_ratio": "16:9"})
    assert opened(answer).size == (1024, 1024)
    house.script(Fault(kind="other_tokens"))
    answer = await house.ask()
    assert answer.usage.output_tokens_by_modality[0].tokens == last(house).usage.image_out != 1120
    assert last(house).cost_micros > 134_400, "paid as it came"
    house.script(Fault(kind="corrupt_image"))
    answer = await house.ask()
    with pytest.raises(OSError, match="cannot identify"):
        opened(answer)


async def test_another_model_or_tier_serves_and_is_billed(house: House) -> None:
    house.script(Fault(kind="served_by", served_by="gemini-nano-banana-2.1"))
    answer = await house.ask(model="gemini-3.1-flash-image")
    assert answer.model == "gemini-nano-banana-2.1"
    assert (last(house).model, last(house).served_model) == ("gemini-3.1-flash-image", "gemini-nano-banana-2.1")
    thoughts = last(house).usage.thoughts
    assert 900 <= thoughts <= 2_000, "the level that served it by itself"
    assert last(house).cost_micros == (3 * 1500 + 1120 * 30_000 + thoughts * 7_500 + 500) // 1000
    house.script(Fault(kind="tier_downgraded"))
    answer = await house.ask(service_tier="priority")
    assert (answer.service_tier, last(house).tier) == ("standard", "standard")


async def test_flex_is_shed_and_nothing_else(house: House) -> None:
    house.script(Fault(kind="shed"))
    assert (await house.ask()).status == "completed"
    with pytest.raises(sdk.InternalServerError) as raised:
        await house.ask(service_tier="flex")
    assert raised.value.status_code == 503


async def test_continuation_is_one_answer_or_two_bills(house: House) -> None:
    house.script(Fault(kind="requires_continuation", times=1))
    with pytest.warns(UserWarning, match="requires_continuation"):
        answer = await house.ask()
    assert (answer.status, answer.output_image) == ("requires_continuation", None)
    house.script(Fault(kind="requires_continuation", times=1))
    house.simulation.ledger.clear()
    answer = await house.ask(store=None, automatic_continuation=True)
    assert answer.status == "completed"
    assert answer.output_image
    assert [call.charged for call in house.simulation.ledger.since()] == [True, True]


async def test_slowness_adds_up_and_joins_other_faults(house: House) -> None:
    house.simulation.set_latency("fixed:1")
    house.script(Fault(kind="slow", seconds=4), Fault(kind="slow"), Fault(kind="deadline"))
    with pytest.raises(sdk.InternalServerError):
        await house.ask()
    assert house.clock.slept == [10.0]


async def test_a_proxy_s_page_answers_instead_of_the_api(house: House) -> None:
    house.script(Fault(kind="proxy_timeout"))
    with pytest.raises(sdk.InternalServerError) as refused:
        await house.ask()
    assert refused.value.status_code == 524
    assert refused.value.response.headers["server"] == "cloudflare"


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_is_in_the_list_shown_to_users(kind: str) -> None:
    """The answer to a kind that there is not."""
    with pytest.raises(InvalidFaults) as refused:
        parse('[{"kind": "no such kind"}]')
    shown = str(refused.value).rpartition("kinds: ")[2].split(", ")
    assert kind in shown
    assert len(shown) == len(set(shown)) == len(KINDS)


# The script itself, without a server.


def strikes(fault: Fault, calls: list[tuple[Headline, float]]) -> list[bool]:
    book = FaultBook(Random(1))
    book.set([fault], now=100.0)
    return [book.judge("interactions", headline, now=100.0 + at).fault is not None for headline, at in calls]


async def test_a_fault_meets_the_calls_it_names() -> None:
    hit = Headline(model="m", size="4K", tier="flex", prompt="a red cube", marker="r-1")
    fault = Fault(kind="overload", model="m", size="4K", tier="flex", prompt="red", marker="r-1", api="interactions")
    misses = [
        Headline(model="x", size="4K", tier="flex", prompt="a red cube", marker="r-1"),
        Headline(model="m", size="1K", tier="flex", prompt="a red cube", marker="r-1"),
        Headline(model="m", size="4K", tier="standard", prompt="a red cube", marker="r-1"),
        Headline(model="m", size="4K", tier="flex", prompt="a blue cube", marker="r-1"),
        Headline(model="m", size="4K", tier="flex", prompt="a red cube", marker="r-2"),
    ]
    assert strikes(fault, [(hit, 0), *[(miss, 0) for miss in misses]]) == [True] + [False] * 5


async def test_a_fault_strikes_when_and_as_often_as_it_says() -> None:
    calls = [(Headline(), float(second)) for second in range(6)]
    assert strikes(Fault(kind="overload", nth=(2, 4)), calls) == [False, True, False, True, False, False]
    assert strikes(Fault(kind="overload", times=2), calls) == [True, True, False, False, False, False]
    assert strikes(Fault(kind="overload", after=2, until=4), calls) == [False, False, True, True, False, False]
    often = strikes(Fault(kind="overload", chance=0.25), [(Headline(), 0.0)] * 1000)
    assert 200 < sum(often) < 300
    assert often == strikes(Fault(kind="overload", chance=0.25), [(Headline(), 0.0)] * 1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"kind": "earthquake"}]', "$[0].kind"),
        ('[{"kind": "slow", "second": 3}]', "second"),
        ('[{"kind": "slow", "seconds": "3"}]', "$[0].seconds"),
        ('[{"kind": "overload", "chance": 2}]', "$[0].chance"),
        ('[{"kind": "overload", "nth": [0]}]', "$[0].nth"),
        ('[{"kind": "overload"}, {"kind": "served_by"}]', "$[1]"),
        ('[{"kind": "overload", "after": 5, "until": 5}]', "until"),
        ('{"kind": "overload"}', "array"),
        ("[", "kinds:"),
    ],
)
async def test_a_script_that_means_nothing_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(InvalidFaults) as raised:
        parse(text)
    assert message in str(raised.value)


async def test_a_script_survives_its_own_report() -> None:
    faults = (Fault(kind="quota", variant="day", times=3, nth=(1,)), Fault(kind="slow", seconds=2))
    book = FaultBook(Random(0))
    book.set(check(faults), now=0)
    assert parse(json.dumps([row["fault"] for row in book.report()])) == faults


def error_of(error: sdk.APIStatusError) -> dict[str, Any]:
    body = error.body if isinstance(error.body, dict) else json.loads(str(error.body))
    inner: dict[str, Any] = body["error"]
    return inner
