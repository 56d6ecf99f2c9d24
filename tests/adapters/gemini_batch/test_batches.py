"""The real batch lane against the simulator over a socket: raw answers, every failure a value, one line in memory."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.parameters import Parameters
from shared.adapters.gemini_batch.batch_lines import read_line, result_of, write_line
from shared.adapters.gemini_batch.batches import LINES_EACH, SPARE_LINES, GeminiBatches
from shared.adapters.payloads.answer_image import Elsewhere
from shared.core.lifecycle.batch import Progress, Result
from shared.core.provider.call import Made, Order, Reference
from shared.core.provider.failure import Failure, FailureKind
from shared.ports.lanes import ResultsUnavailable
from tests.builders import NOW
from tests.fakes.scripted_gemini import Reply, a_png, scripted
from tests.simulator.conftest import House, house, running

__all__ = ["house", "running"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRO, NB21 = "gemini-3-pro-image", "gemini-nano-banana-2.1"
SOON = timedelta(seconds=20)


def an_order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "request_id": "r-1", "model": PRO, "lane": "batch", "prompt": "a red cube", "image_size": "2K",
        "aspect_ratio": "16:9",
    }  # fmt: skip
    return Order(**fields | changes)


async def orders(*prompts: str) -> AsyncIterator[tuple[str, Order]]:
    for number, prompt in enumerate(prompts):
        yield f"r-{number}/1", an_order(prompt=prompt)


@pytest_asyncio.fixture(loop_scope="module")
async def lane(house: House) -> AsyncIterator[GeminiBatches]:
    made = GeminiBatches("AQ.test", house.server.url, now=house.clock.now)
    yield made
    await made.close()


async def begun(lane: GeminiBatches, *prompts: str, name: str = "renderlane-1") -> str:
    file = await lane.upload(name, orders(*prompts))
    assert isinstance(file, str), file
    created = await lane.create(name, PRO, file, SOON)
    assert isinstance(created, str), created
    return created


async def ended(house: House, lane: GeminiBatches, *prompts: str) -> Progress:
    name = await begun(lane, *prompts)
    work = house.simulation.jobs[name].work
    if work is not None:
        await work
    house.clock.advance(31)
    progress = await lane.look(name)
    assert isinstance(progress, Progress), progress
    return progress


async def read(lane: GeminiBatches, progress: Progress) -> list[Result]:
    assert progress.results is not None
    return [result async for result in await lane.results(progress.results, PRO, {})]


async def test_a_batch_comes_back_as_images_with_usage_and_the_lane_that_served(
    house: House, lane: GeminiBatches
) -> None:
    progress = await ended(house, lane, "a red cube", "a blue cube")
    assert (progress.state, progress.done) == ("succeeded", 2)
    results = await read(lane, progress)
    assert [result.key for result in results] == ["r-0/1", "r-1/1"]
    for result in results:
        assert isinstance(result.answer, Made)
        assert (result.answer.picture.width, result.answer.picture.height) == (2752, 1536)
        assert (result.answer.model, result.answer.lane) == (PRO, "batch")
        assert result.answer.usage is not None
        assert result.answer.usage.image_out == 1120
        assert result.answer.usage.thought > 0
    (first, _) = house.simulation.ledger.since()
    assert results[0].answer.usage is not None
    usage = results[0].answer.usage
    assert (usage.text_in, usage.text_out) == (first.usage.text_in, first.usage.text_out)


async def test_references_and_grounding_go_into_the_file(house: House, lane: GeminiBatches) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (30, 20), (1, 2, 3)).save(picture, "PNG")

    async def one() -> AsyncIterator[tuple[str, Order]]:
        reference = Reference("image/png", picture.getvalue())
        yield "r/1", an_order(references=(reference,), grounding=True, aspect_ratio=None)

    file = await lane.upload("one", one())
    assert isinstance(file, str)
    name = await lane.create("one", PRO, file, SOON)
    assert isinstance(name, str)
    await house.simulation.jobs[name].work  # type: ignore[misc]
    house.clock.advance(31)
    progress = await lane.look(name)
    assert isinstance(progress, Progress)
    (result,) = await read(lane, progress)
    assert result.answer.usage is not None
    assert result.answer.usage.image_in == 560
    assert result.answer.usage.grounding_searches > 0


async def test_each_parameter_goes_into_the_file(house: House, lane: GeminiBatches) -> None:
    async def one() -> AsyncIterator[tuple[str, Order]]:
        yield "r/1", an_order(
            model=NB21, grounding="image", thinking="minimal", system_instruction="Flat colours only.",
            safety=(("hate_speech", "block_low_and_above"),),
        )  # fmt: skip

    file = await lane.upload("one", one())
    assert isinstance(file, str)
    name = await lane.create("one", NB21, file, SOON)
    assert isinstance(name, str)
    await house.simulation.jobs[name].work  # type: ignore[misc]
    house.clock.advance(31)
    progress = await lane.look(name)
    assert isinstance(progress, Progress)
    (result,) = await read(lane, progress)
    assert isinstance(result.answer, Made), result
    (call,) = house.simulation.ledger.since()
    assert call.parameters == Parameters("minimal", True, {"hate_speech": "block_low_and_above"}, "Flat colours only.")
    assert result.answer.usage is not None
    assert (result.answer.usage.thought, result.answer.usage.grounding_searches) == (
        call.usage.thoughts, call.usage.searches,
    )  # fmt: skip
    assert call.usage.searches >= 2


async def test_one_failed_item_is_a_failure_of_its_own_kind(house: House, lane: GeminiBatches) -> None:
    house.script(
        Fault(kind="refusal", prompt="bad"),
        Fault(kind="internal", prompt="ill"),
        Fault(kind="rejected", prompt="wrong"),
        Fault(kind="no_image", prompt="mute", form="text_only"),
        Fault(kind="refusal", prompt="blocked", form="prompt_blocked", code="safety"),
        Fault(kind="corrupt_image", prompt="torn"),
        Fault(kind="quota", prompt="busy"),
    )
    progress = await ended(house, lane, "bad", "ill", "wrong", "mute", "blocked", "torn", "busy", "good")
    kinds = [
        result.answer.kind if isinstance(result.answer, Failure) else "made" for result in await read(lane, progress)
    ]
    assert kinds == [
        FailureKind.REFUSED, FailureKind.SERVER_ERROR, FailureKind.INVALID_REQUEST, FailureKind.NO_IMAGE,
        FailureKind.REFUSED, FailureKind.MALFORMED_ANSWER, FailureKind.QUOTA_MINUTE, "made",
    ]  # fmt: skip
    charged = [result.answer.usage is not None for result in await read(lane, progress)]
    assert charged == [True, False, False, True, True, True, False, True]


async def test_a_line_that_is_cut_is_nobodys_and_the_rest_is_read(house: House, lane: GeminiBatches) -> None:
    house.script(Fault(kind="malformed", prompt="torn"))
    results = await read(lane, await ended(house, lane, "torn", "good"))
    assert [result.key for result in results] == ["", "r-1/1"]
    assert isinstance(results[0].answer, Failure)
    assert results[0].answer.kind is FailureKind.MALFORMED_ANSWER


async def test_a_file_of_countless_lines_is_not_read_to_its_end() -> None:
    real = json.dumps({"key": "r-1/1", "error": {"code": 3, "message": "bad"}}).encode()
    async with scripted(Reply(real + b"\n" + b"1\n" * 1_000_000)) as google:
        lane = GeminiBatches("AQ.test", google.url)
        results = [result async for result in await lane.results("files/x", PRO, PROMPTS)]
        await lane.close()
    assert results[0].key == "r-1/1"
    assert len(results) == LINES_EACH * len(PROMPTS) + SPARE_LINES


async def test_repeated_missing_and_strange_keys_come_as_they_are(house: House, lane: GeminiBatches) -> None:
    house.script(
        Fault(kind="missing_key", prompt="gone"),
        Fault(kind="duplicate_key", prompt="many", copies=3),
        Fault(kind="strange_key", prompt="odd"),
    )
    results = await read(lane, await ended(house, lane, "gone", "many", "odd"))
    assert [result.key for result in results] == ["r-1/1"] * 3 + ["r-2/1-strange"]


async def test_the_states_of_a_batch_are_read_from_the_raw_answer(house: House, lane: GeminiBatches) -> None:
    name = await begun(lane, "a")
    assert await lane.look(name) == Progress("pending")
    house.clock.advance(10)
    assert await lane.look(name) == Progress("running")
    await lane.cancel(name)
    cancelled = await lane.look(name)
    assert isinstance(cancelled, Progress)
    assert (cancelled.state, cancelled.results) == ("cancelled", None)
    house.script(Fault(kind="batch_failed"))
    failed = await ended(house, lane, "a")
    assert failed.state == "failed"
    assert failed.failure is not None
    assert failed.failure.kind is FailureKind.SERVER_ERROR
    house.script(Fault(kind="batch_expired"))
    name = await begun(lane, "a", name="renderlane-2")
    house.clock.advance(48 * 3600)
    assert await lane.look(name) == Progress("expired")


async def test_a_batch_that_is_not_there_is_a_404(lane: GeminiBatches) -> None:
    missing = await lane.look("batches/none")
    assert isinstance(missing, Failure)
    assert missing.http_status == 404


async def test_a_lost_reply_is_ambiguous_and_its_batch_is_found_by_name(house: House, lane: GeminiBatches) -> None:
    file = await lane.upload("mine", orders("a"))
    assert isinstance(file, str)
    since = house.clock.now() - timedelta(minutes=5)
    assert await lane.find("mine", since) is None
    house.script(Fault(kind="reset", api="batch_create", charged=True))
    lost = await lane.create("mine", PRO, file, SOON)
    assert isinstance(lost, Failure)
    assert lost.kind is FailureKind.CONNECTION_LOST
    assert lost.http_status is None
    house.script()
    for number in range(120):  # more than a page of others since
        house.clock.advance(31)
        await begun(lane, "x", name=f"other-{number}")
    (first, *_) = house.simulation.jobs
    assert await lane.find("mine", since) == first
    assert await lane.find("mine", since - timedelta(days=1)) == first
    assert await lane.find("nobodys", since) is None


async def test_a_create_that_cannot_leave_in_time_is_not_made(house: House, lane: GeminiBatches) -> None:
    file = await lane.upload("late", orders("a"))
    assert isinstance(file, str)
    late = await lane.create("late", PRO, file, timedelta(seconds=-1))
    assert isinstance(late, Failure)
    assert late.kind is FailureKind.LATE
    assert house.simulation.jobs == {}


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        (Fault(kind="quota", api="batch_create"), FailureKind.QUOTA_MINUTE, 429),
        (Fault(kind="credential", api="batch_create"), FailureKind.CREDENTIAL, 401),
        (Fault(kind="rejected", api="batch_create"), FailureKind.INVALID_REQUEST, 400),
        (Fault(kind="gone", api="batch_create"), FailureKind.MODEL_GONE, 404),
        (Fault(kind="internal", api="batch_create"), FailureKind.SERVER_ERROR, 500),
        (Fault(kind="overload", api="batch_create"), FailureKind.OVERLOAD, 503),
    ],
)
async def test_what_a_create_is_refused_for_is_named(
    house: House, lane: GeminiBatches, fault: Fault, kind: FailureKind, status: int
) -> None:
    file = await lane.upload("x", orders("a"))
    assert isinstance(file, str)
    house.script(fault)
    refused = await lane.create("x", PRO, file, SOON)
    assert isinstance(refused, Failure)
    assert (refused.kind, refused.http_status) == (kind, status)


async def test_every_other_step_fails_as_a_value_too(house: House, lane: GeminiBatches) -> None:
    progress = await ended(house, lane, "a")
    assert progress.results is not None
    for api in ("file_upload", "batch_look", "batch_list", "file_download"):
        house.script(Fault(kind="reset", api=api))
        match api:
            case "file_upload":
                answer = await lane.upload("x", orders("a"))
            case "batch_look":
                answer = await lane.look(next(iter(house.simulation.jobs)))  # type: ignore[assignment]
            case "batch_list":
                answer = await lane.find("x", NOW)  # type: ignore[assignment]
            case _:
                with pytest.raises(ResultsUnavailable) as raised:
                    await read(lane, progress)
                answer = raised.value.failure
        assert isinstance(answer, Failure), api
        assert answer.kind is FailureKind.CONNECTION_LOST


async def test_a_download_that_breaks_off_gives_what_came_before_and_says_so(house: House, lane: GeminiBatches) -> None:
    progress = await ended(house, lane, "a", "b", "c", "d")
    assert progress.results is not None
    house.script(Fault(kind="cut", api="file_download"))
    came = []

    async def note() -> None:
        assert progress.results is not None
        async for result in await lane.results(progress.results, PRO, {}):
            came.append(result.key)  # noqa: PERF401  what came before the break is the point

    with pytest.raises(ResultsUnavailable):
        await note()
    assert 1 <= len(came) < 4


async def test_an_empty_file_is_not_sent(house: House, lane: GeminiBatches) -> None:
    answer = await lane.upload("empty", orders())
    assert isinstance(answer, Failure)
    assert house.simulation.files.by_name == {}


async def test_no_server_is_no_connection() -> None:
    lane = GeminiBatches("AQ.test", "http://127.0.0.1:1")
    answer = await lane.look("batches/x")
    await lane.close()
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.CONNECTION


# -- one line ----------------------------------------------------------------------------------------------------------


async def test_a_line_is_the_documented_one() -> None:
    written = json.loads(write_line("r/1", an_order()))
    assert written["key"] == "r/1"
    assert written["request"]["generationConfig"] == {
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
    }
    plain = json.loads(write_line("r/1", an_order(image_size=None, aspect_ratio=None)))
    assert "imageConfig" not in plain["request"]["generationConfig"]


def read_one(line: dict[str, Any], prompts: Mapping[str, str] | None = None, api_key: str = "") -> Result:
    """As the lane reads a line whose picture does not lie elsewhere."""
    parsed = read_line(json.dumps(line).encode(), PRO, NOW)
    assert not isinstance(parsed.read, Elsewhere)
    return result_of(parsed.key, parsed.read, (prompts or {}).get(parsed.key, ""), api_key)


async def test_a_quoted_prompt_or_key_is_taken_out_of_an_items_error() -> None:
    line = {"key": "k", "error": {"code": 3, "message": "the prompt 'a very secret red lighthouse' with AQ.test"}}
    result = read_one(line, {"k": "a very secret red lighthouse"}, "AQ.test")
    assert isinstance(result.answer, Failure)
    assert "secret" not in result.answer.message
    assert "AQ.test" not in result.answer.message


@pytest.mark.parametrize(
    "error",
    [
        {"code": 3, "message": "m", "details": [{"@type": "x", "fieldViolations": [{"field": "a"}]}]},
        {"code": 3, "message": "m", "details": {"odd": "shape"}},
        {"code": "3", "status": "INVALID_ARGUMENT"},
        "a plain word",
        [],
    ],
)
async def test_an_error_of_any_shape_is_a_failure_and_spoils_no_other_line(error: Any) -> None:
    result = read_one({"key": "k", "error": error})
    assert result.key == "k"
    assert isinstance(result.answer, Failure)


async def test_a_picture_that_the_model_thought_with_is_not_the_answer(house: House, lane: GeminiBatches) -> None:
    results = await read(lane, await ended(house, lane, "a"))
    assert isinstance(results[0].answer, Made)

    image = {
        "inlineData": {"mimeType": "image/jpeg", "data": base64.b64encode(results[0].answer.picture.data).decode()}
    }
    draft = {"inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}, "thought": True}
    response = {"candidates": [{"content": {"parts": [image, draft]}, "finishReason": "STOP"}]}
    result = read_one({"key": "k", "response": response})
    assert isinstance(result.answer, Made)
    assert result.answer.usage is None


# -- answers in the batch itself, and batches of other shapes ----------------------------------------------------------


def an_inlined(key: str | None, size: int) -> dict[str, Any]:
    part = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(a_png(size, 4)).decode()}}
    answer = {"response": {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}}
    return answer | ({"metadata": {"key": key}} if key is not None else {})


def an_ended(output: dict[str, Any], place: str = "response") -> dict[str, Any]:
    metadata = {"state": "BATCH_STATE_SUCCEEDED", "batchStats": None, "displayName": 7}
    if place == "metadata":
        return {"name": "batches/x", "done": True, "metadata": metadata | {"output": output}}
    return {"name": "batches/x", "done": True, "metadata": metadata, place: output}


PROMPTS = {"r-1/1": "a", "r-2/1": "b"}
KEYED = [an_inlined("r-2/1", 8), an_inlined("r-1/1", 16)]
BARE = [an_inlined(None, 16), an_inlined(None, 8)]


@pytest.mark.parametrize(
    "batch",
    [
        an_ended({"inlinedResponses": {"inlinedResponses": KEYED}}),
        an_ended({"inlinedResponses": KEYED}),
        an_ended({"inlinedResponses": {"inlinedResponses": KEYED}}, "metadata"),
        an_ended({"inlined_responses": {"inlined_responses": KEYED}}, "dest"),
        an_ended({"inlinedResponses": {"inlinedResponses": BARE}}),
        an_ended({"responsesFile": None, "inlinedResponses": BARE}, "output"),
    ],
)
async def test_answers_in_the_batch_itself_are_read_by_key_else_in_order(batch: dict[str, Any]) -> None:
    """https://github.com/maximhq/bifrost/issues/3951"""
    async with scripted(Reply(batch)) as google:
        lane = GeminiBatches("AQ.test", google.url)
        progress = await lane.look("batches/x")
        assert isinstance(progress, Progress), progress
        assert (progress.state, progress.results) == ("succeeded", "batches/x")
        results = [result async for result in await lane.results("batches/x", PRO, PROMPTS)]
        await lane.close()
    widths = {result.key: result.answer.picture.width for result in results if isinstance(result.answer, Made)}
    assert widths == {"r-1/1": 16, "r-2/1": 8}


