"""Background calls against a server that answers byte for byte what the test says, through the unmodified SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from shared.adapters.gemini.background_calls import GeminiInteractions
from shared.adapters.gemini.interactions_lane import GeminiLane
from shared.core.provider.call import Made, Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.interaction import BackgroundRefused, Finished, Gone, InProgress, Started, Unread
from tests.fakes.scripted_gemini import Reply, ScriptedGemini, a_drawing, interaction, output, scripted
from tests.fakes.slots import at_once, too_late

KEY = "AQ.Test-key-of-nobody-0123456789"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOOK = "https://arrive.example/"
ID = "v1_ChdpbnRlcmFjdGlvbg=="
pytestmark = pytest.mark.asyncio(loop_scope="module")


def an_order(**fields: Any) -> Order:
    values: dict[str, Any] = {
        "request_id": "spring-hero-001", "key": "web~spring-hero-001", "attempt": 2, "model": "gemini-3-pro-image",
        "lane": "standard", "prompt": "a harbour in the background of a webhook", "image_size": "2K",
        "aspect_ratio": "16:9",
    }  # fmt: skip
    return Order(**(values | fields))


class World:
    def __init__(self, gemini: ScriptedGemini, calls: GeminiInteractions) -> None:
        self.gemini = gemini
        self.calls = calls

    async def start(self, reply: Reply, **fields: Any) -> Any:
        self.gemini.script(reply)
        return await self.calls.start(an_order(**fields), at_once)

    async def look(self, reply: Reply) -> Any:
        self.gemini.script(reply)
        looked = await self.calls.look(ID, an_order())
        assert len(self.gemini.posts) == 1, "no retry of the SDK's own"
        return looked


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with scripted() as gemini:
        lane = GeminiLane(KEY, gemini.url, now=lambda: NOW)
        yield World(gemini, GeminiInteractions(lane, webhook_url=HOOK, now=lambda: NOW))
        await lane.close()


def in_state(status: str, **fields: Any) -> Reply:
    return Reply(interaction(status=status, id=ID, steps=None, usage=None, **fields))


async def test_a_start_is_one_post_that_says_background_and_store_and_names_its_webhook(world: World) -> None:
    begun = await world.start(in_state("in_progress"))
    assert begun == Started(ID)
    (post,) = world.gemini.posts
    assert post.path.endswith("/v1/interactions")
    assert (post.body["background"], post.body["store"]) == (True, True)
    assert post.body["webhook_config"] == {
        "uris": [HOOK], "user_metadata": {"request_id": "web~spring-hero-001", "attempt": 2},
    }  # fmt: skip
    assert post.body["response_format"] == {"type": "image", "aspect_ratio": "16:9", "image_size": "2K"}


async def test_without_an_address_no_webhook_is_asked_for(world: World) -> None:
    world.gemini.script(in_state("queued"))
    calls = GeminiInteractions(world.calls._lane, now=lambda: NOW)
    assert await calls.start(an_order(), at_once) == Started(ID)
    assert "webhook_config" not in world.gemini.posts[0].body


async def test_a_start_that_is_answered_with_its_image_needs_no_collection(world: World) -> None:
    assert isinstance(await world.start(Reply(a_drawing())), Made)


async def test_a_start_that_comes_too_late_for_its_slot_is_not_made(world: World) -> None:
    world.gemini.script(in_state("in_progress"))
    begun = await world.calls.start(an_order(), too_late)
    assert isinstance(begun, Failure)
    assert begun.kind is FailureKind.LATE
    assert world.gemini.posts == []


@pytest.mark.parametrize(
    "message",
    [
        "Parameter 'background' is not supported for model gemini-3-pro-image.",
        "background interactions are only available for agents",
        "webhook_config is not allowed here",
    ],
)
async def test_a_400_that_speaks_of_background_calls_refuses_them(world: World, message: str) -> None:
    error = {"error": {"code": "invalid_request", "message": message}}
    begun = await world.start(Reply(error, status=400))
    assert isinstance(begun, BackgroundRefused)
    assert begun.failure.http_status == 400


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, 'Invalid prompt: "a harbour in the background of a webhook"', FailureKind.INVALID_REQUEST),
        (400, "Invalid prompt: a harbour in the background of a webhook", FailureKind.INVALID_REQUEST),
        (400, "Cannot use: in the background of", FailureKind.INVALID_REQUEST),
        (400, "aspect_ratio is not supported", FailureKind.INVALID_REQUEST),
        (503, "background workers are busy", FailureKind.OVERLOAD),
    ],
)
async def test_what_only_quotes_the_prompt_or_is_no_400_refuses_the_call_alone(
    world: World, status: int, message: str, kind: FailureKind
) -> None:
    code = "invalid_request" if status == 400 else "service_unavailable"
    begun = await world.start(Reply({"error": {"code": code, "message": message}}, status=status))
    assert isinstance(begun, Failure)
    assert begun.kind is kind


async def test_a_start_without_an_id_cannot_be_found_again_and_may_have_been_paid(world: World) -> None:
    begun = await world.start(Reply(interaction(status="in_progress", id="../x", steps=None)))
    assert isinstance(begun, Failure)
    assert begun.kind is FailureKind.MALFORMED_ANSWER
    assert begun.ambiguous


@pytest.mark.parametrize("status", ["in_progress", "queued", "idle", "a_word_of_tomorrow"])
async def test_an_interaction_that_has_not_ended_is_in_progress(world: World, status: str) -> None:
    assert await world.look(in_state(status)) == InProgress(status)
    assert world.gemini.posts[0].path.partition("?")[0].endswith(f"/v1/interactions/{ID.replace('=', '%3D')}") or (
        world.gemini.posts[0].path.partition("?")[0].endswith(f"/v1/interactions/{ID}")
    )


async def test_a_completed_interaction_is_read_like_an_answer_in_the_foreground(world: World) -> None:
    looked = await world.look(Reply(a_drawing(id=ID)))
    assert isinstance(looked, Finished)
    assert isinstance(looked.answer, Made)
    assert looked.answer.usage is not None
    assert looked.answer.provider_request_id == ID
    assert looked.ended_at == datetime(2026, 11, 22, 12, 0, 8, tzinfo=UTC)


async def test_a_picture_by_its_address_is_fetched(world: World) -> None:
    from tests.fakes.scripted_gemini import a_png

    picture = {"type": "image", "mime_type": "image/png", "uri": "files/abc"}
    body = interaction(output(picture), id=ID)
    world.gemini.script(Reply(body), Reply(a_png(), headers={"content-type": "image/png"}))
    looked = await world.calls.look(ID, an_order())
    assert isinstance(looked, Finished)
    assert isinstance(looked.answer, Made)
    assert (looked.answer.picture.width, looked.answer.picture.height) == (8, 4)


@pytest.mark.parametrize(
    ("status", "errors", "kind"),
    [
        ("failed", [{"code": "image_safety", "message": "blocked"}], FailureKind.REFUSED),
        ("failed", [{"code": "service_unavailable", "message": "overloaded"}], FailureKind.OVERLOAD),
        ("failed", None, FailureKind.NO_IMAGE),
        ("cancelled", None, FailureKind.NO_IMAGE),
        ("requires_action", None, FailureKind.NO_IMAGE),
        ("incomplete", None, FailureKind.NO_IMAGE),
        ("budget_exceeded", None, FailureKind.NO_IMAGE),
        ("completed", None, FailureKind.NO_IMAGE),
    ],
)
async def test_an_interaction_that_ended_without_an_image_is_the_failure_that_it_is(
    world: World, status: str, errors: Any, kind: FailureKind
) -> None:
    looked = await world.look(Reply(interaction(status=status, id=ID, steps=[], errors=errors)))
    assert isinstance(looked, Finished)
    assert isinstance(looked.answer, Failure)
    assert looked.answer.kind is kind
    assert looked.answer.usage is not None, "what it reports is booked"


async def test_a_404_is_an_interaction_that_is_gone_and_a_page_says_nothing(world: World) -> None:
    error = {"error": {"code": "not_found", "message": f"Interaction {ID} not found."}}
    assert await world.look(Reply(error, status=404)) == Gone()
    page = Reply(b"<html>not here</html>", status=404, headers={"content-type": "text/html"})
    assert isinstance(await world.look(page), Unread)


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error": {"code": "service_unavailable", "message": "busy"}}, status=503),
        Reply({"error": {"code": "authentication", "message": "no"}}, status=401),
        Reply({"error": {"code": "rate_limit_exceeded", "message": "slowly"}}, status=429),
        Reply(b"{}"),
        Reply(b"<html>"),
        Reply(a_drawing(), cut_at=200),
        Reply(silent=True),
    ],
)
async def test_a_look_that_fails_says_nothing_of_the_interaction(world: World, reply: Reply) -> None:
    looked = await world.look(reply)
    assert isinstance(looked, Unread)
    assert KEY not in repr(looked)


@pytest.mark.parametrize(("status", "done"), [(200, True), (400, True), (404, True), (503, False), (401, False)])
async def test_what_has_ended_cannot_be_cancelled_and_needs_not_to_be(world: World, status: int, done: bool) -> None:
    body = interaction(status="cancelled", id=ID) if status == 200 else {"error": {"code": "x", "message": "no"}}
    world.gemini.script(Reply(body, status=status))
    failure = await world.calls.cancel(ID)
    assert (failure is None) == done
    assert world.gemini.posts[0].path.endswith("/cancel")


@pytest.mark.parametrize(("status", "done"), [(200, True), (204, True), (404, True), (503, False), (403, False)])
async def test_what_is_gone_is_deleted(world: World, status: int, done: bool) -> None:
    data = b"" if status == 204 else b"{}" if status == 200 else {"error": {"code": "x", "message": "no"}}
    world.gemini.script(Reply(data, status=status))
    failure = await world.calls.delete(ID)
    assert (failure is None) == done
    assert len(world.gemini.posts) == 1
