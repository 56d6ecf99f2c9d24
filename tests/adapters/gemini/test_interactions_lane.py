"""The Gemini lane against a server that answers byte for byte what the test says, through the unmodified SDK."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.gemini.http_call import Call
from shared.adapters.gemini.interactions_lane import GeminiLane
from shared.core.provider.call import Made, Order, Reference
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage
from shared.ports.lanes import AtSlot
from tests.adapters.gemini_errors.test_errors import NO_IMAGE_CODES, ROWS, Row, words
from tests.fakes.scripted_gemini import (
    JSON,
    USAGE,
    Reply,
    ScriptedGemini,
    a_drawing,
    a_png,
    image_part,
    interaction,
    output,
    scripted,
)
from tests.fakes.slots import at_once, too_late

KEY = "AIzaSyTest-key-of-nobody-0123456789"
PROMPT = 'A "quiet" harbour at dawn,\n oil on canvas – très calme'
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOON = timedelta(seconds=5)
TEXT = {"type": "text", "text": "I would rather not."}
K = FailureKind
pytestmark = pytest.mark.asyncio(loop_scope="module")


def an_order(**fields: Any) -> Order:
    values: dict[str, Any] = {
        "request_id": "spring-hero-001",
        "model": "gemini-3-pro-image",
        "lane": "standard",
        "prompt": PROMPT,
        "image_size": "2K",
        "aspect_ratio": "16:9",
    }
    return Order(**(values | fields))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[tuple[ScriptedGemini, GeminiLane]]:
    """One server and one lane for all tests of the module: a client costs 50 ms to make."""
    async with scripted() as gemini:
        lane = GeminiLane(KEY, gemini.url, now=lambda: NOW)
        yield gemini, lane
        await lane.close()


@dataclass(frozen=True)
class World:
    gemini: ScriptedGemini
    lane: GeminiLane

    async def answer(self, *replies: Reply, order: Order | None = None, timeout: timedelta = SOON) -> Made | Failure:
        """The lane's answer, after exactly one POST."""
        self.gemini.script(*replies)
        answer = await self.lane.generate(order or an_order(), timeout, at_once)
        assert len(self.gemini.posts) == 1, answer
        return answer

    async def made(self, *replies: Reply, order: Order | None = None) -> Made:
        answer = await self.answer(*replies, order=order)
        assert isinstance(answer, Made)
        return answer

    async def failure(self, *replies: Reply, order: Order | None = None, timeout: timedelta = SOON) -> Failure:
        answer = await self.answer(*replies, order=order, timeout=timeout)
        assert isinstance(answer, Failure)
        return answer

    async def is_not_made(self, at_slot: AtSlot) -> None:
        """One call that is late."""
        self.gemini.script()
        answer = await self.lane.generate(an_order(), SOON, at_slot)
        assert isinstance(answer, Failure)
        assert answer.kind is K.LATE
        assert self.gemini.posts == []

    @property
    def posted(self) -> dict[str, Any]:
        return self.gemini.posts[0].body


@pytest.fixture(scope="module")
def world(server: tuple[ScriptedGemini, GeminiLane]) -> World:
    return World(*server)


# What is sent


async def test_an_order_becomes_the_documented_request(world: World) -> None:
    order = an_order(
        lane="flex", grounding=True, references=[Reference("image/png", b"abc")], labels=(("team", "web"),)
    )
    await world.made(Reply(a_drawing()), order=order)
    [post] = world.gemini.posts
    assert post.path == "/v1/interactions"
    assert post.headers["x-goog-api-key"] == KEY
    assert post.body == {
        "model": "gemini-3-pro-image",
        "input": [
            {
                "type": "user_input",
                "content": [
                    {"type": "text", "text": PROMPT},
                    {"type": "image", "mime_type": "image/png", "data": base64.b64encode(b"abc").decode()},
                ],
            }
        ],
        "response_format": {"type": "image", "aspect_ratio": "16:9", "image_size": "2K"},
        "labels": {"request_id": "spring-hero-001", "team": "web"},
        "service_tier": "flex",
        "tools": [{"type": "google_search"}],
        "store": False,
    }


PARAMETERS: dict[str, Any] = {
    "grounding": "image",
    "thinking": "high",
    "safety": (("image_hate", "block_only_high"), ("harassment", "off")),
    "system_instruction": "Flat colours only.",
}