async def test_an_error_among_inlined_answers_is_that_requests_own() -> None:
    failed = {"metadata": {"key": "r-1/1"}, "error": {"code": 3, "message": "bad"}}
    async with scripted(Reply(an_ended({"inlinedResponses": {"inlinedResponses": [failed, KEYED[0]]}}))) as google:
        lane = GeminiBatches("AQ.test", google.url)
        results = [result async for result in await lane.results("batches/x", PRO, PROMPTS)]
        await lane.close()
    kinds = {result.key: result.answer.kind for result in results if isinstance(result.answer, Failure)}
    assert kinds == {"r-1/1": FailureKind.INVALID_REQUEST}


@pytest.mark.parametrize("answers", [None, [], ["r-1/1", "r-1/1", None]])
async def test_inlined_answers_that_are_gone_or_nobodys_are_given_to_nobody(answers: list[str | None] | None) -> None:
    listed = None if answers is None else [an_inlined(key, 8) for key in answers]
    async with scripted(Reply(an_ended({"inlinedResponses": listed}))) as google:
        lane = GeminiBatches("AQ.test", google.url)
        if not answers:
            with pytest.raises(ResultsUnavailable):
                _ = [result async for result in await lane.results("batches/x", PRO, PROMPTS)]
        else:
            keys = [result.key async for result in await lane.results("batches/x", PRO, PROMPTS)]
            assert keys == ["r-1/1", "r-1/1", ""]
        await lane.close()


async def test_a_picture_of_a_batch_that_lies_at_an_address_is_fetched() -> None:
    part = {
        "fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/p", "mimeType": "image/png"}
    }
    inlined = {"response": {"candidates": [{"content": {"parts": [part]}}]}, "metadata": {"key": "r-1/1"}}
    batch = Reply(an_ended({"inlinedResponses": [inlined]}))
    async with scripted(batch, Reply(a_png(16, 4), headers={})) as google:
        lane = GeminiBatches("AQ.test", google.url)
        (result,) = [item async for item in await lane.results("batches/x", PRO, PROMPTS)]
        await lane.close()
        assert google.posts[1].path == "/v1beta/files/p:download?alt=media"
    assert isinstance(result.answer, Made)
