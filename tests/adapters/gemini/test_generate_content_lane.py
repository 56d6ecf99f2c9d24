"""generateContent through the unmodified SDK: against the simulator for its stories, against a script for odd bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, get_args

import pytest
import pytest_asyncio

from scripts.simulator.api.server import serve
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.faults import Fault, NoImageForm
from scripts.simulator.provider.parameters import Parameters
from shared.adapters.gemini.generate_content_lane import GenerateContentLane
from shared.core.provider.call import Made, Order, Reference
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage
from tests.adapters.gemini.test_interactions_lane import an_order
from tests.adapters.gemini_errors.test_errors import NOW, ROWS, Row
from tests.fakes.scripted_gemini import Reply, ScriptedGemini, a_png, scripted
from tests.fakes.slots import at_once, too_late

KEY = "AQ.test-key-of-nobody-0123456789"
SOON = timedelta(seconds=20)
K = FailureKind
pytestmark = pytest.mark.asyncio(loop_scope="module")


def inline(data: bytes, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}, **more}


def an_answer(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, "index": 0}
    return {"candidates": [candidate], "modelVersion": "gemini-3-pro-image", "responseId": "r_x"} | more


class Simulated:
    def __init__(self, simulation: Simulation, lane: GenerateContentLane) -> None:
        self.simulation, self.lane = simulation, lane

    async def answer(self, *faults: Fault, order: Order | None = None, timeout: timedelta = SOON) -> Made | Failure:
        """After exactly one call."""
        self.simulation.set_faults(faults)
        before = len(self.simulation.ledger.since())
        answer = await self.lane.generate(order or an_order(), timeout, at_once)
        assert len(self.simulation.ledger.since()) == before + 1, "no hidden second send"
        return answer


class Scripted:
    def __init__(self, gemini: ScriptedGemini, lane: GenerateContentLane) -> None:
        self.gemini, self.lane = gemini, lane

    async def answer(self, reply: Reply, order: Order | None = None, timeout: timedelta = SOON) -> Made | Failure:
        self.gemini.script(reply)
        answer = await self.lane.generate(order or an_order(), timeout, at_once)
        assert len(self.gemini.posts) == 1
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulated() -> AsyncIterator[Simulated]:
    simulation = Simulation(pictures="cached")
    server = await serve(simulation)
    lane = GenerateContentLane(KEY, server.url)
    yield Simulated(simulation, lane)
    await lane.close()
    await server.stop()
    simulation.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def odd() -> AsyncIterator[Scripted]:
    async with scripted() as gemini:
        lane = GenerateContentLane(KEY, gemini.url, now=lambda: NOW)
        yield Scripted(gemini, lane)
        await lane.close()


async def test_an_image_is_made_and_everything_it_is_billed_by_is_read(simulated: Simulated) -> None:
    order = an_order(lane="flex", grounding=True, references=[Reference("image/png", a_png(64, 64))])
    answer = await simulated.answer(order=order)
    assert isinstance(answer, Made), answer
    assert (answer.picture.width, answer.picture.height) == (2752, 1536)
    (call,) = simulated.simulation.ledger.since(len(simulated.simulation.ledger.since()) - 1)
    usage = call.usage
    assert answer.usage == Usage(
        usage.text_in, usage.image_in, usage.text_out, usage.image_out, usage.thoughts, usage.searches
    )
    assert usage.searches > 0
    assert usage.image_in == 560
    assert (answer.model, answer.lane, call.tier) == ("gemini-3-pro-image", "flex", "flex")
    assert (call.api, call.size, call.ratio, call.marker) == ("generate_content", "2K", "16:9", "spring-hero-001")


async def test_each_parameter_arrives_and_is_billed(simulated: Simulated) -> None:
    order = an_order(
        model="gemini-nano-banana-2.1", grounding="image", thinking="high", system_instruction="Flat colours only.",
        safety=(("harassment", "block_none"),),
    )  # fmt: skip
    answer = await simulated.answer(order=order)
    assert isinstance(answer, Made), answer
    (call,) = simulated.simulation.ledger.since(len(simulated.simulation.ledger.since()) - 1)
    assert call.parameters == Parameters("high", True, {"harassment": "block_none"}, "Flat colours only.")
    usage = call.usage
    assert answer.usage == Usage(
        usage.text_in, usage.image_in, usage.text_out, usage.image_out, usage.thoughts, usage.searches
    )
    assert usage.thoughts >= 2_000
    assert usage.searches >= 2, "in web pages and for images"
    assert usage.text_in == -(-len(order.prompt) // 4) + 5


async def test_an_address_is_passed_on_and_fetched_by_the_provider(simulated: Simulated) -> None:
    reference = Reference("image/png", b"", "https://cdn.example.com/a.png")
    simulated.simulation.web[reference.uri] = a_png(64, 64)
    answer = await simulated.answer(order=an_order(references=[reference]))
    assert isinstance(answer, Made), answer
    assert answer.usage is not None
    assert answer.usage.image_in == 560
    simulated.simulation.web.clear()
    answer = await simulated.answer(order=an_order(references=[reference]))
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.http_status) == (K.REFERENCE, 400)


@pytest.mark.parametrize(
    "parameters",
    [
        {"thinking": "low"},
        {"safety": (("image_hate", "off"),)},
        {"model": "gemini-3-pro-image", "thinking": "high"},
        {"model": "gemini-3-pro-image", "grounding": "image"},
    ],
)
async def test_what_no_ladder_sends_is_a_400_of_the_provider(simulated: Simulated, parameters: dict[str, Any]) -> None:
    answer = await simulated.answer(order=an_order(**{"model": "gemini-nano-banana-2.1"} | parameters))
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.http_status) == (K.INVALID_REQUEST, 400)


NO_IMAGE: list[tuple[NoImageForm, str, FailureKind, str]] = [
    ("http_400", "image_safety", K.INVALID_REQUEST, "invalid_argument"),  # a google.rpc status has no word for it
    ("failed", "image_safety", K.REFUSED, "image_safety"),
    ("step_error", "prohibited_content", K.REFUSED, "prohibited_content"),
    ("text_only", "no_image", K.NO_IMAGE, ""),
    ("empty_steps", "no_image", K.NO_IMAGE, ""),
    ("incomplete", "no_image", K.NO_IMAGE, "max_tokens"),
    ("prompt_blocked", "blocklist", K.REFUSED, "blocklist"),
    ("prompt_blocked", "something_new", K.REFUSED, "other"),
    ("finish_reason", "recitation", K.REFUSED, "recitation"),
    ("finish_reason", "image_other", K.NO_IMAGE, "image_other"),
    ("finish_reason", "no_image", K.NO_IMAGE, "no_image"),
]


@pytest.mark.parametrize(("form", "code", "kind", "expected"), NO_IMAGE)
async def test_every_form_without_an_image_has_its_one_meaning(
    simulated: Simulated, form: NoImageForm, code: str, kind: FailureKind, expected: str
) -> None:
    answer = await simulated.answer(Fault(kind="refusal", form=form, code=code))
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.code) == (kind, expected)
    if answer.http_status == 200:
        assert answer.usage is not None, "a refusal can carry tokens, and so can cost"
        assert answer.model == "gemini-3-pro-image"


async def test_all_forms_of_the_simulator_are_tried() -> None:
    assert {form for form, *_ in NO_IMAGE} == set(get_args(NoImageForm))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(kind="credential"), K.CREDENTIAL),
        (Fault(kind="permission"), K.PERMISSION),
        (Fault(kind="gone"), K.MODEL_GONE),
        (Fault(kind="quota"), K.QUOTA_MINUTE),
        (Fault(kind="quota", variant="day"), K.QUOTA_DAY),
        (Fault(kind="tier_unsupported"), K.LANE_UNSUPPORTED),
        (Fault(kind="overload"), K.OVERLOAD),
        (Fault(kind="internal"), K.SERVER_ERROR),
        (Fault(kind="deadline"), K.TIMEOUT),
        (Fault(kind="reset"), K.CONNECTION_LOST),
        (Fault(kind="cut"), K.CONNECTION_LOST),
        (Fault(kind="malformed"), K.MALFORMED_ANSWER),
        (Fault(kind="other_shape"), K.MALFORMED_ANSWER),
        (Fault(kind="corrupt_image"), K.MALFORMED_ANSWER),
        (Fault(kind="requires_continuation"), K.NO_IMAGE),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else value.value,
)
async def test_a_failure_is_named_as_on_the_other_api(simulated: Simulated, fault: Fault, kind: FailureKind) -> None:
    answer = await simulated.answer(fault)
    assert isinstance(answer, Failure)
    assert answer.kind is kind


async def test_silence_ends_after_the_time_out(simulated: Simulated) -> None:
    answer = await simulated.answer(Fault(kind="hang"), timeout=timedelta(seconds=0.3))
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.http_status) == (K.TIMEOUT, None)


@pytest.mark.parametrize("row", [row for row in ROWS if row.status >= 400], ids=lambda row: row.name)
async def test_a_documented_error_has_the_same_meaning_here(odd: Scripted, row: Row) -> None:
    reply = Reply(row.data, row.status, {"content-type": "application/json", **row.headers})
    answer = await odd.answer(reply)
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.code, answer.http_status) == (row.kind, row.code, row.status)


async def test_a_call_that_cannot_leave_in_time_is_not_made(odd: Scripted) -> None:
    odd.gemini.script(Reply(an_answer(inline(a_png()))))
    answer = await odd.lane.generate(an_order(), SOON, too_late)
    assert isinstance(answer, Failure)
    assert answer.kind is K.LATE
    assert odd.gemini.posts == []


async def test_nobody_at_the_address_is_no_charge() -> None:
    lane = GenerateContentLane(KEY, "http://127.0.0.1:1")
    answer = await lane.generate(an_order(), SOON, at_once)
    await lane.close()
    assert isinstance(answer, Failure)
    assert answer.kind is K.CONNECTION


async def test_a_redirect_is_not_followed(odd: Scripted) -> None:
    answer = await odd.answer(Reply(b"", 307, {"location": "http://127.0.0.1:1/"}))
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.http_status) == (K.CONNECTION, 307)


async def test_the_models_sketches_are_not_its_answer(odd: Scripted) -> None:
    sketch, final = a_png(4, 4), a_png(8, 2)
    answer = await odd.answer(
        Reply(an_answer(inline(sketch, thought=True), inline(final), inline(sketch, thought=True)))
    )
    assert isinstance(answer, Made)
    assert answer.picture.data == final
    only = await odd.answer(Reply(an_answer(inline(sketch, thought=True))))
    assert isinstance(only, Made), "there is no other, and it is paid for"
    assert (only.picture.data, only.remark) == (sketch, "thought_image")


async def test_an_image_that_came_before_an_early_end_is_taken_since_it_is_paid(odd: Scripted) -> None:
    answer = await odd.answer(Reply(an_answer(inline(a_png()), finish="MAX_TOKENS")))
    assert isinstance(answer, Made)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"null", b'{"candidates":3}', b'{"candidates":[{"content":{"parts":[{"inlineData":7}]}}]}',
     b'{"candidates":[{"content":{"parts":[{"inlineData":{"data":"%%%"}}]}}]}', b"<html>ok</html>", b"\xff\xfe"],
)  # fmt: skip
async def test_any_other_body_is_malformed(odd: Scripted, body: bytes) -> None:
    answer = await odd.answer(Reply(body))
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.http_status) == (K.MALFORMED_ANSWER, 200)


async def test_neither_prompt_nor_key_is_in_a_failure(odd: Scripted) -> None:
    order = an_order()
    body = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": f"no: {order.prompt} for {KEY}"}}
    answer = await odd.answer(Reply(body, 400), order)
    assert isinstance(answer, Failure)
    assert KEY not in answer.message
    assert "harbour" not in answer.message


async def test_what_is_sent_is_the_documented_request(odd: Scripted) -> None:
    order = an_order(lane="priority", references=[Reference("image/png", b"abc")])
    await odd.answer(Reply(an_answer(inline(a_png()))), order)
    (post,) = odd.gemini.posts
    assert post.path == "/v1beta/models/gemini-3-pro-image:generateContent"
    assert post.headers["x-goog-api-key"] == KEY
    assert post.body["generationConfig"] == {
        "responseModalities": ["TEXT", "IMAGE"], "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}
    }  # fmt: skip
    assert post.body["serviceTier"] == "priority"
    assert post.body["labels"]["request_id"] == "spring-hero-001"
    text, image = post.body["contents"][0]["parts"]
    assert text == {"text": order.prompt}
    assert image["inlineData"]["data"] == base64.b64encode(b"abc").decode()


async def test_a_stream_that_nobody_asked_for_is_read_through_the_sdk(odd: Scripted) -> None:
    chunks = [an_answer({"text": "Here"}, finish=None), an_answer(inline(a_png()))]
    body = "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks)
    answer = await odd.answer(Reply(body, headers={"content-type": "text/event-stream"}))
    assert isinstance(answer, Made), answer
    assert answer.provider_request_id == "r_x"