async def test_each_parameter_stands_where_the_sdk_has_it(world: World) -> None:
    await world.made(Reply(a_drawing()), order=an_order(**PARAMETERS))
    assert world.posted["tools"] == [{"type": "google_search", "search_types": ["web_search", "image_search"]}]
    assert world.posted["generation_config"] == {"thinking_level": "high"}
    assert world.posted["safety_settings"] == [
        {"type": "image_hate", "threshold": "block_only_high"}, {"type": "harassment", "threshold": "off"}
    ]  # fmt: skip
    assert world.posted["system_instruction"] == "Flat colours only."


async def test_an_address_and_a_format_stand_where_the_sdk_has_them(world: World) -> None:
    reference = Reference("image/png", b"", "https://cdn.example.com/a.png?sig=s3cret")
    await world.made(Reply(a_drawing()), order=an_order(references=[reference], output_format="jpeg"))
    image = {"type": "image", "mime_type": "image/png", "uri": "https://cdn.example.com/a.png?sig=s3cret"}
    assert world.posted["input"][0]["content"][1] == image
    assert world.posted["response_format"]["mime_type"] == "image/jpeg"
    body = {"error": {"code": "invalid_request", "message": f"Cannot fetch content from {reference.uri}."}}
    failure = await world.failure(Reply(body, status=400), order=an_order(references=[reference]))
    assert failure.kind is K.INVALID_REQUEST
    assert "s3cret" not in failure.message
    assert "s3cret" not in repr(an_order(references=[reference]).references)


async def test_a_plain_order_sends_none_of_them(world: World) -> None:
    await world.made(Reply(a_drawing()))
    assert not {"tools", "generation_config", "safety_settings", "system_instruction"} & world.posted.keys()


async def test_a_system_instruction_is_cut_out_of_an_error_that_repeats_it(world: World) -> None:
    secret = "Paint everything in the zebra stripes of house Mercator."
    body = {"error": {"code": "invalid_request", "message": f"cannot follow: {secret}"}}
    failure = await world.failure(Reply(body, status=400), order=an_order(system_instruction=secret))
    assert failure.kind is K.INVALID_REQUEST
    assert "zebra" not in failure.message
    assert "Mercator" not in failure.message


async def test_what_is_not_asked_for_is_left_out(world: World) -> None:
    await world.made(Reply(a_drawing()), order=an_order(image_size=None, aspect_ratio=None))
    body = world.posted
    assert body["response_format"] == {"type": "image"}
    assert "service_tier" not in body
    assert "tools" not in body


async def test_labels_are_bent_to_what_the_api_allows(world: World) -> None:
    labels = (("Cost Center", "Ünï/" + "x" * 80), ("1st", "gone"), ("request_id", "mine"))
    await world.made(Reply(a_drawing()), order=an_order(request_id="Web.A:1", labels=labels))
    assert world.posted["labels"] == {"cost_center": "_n__" + "x" * 59, "request_id": "web_a_1"}


# What comes back


async def test_a_drawing_is_made_with_pixels_and_type_of_its_own_bytes(world: World) -> None:
    answer = await world.made(Reply(a_drawing()))
    assert answer.picture.data == a_png()
    assert (answer.picture.content_type, answer.picture.width, answer.picture.height) == ("image/png", 8, 4)
    assert (answer.model, answer.lane) == ("gemini-3-pro-image", "standard")
    assert (answer.provider_request_id, answer.http_status) == ("v1_x", 200)
    assert answer.usage == Usage(
        text_in=22, image_in=560, text_out=30, image_out=1120, thought=210, grounding_searches=3
    )


async def test_the_last_image_of_an_output_wins_over_drafts(world: World) -> None:
    draft, last = a_png(2, 2), a_png(16, 9)
    thought = {"type": "thought", "summary": [image_part(draft)], "content": "any shape"}
    body = interaction(output(image_part(draft)), output(image_part(draft), image_part(last), TEXT), thought, output())
    answer = await world.made(Reply(body))
    assert (answer.picture.width, answer.picture.height) == (16, 9)


async def test_an_incomplete_interaction_that_holds_an_image_is_paid_for_and_kept(world: World) -> None:
    await world.made(Reply(a_drawing(status="incomplete")))


async def test_the_model_and_the_tier_that_served_are_told_by_the_answer(world: World) -> None:
    body = a_drawing(model="models/gemini-nano-banana-2.1", service_tier="priority")
    answer = await world.made(Reply(body, headers=JSON | {"x-gemini-service-tier": "flex"}))
    assert (answer.model, answer.lane) == ("gemini-nano-banana-2.1", "priority")


async def test_the_tier_is_read_from_the_header_where_the_body_does_not_say(world: World) -> None:
    body = a_drawing(model=None, service_tier=None, id=None)
    headers = JSON | {"x-gemini-service-tier": "flex", "x-goog-request-id": "r-7"}
    answer = await world.made(Reply(body, headers=headers), order=an_order(lane="priority"))
    assert (answer.model, answer.lane, answer.provider_request_id) == ("gemini-3-pro-image", "flex", "r-7")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, Usage()),
        ("a lot", None),
        ({"total_output_tokens": -5}, None),
        ({"total_output_tokens": 1500}, Usage(text_out=1500)),
        ({"output_tokens_by_modality": [{"modality": "IMAGE", "tokens": 7}]}, Usage(image_out=7)),
        (USAGE | {"grounding_tool_count": None}, Usage(22, 560, 30, 1120, 210, 0)),
        (USAGE | {"grounding_tool_count": [{"type": "google_maps", "count": 2}]}, Usage(22, 560, 30, 1120, 210, 0)),
    ],
)
async def test_usage_is_counted_as_the_provider_gave_it(world: World, usage: Any, expected: Usage | None) -> None:
    answer = await world.made(Reply(a_drawing(usage=usage)))
    assert answer.usage == expected


async def test_a_compressed_answer_is_read(world: World) -> None:
    packed = gzip.compress(json.dumps(a_drawing()).encode())
    await world.made(Reply(packed, headers=JSON | {"content-encoding": "gzip"}))


async def test_a_stream_that_nobody_asked_for_is_read_through_the_sdk(world: World) -> None:
    body = f"event: interaction.complete\ndata: {json.dumps({'interaction': a_drawing()})}\n\n"
    answer = await world.made(Reply(body, headers={"content-type": "text/event-stream"}))
    assert answer.usage == Usage(22, 560, 30, 1120, 210, 3)


def failed(*codes: str) -> dict[str, Any]:
    return interaction(status="failed", errors=[{"code": code, "message": "x"} for code in codes])


def broken_step(code: str | int) -> dict[str, Any]:
    return interaction({"type": "model_output", "error": {"code": code, "message": "x"}})


def led_step(message: str) -> dict[str, Any]:
    return interaction({"type": "model_output", "error": {"code": 3, "message": message}})


@dataclass(frozen=True)
class Without:
    name: str
    body: dict[str, Any]
    kind: FailureKind
    code: str = ""


WITHOUT_IMAGE = [
    Without("failed for safety", failed("image_safety"), K.REFUSED, "image_safety"),
    Without("failed, code as a URI", failed("https://ai.google.dev/errors/spii"), K.REFUSED, "spii"),
    Without("a step's number, code in its words", led_step("IMAGE_SAFETY: no"), K.REFUSED, "image_safety"),
    Without("a step's number, a word in its words", led_step("Language: no"), K.INVALID_REQUEST, "invalid_argument"),
    Without("failed, refusal second", failed("api_error", "safety"), K.REFUSED, "safety"),
    Without("failed for no image", failed("no_image"), K.NO_IMAGE, "no_image"),
    Without("failed by the server", failed("api_error"), K.SERVER_ERROR, "api_error"),
    Without("failed by overload", failed("service_unavailable"), K.OVERLOAD, "service_unavailable"),
    Without("failed by quota", failed("quota_exceeded"), K.QUOTA_DAY, "quota_exceeded"),
    Without("failed, unheard of", failed("moon_phase"), K.NO_IMAGE, "moon_phase"),
    Without("failed without a word", interaction(status="failed", steps=None), K.NO_IMAGE, "failed"),
    Without("error of a step", broken_step("prohibited_content"), K.REFUSED, "prohibited_content"),
    Without("rpc error of a step", broken_step(14), K.OVERLOAD, "unavailable"),
    Without("text only", interaction(output(TEXT)), K.NO_IMAGE),
    Without("empty steps", interaction(steps=[]), K.NO_IMAGE),
    Without("empty content", interaction(output()), K.NO_IMAGE),
    Without("incomplete", interaction(output(TEXT), status="incomplete"), K.NO_IMAGE, "incomplete"),
    Without("max tokens", failed("MAX_TOKENS") | {"status": "incomplete"}, K.NO_IMAGE, "max_tokens"),
    Without("to be continued", interaction(status="requires_continuation", continuation_token="t"), K.NO_IMAGE,
            "requires_continuation"),
    *(Without(item, interaction(status=item), K.NO_IMAGE, item)
      for item in ("requires_action", "budget_exceeded", "cancelled")),
    *(Without(item, interaction(output(TEXT), status=item), K.MALFORMED_ANSWER)
      for item in ("queued", "in_progress", "perfect")),
    Without("content that is text", interaction({"type": "model_output", "content": "text"}), K.NO_IMAGE),
]  # fmt: skip


@pytest.mark.parametrize("row", WITHOUT_IMAGE, ids=lambda row: row.name)
async def test_a_200_without_image_is_a_failure_that_carries_its_usage(world: World, row: Without) -> None:
    failure = await world.failure(Reply(row.body))
    assert (failure.kind, failure.code, failure.http_status) == (row.kind, row.code, 200)
    assert failure.usage == Usage(22, 560, 30, 1120, 210, 3)
    assert (failure.model, failure.lane, failure.provider_request_id) == ("gemini-3-pro-image", "standard", "v1_x")


@pytest.mark.parametrize("code", NO_IMAGE_CODES)
async def test_a_no_image_code_means_the_same_in_every_form(world: World, code: str) -> None:
    for body in (failed(code), broken_step(code), interaction(output(TEXT), errors=[{"code": code}])):
        failure = await world.failure(Reply(body))
        assert (failure.kind, failure.code) == (NO_IMAGE_CODES[code], code)


MALFORMED: dict[str, Any] = {
    "empty": b"",
    "html": "<html>hello</html>",
    "another shape": {"candidates": [{"content": {"parts": []}}]},
    "a list": [],
    "null": b"null",
    "half of it": json.dumps(a_drawing()).encode()[:-20],
    "no UTF-8": b'{"status":"\xff","steps":[]}',
    "deeply nested": b'{"status":"completed","steps":' + b"[" * 100_000,
    "completed without steps": interaction(steps=None),
    "steps that are none": interaction(steps=["step"]),
    "an image that is no base64": interaction(output({"type": "image", "data": "!!!!"})),
    "an empty image": interaction(output(image_part(b""))),
    "an image that is a GIF": interaction(output(image_part(b"GIF89a\x01\x00\x01\x00", "image/png"))),
    "a PNG without size": interaction(output(image_part(b"\x89PNG\r\n\x1a\n"))),
    "a JPEG without size": interaction(output(image_part(b"\xff\xd8\xff\xe0" + bytes(200)))),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_200_of_another_shape_is_never_success(world: World, body: Any) -> None:
    failure = await world.failure(Reply(body))
    assert (failure.kind, failure.http_status) == (K.MALFORMED_ANSWER, 200)


@pytest.mark.parametrize(
    ("status", "kind"), [(204, K.MALFORMED_ANSWER), (202, K.MALFORMED_ANSWER), (302, K.CONNECTION), (307, K.CONNECTION)]
)
async def test_a_status_that_is_neither_200_nor_an_error_is_not_followed(
    world: World, status: int, kind: FailureKind
) -> None:
    failure = await world.failure(Reply(status=status, headers={"location": "http://127.0.0.1:9/elsewhere"}))
    assert (failure.kind, failure.http_status) == (kind, status)


async def test_an_error_inside_a_200_is_named_by_its_code(world: World) -> None:
    assert (await world.failure(Reply(words("quota_exceeded")))).kind is K.QUOTA_DAY
    assert (await world.failure(Reply({"error": {"code": 503, "status": "UNAVAILABLE"}}))).kind is K.OVERLOAD
    assert (await world.failure(Reply(words("moon_phase")))).kind is K.MALFORMED_ANSWER


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_a_documented_error_is_posted_once_and_keeps_its_meaning_through_the_sdk(world: World, row: Row) -> None:
    kind = "text/html" if row.data.startswith(b"<") else "application/json"
    headers = {"content-type": kind, "x-request-id": "r-1"} | row.headers
    failure = await world.failure(Reply(row.data, row.status, headers))
    assert (failure.kind, failure.code, failure.http_status) == (row.kind, row.code, row.status)
    assert (failure.quota_id, failure.quota_value) == (row.quota_id, row.quota_value)
    assert failure.retry_after == (None if row.retry_after is None else timedelta(seconds=row.retry_after))
    assert failure.provider_request_id == "r-1"


# When the connection fails


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "http://no-such-host.invalid"])
async def test_a_server_that_cannot_be_reached_was_never_asked(url: str) -> None:
    lane = GeminiLane(KEY, url.format(port=a_free_port()))
    answer = await lane.generate(an_order(), SOON, at_once)
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.http_status) == (K.CONNECTION, None)
    await lane.close()


async def test_a_server_without_tls_was_never_asked() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 no TLS here\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(plain, "127.0.0.1", 0)
    lane = GeminiLane(KEY, f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    answer = await lane.generate(an_order(), SOON, at_once)
    assert isinstance(answer, Failure)
    assert answer.kind is K.CONNECTION
    await lane.close()
    listening.close()
    await listening.wait_closed()


async def test_time_that_runs_out_while_connecting_is_no_time_out_of_the_model() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = []
        for _ in range(4):  # fill the backlog, so that a further connection is not accepted
            item = socket.socket()
            item.setblocking(False)
            item.connect_ex(("127.0.0.1", port))
            waiting.append(item)
        lane = GeminiLane(KEY, f"http://127.0.0.1:{port}")
        answer = await lane.generate(an_order(), timedelta(seconds=0.1), at_once)
        for item in waiting:
            item.close()
    assert isinstance(answer, Failure)
    assert answer.kind is K.CONNECTION
    await lane.close()


async def test_a_connection_that_breaks_before_the_answer_may_have_been_billed(world: World) -> None:
    assert (await world.failure(Reply(silent=True))).kind is K.CONNECTION_LOST


@pytest.mark.parametrize("cut_at", [0, 1, 200])
async def test_an_answer_that_is_cut_may_have_been_billed(world: World, cut_at: int) -> None:
    failure = await world.failure(Reply(a_drawing(), cut_at=cut_at))
    assert (failure.kind, failure.http_status) == (K.CONNECTION_LOST, 200)


async def test_an_error_whose_body_is_cut_or_stalls_keeps_the_meaning_of_its_status(world: World) -> None:
    assert (await world.failure(Reply(words("rate_limit_exceeded"), 429, cut_at=5))).kind is K.QUOTA_UNKNOWN
    assert (await world.failure(Reply(words("x"), 503, stall_at=5), timeout=timedelta(seconds=2))).kind is K.OVERLOAD


@pytest.mark.parametrize("stall_at", [0, 200])
async def test_the_time_out_bounds_the_whole_answer(world: World, stall_at: int) -> None:
    failure = await world.failure(Reply(a_drawing(), stall_at=stall_at), timeout=timedelta(seconds=0.1))
    assert failure.kind is K.TIMEOUT


async def test_a_body_that_drips_does_not_outlive_the_time_out() -> None:
    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)
        writer.close()

    server = await asyncio.start_server(dripping, "127.0.0.1", 0)
    lane = GeminiLane(KEY, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    answer = await lane.generate(an_order(), timedelta(seconds=0.2), at_once)
    assert isinstance(answer, Failure)
    assert answer.kind is K.TIMEOUT
    await lane.close()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.02)


async def test_a_damaged_compression_is_a_malformed_answer(world: World) -> None:
    headers = JSON | {"content-encoding": "gzip"}
    assert (await world.failure(Reply(b"no gzip at all", headers=headers))).kind is K.MALFORMED_ANSWER


async def test_a_cancelled_call_is_cancelled_and_the_lane_lives_on(world: World) -> None:
    world.gemini.script(Reply(a_drawing(), stall_at=10))
    call = asyncio.create_task(world.lane.generate(an_order(), SOON, at_once))
    await world.gemini.posted.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await world.made(Reply(a_drawing()))


# What is never written down

ENCODED = base64.b64encode(bytes(range(256)) * 4).decode()


@pytest.mark.parametrize(
    "echo",
    [
        {"error": {"code": "invalid_request", "message": f"cannot draw {PROMPT} with key {KEY} and {ENCODED}"}},
        {"error": {"code": KEY, "message": json.dumps(PROMPT) + json.dumps({"data": ENCODED, "key": KEY})}},
        {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": f"'{PROMPT[10:40]}' is not allowed"}},
        {"prompt": PROMPT, "key": KEY, "data": ENCODED},
        f"<html>{PROMPT} {KEY} {ENCODED}</html>",
        PROMPT.upper().replace("\n", " "),
    ],
)
@pytest.mark.parametrize("status", [400, 429, 500])
async def test_a_failure_never_repeats_prompt_key_or_data(world: World, echo: Any, status: int) -> None:
    headers = JSON | {"x-request-id": f"{KEY} {PROMPT[:30]!r}".encode("ascii", "ignore").decode()}
    written = repr(await world.failure(Reply(echo, status, headers))).lower()
    for secret in ("quiet", "harbour", "canvas", "calme", "test-key", ENCODED[:40].lower()):
        assert secret not in written


async def test_a_message_is_cut_to_500_characters(world: World) -> None:
    assert len((await world.failure(Reply(words("invalid_request", "no! " * 1000), 400))).message) == 500


@pytest.mark.parametrize("prompt", ["cat", "🎨", " ", "a"])
async def test_a_short_prompt_blacks_out_no_words_it_is_part_of(world: World, prompt: str) -> None:
    answer = await world.failure(
        Reply(words("invalid_request", "this category is unknown"), 400), order=an_order(prompt=prompt)
    )
    assert answer.message == "this category is unknown"


# Many calls, one client


async def test_three_hundred_calls_are_in_flight_at_once_through_one_client() -> None:
    async with scripted(Reply(a_drawing())) as gemini:
        gemini.hold = asyncio.Barrier(300)
        lane = GeminiLane(KEY, gemini.url)
        patience = timedelta(minutes=1)  # for the whole of it, on a machine with other work to do
        async with asyncio.timeout(patience.total_seconds()):
            answers = await asyncio.gather(*(lane.generate(an_order(), patience, at_once) for _ in range(300)))
        assert all(isinstance(answer, Made) for answer in answers)
        await lane.close()


async def test_a_closed_lane_opens_again() -> None:
    async with scripted(Reply(a_drawing())) as gemini:
        lane = GeminiLane(KEY, gemini.url)
        for _ in range(2):
            assert isinstance(await lane.generate(an_order(), SOON, at_once), Made)
            await lane.close()
        await lane.close()


BODIES = st.binary(max_size=200) | st.sampled_from([json.dumps(without.body).encode() for without in WITHOUT_IMAGE])
TYPES = ["application/json", "text/html", "text/event-stream", "application/json; charset=utf-7", "x/\xff"]


@given(
    reply=st.builds(
        Reply,
        body=BODIES,
        status=st.integers(200, 599),
        headers=st.fixed_dictionaries({"content-type": st.sampled_from(TYPES)}),
        cut_at=st.none() | st.integers(0, 50),
    )
)
@settings(max_examples=50, deadline=None)
async def test_whatever_a_server_sends_is_an_answer(world: World, reply: Reply) -> None:
    await world.failure(reply)


async def test_a_call_is_written_ahead_and_leaves_at_its_slot(world: World) -> None:
    world.gemini.script(Reply(a_drawing()))
    written, slot = asyncio.Event(), asyncio.Event()

    async def at_slot() -> timedelta:
        written.set()
        await slot.wait()
        return SOON

    call = asyncio.create_task(world.lane.generate(an_order(), SOON, at_slot))
    await written.wait()
    assert world.gemini.posts == []
    slot.set()
    assert isinstance(await call, Made)
    assert len(world.gemini.posts) == 1


async def test_the_time_of_a_call_runs_from_its_slot() -> None:
    call = Call(at_once, timedelta(seconds=7))
    async with call.bounded() as bound:
        now = asyncio.get_running_loop().time()
        assert (bound.when() or 0) > now + 500
        await call.reach_slot()
        assert now + 7 <= (bound.when() or 0) < now + 400


@pytest.mark.parametrize("at", ["the slot", "the headers", "the body"])
async def test_a_call_that_is_late_before_its_body_leaves_is_not_made(
    world: World, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    looks = iter(["the slot", "the headers", "the body"])
    leave = Call.leave

    def looking(call: Call) -> None:
        if next(looks) == at:
            call.leave_by = asyncio.get_running_loop().time() - 0.1
        leave(call)

    with monkeypatch.context() as patched:
        patched.setattr(Call, "leave", looking)
        await world.is_not_made(at_once)
    await world.made(Reply(a_drawing()))


async def test_a_call_that_cannot_leave_in_time_is_not_made(world: World) -> None:
    await world.is_not_made(too_late)
    await world.made(Reply(a_drawing()))
