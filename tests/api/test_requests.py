"""The API in virtual time: what a caller gets for each call, from the first moment to the image."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from functions.api import endpoints
from shared.core.messages.topics import RENDER_REQUESTS
from shared.core.provider.failure import FailureKind
from shared.ports.images import ImagesUnavailable
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable
from shared.wiring import Worker
from tests.api.callers import client
from tests.world import World

WEB = "web@p.iam.gserviceaccount.com"
HERO = {"request_id": "hero", "prompt": "a lighthouse"}


class Api:
    """A world, and one caller of its API."""

    def __init__(self, world: World, account: str = WEB) -> None:
        self.world = world
        self.worker = Worker.of(world.ports)
        self.client = client(self.worker, account)

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} | headers
        answer: httpx2.Response = await self.world.run(self.client.post(path, content=content, headers=headers))
        return answer

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        answer: httpx2.Response = await self.world.run(self.client.get(path, headers=headers))
        return answer

    async def beside(self, path: str, seconds: float = 60) -> httpx2.Response:
        """A GET while the worker works."""
        answers: list[httpx2.Response] = []

        async def story() -> None:
            answers.append(await self.client.get(path))

        await self.world.run_for(timedelta(seconds=seconds), story())
        return answers[0]


@pytest.fixture
def api() -> Api:
    return Api(World())


def fields(answer: httpx2.Response) -> list[str]:
    return [error["field"] for error in answer.json()["errors"]]


async def test_a_request_is_found_from_the_first_moment_and_ends_with_an_image(api: Api) -> None:
    posted = await api.post("/v1/requests", HERO)
    assert posted.status_code == 202
    assert posted.headers["location"] == "https://renderlane.example.com/v1/requests/hero?tenant=web"
    assert (posted.json()["status"], posted.json()["tenant"]) == ("accepted", "web")
    early = await api.get("/v1/requests/hero")  # intake has not run
    assert (early.status_code, early.json()["status"]) == (200, "accepted")
    ended = await api.beside("/v1/requests/hero?wait=30")
    view = ended.json()
    assert (view["status"], view["attempt_count"], view["version"]) == ("succeeded", 1, 1)
    assert view["cost_usd"] == "0.034365"
    assert view["image_url"] == view["links"]["image"]
    assert view["delivered"] == {
        "model": "gemini-nano-banana-2.1", "image_size": "1K", "lane": "standard", "width": 1024, "height": 1024,
    }  # fmt: skip
    image = await api.get(view["image_url"])
    assert image.status_code == 200
    assert "prompt" not in json.dumps(view)
    assert "lighthouse" not in json.dumps(view)


async def test_it_goes_by_the_queue_as_any_message(api: Api) -> None:
    await api.post("/v1/requests", HERO, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    (delivery,) = api.world.topics.on(RENDER_REQUESTS)
    assert json.loads(delivery.data) == {"request_id": "hero", "prompt": "a lighthouse", "tenant": "web"}
    assert delivery.attributes["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert [document.id for document in api.world.store.all("requests")] == []


async def test_the_idempotency_key_is_the_request_id(api: Api) -> None:
    posted = await api.post("/v1/requests", {"prompt": "a cat"}, **{"idempotency-key": "key-1"})
    assert posted.json()["request_id"] == "key-1"
    both = await api.post("/v1/requests", HERO, **{"idempotency-key": "hero"})
    assert both.json()["request_id"] == "hero"
    other = await api.post("/v1/requests", HERO, **{"idempotency-key": "villain"})
    assert (other.status_code, fields(other)) == (422, ["Idempotency-Key"])
    quoted = await api.post("/v1/requests", {"prompt": "a cat"}, **{"idempotency-key": '"key-1"'})
    assert (quoted.status_code, quoted.json()["request_id"]) == (202, "key-1")
    for wrong in ("", "a b", "a~b", '"', '""', "k" * 129, "web/key"):
        refused = await api.post("/v1/requests", {"prompt": "a cat"}, **{"idempotency-key": wrong})
        assert (refused.status_code, fields(refused)) == (422, ["Idempotency-Key"]), wrong
    keys = [("idempotency-key", "key-1"), ("idempotency-key", "key-2")]
    two = await api.world.run(api.client.post("/v1/requests", json={"prompt": "a"}, headers=keys))
    assert (two.status_code, fields(two)) == (422, ["Idempotency-Key"])
    made_up = await api.post("/v1/requests", {"prompt": "a cat"})
    again = await api.post("/v1/requests", {"prompt": "a cat"})
    assert made_up.status_code == again.status_code == 202
    assert made_up.json()["request_id"] != again.json()["request_id"]


async def test_the_same_request_again_is_the_same_and_paid_once(api: Api) -> None:
    for _ in range(3):
        assert (await api.post("/v1/requests", HERO)).status_code == 202
    await api.world.run_until_quiet()
    again = await api.post("/v1/requests", HERO)
    assert (again.status_code, again.json()["status"]) == (202, "succeeded")
    await api.world.run_until_quiet()
    assert len(api.world.attempts("hero")) == 1
    assert len(api.world.results("hero")) > 1  # announced once more for each


@pytest.mark.parametrize("when", ["at once", "on record", "ended"])
async def test_other_content_under_the_same_id_conflicts_and_changes_nothing(api: Api, when: str) -> None:
    await api.post("/v1/requests", HERO)
    if when == "on record":
        await api.world.run_for(timedelta(milliseconds=50))
    elif when == "ended":
        await api.world.run_until_quiet()
    other = await api.post("/v1/requests", HERO | {"prompt": "a cat"})
    assert (other.status_code, fields(other)) == (409, ["request_id"])
    await api.world.run_until_quiet()
    assert api.world.status("hero")["request"]["prompt"] == "a lighthouse"
    assert api.world.store.all("rejected") == []


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "prompt"),
        ({"prompt": "a", "size": "1K"}, 422, "size"),
        ({"prompt": "a", "image_size": "1k"}, 422, "image_size"),
        ({"prompt": "a", "model": "dalle-3"}, 422, "model"),
        ({"prompt": "a", "max_cost_usd": "0.000001"}, 422, "max_cost_usd"),
        ({"prompt": "a", "references": [{"uri": "gs://elsewhere/a.png"}]}, 422, "references[0].uri"),
        ({"prompt": "a", "request_id": "a/b"}, 422, "request_id"),
        ({"cancel": "hero"}, 422, "cancel"),
        ([], 400, "the body"),
        (b"{", 400, "the body"),
        (b"", 400, "the body"),
        (b'{"prompt": "a", "prompt": "b"}', 400, "the body"),
        (json.dumps({"prompt": "a"} | {f"x{i}": 1 for i in range(30)}).encode(), 422, "the body"),
        (b'{"prompt": "' + b"a" * 300_000 + b'"}', 413, "the body"),
    ],
)
async def test_what_intake_would_reject_is_refused_before_it_is_published(
    api: Api, body: Any, status: int, field: str
) -> None:
    answer = await api.post("/v1/requests", body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in fields(answer)
    assert all(error[part] for error in answer.json()["errors"] for part in ("found", "allowed", "remedy"))
    assert api.world.topics.on(RENDER_REQUESTS) == []
    assert api.world.store.all("accepted") == []


async def test_another_type_of_body_is_refused(api: Api) -> None:
    answer = await api.post("/v1/requests", HERO, **{"content-type": "text/plain"})
    assert (answer.status_code, fields(answer)) == (415, ["content-type"])


async def test_an_unknown_request_is_not_found(api: Api) -> None:
    for path in ("/v1/requests/nobody", "/v1/requests/nobody/image", "/v1/requests/nobody/events"):
        assert (await api.get(path)).status_code == 404
    assert (await api.post("/v1/requests/nobody/cancel")).status_code == 404
    assert (await api.get("/v1/requests/a..b")).status_code == 422
    assert (await api.get("/v1/requests/web~hero")).status_code == 422
    assert (await api.get("/nowhere")).status_code == 404
    assert (await api.post("/v1/requests/nobody")).status_code == 405


async def test_a_message_that_intake_rejects_after_all_is_shown_as_rejected_and_may_be_corrected(api: Api) -> None:
    """The catalogue of intake may be newer than the API's."""
    await api.post("/v1/requests", HERO)
    api.world.topics.on(RENDER_REQUESTS)
    rejected = {
        "reason": "model: gone", "request_id": "hero", "tenant": "web", "trace_id": "t", "message_id": "m",
        "created_at": api.world.clock.now(), "expire_at": api.world.clock.now() + timedelta(days=30), "problems": [],
    }  # fmt: skip
    for subscription in ("render-requests-intake",):
        api.world.topics.take(subscription)  # it is lost to this test's worker
    from shared.core.values.documents import Create

    await api.world.run(api.world.store.commit(Create("rejected/m", rejected)))
    view = (await api.get("/v1/requests/hero")).json()
    assert (view["status"], view["outcome"]["code"]) == ("rejected", "rejected")
    corrected = await api.post("/v1/requests", HERO | {"prompt": "a cat"})
    assert (corrected.status_code, corrected.json()["status"]) == (202, "accepted")
    await api.world.run_until_quiet()
    assert api.world.status("hero")["status"] == "succeeded"


async def test_there_is_no_image_before_the_end_and_none_after_a_refusal(api: Api) -> None:
    api.world.lane.then(FailureKind.REFUSED)
    await api.post("/v1/requests", HERO)
    early = await api.get("/v1/requests/hero/image")
    assert (early.status_code, early.json()["errors"][0]["found"]) == (409, "accepted")
    await api.world.run_until_quiet()
    late = await api.get("/v1/requests/hero/image")
    assert (late.status_code, late.json()["errors"][0]["found"]) == (409, "refused")


async def test_in_the_cloud_the_image_is_a_short_lived_signed_address(api: Api) -> None:
    await api.post("/v1/requests", HERO)
    await api.world.run_until_quiet()
    lasting: list[timedelta] = []

    async def link(uri: str, lasts: timedelta) -> str:
        lasting.append(lasts)
        return f"https://storage.example.com/{uri.rpartition('/')[2]}?signature=1"

    api.world.images.link = link  # type: ignore[method-assign]
    answer = await api.get("/v1/requests/hero/image")
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("https://storage.example.com/1.")
    assert lasting == [timedelta(minutes=15)]


def statuses(stream: str) -> list[str]:
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    return [json.loads(line)["status"] for line in lines]


async def test_events_follow_a_request_to_its_end(api: Api) -> None:
    await api.post("/v1/requests", HERO)
    stream = await api.beside("/v1/requests/hero/events")
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert statuses(stream.text)[0] == "accepted"
    assert statuses(stream.text)[-2:] == ["rendering", "succeeded"]
    assert "event: status" in stream.text
    again = await api.get("/v1/requests/hero/events")
    assert statuses(again.text) == ["succeeded"]


async def test_an_event_source_that_has_the_end_is_told_to_stop(api: Api) -> None:
    """A browser connects again after each stream, until it gets 204 (HTML, server-sent events, 9.2.3)."""
    await api.post("/v1/requests", HERO)
    stream = await api.beside("/v1/requests/hero/events")
    ids = [line.removeprefix("id: ") for line in stream.text.splitlines() if line.startswith("id: ")]
    assert len(set(ids)) == len(ids)
    stopped = await api.get("/v1/requests/hero/events", **{"last-event-id": ids[-1]})
    assert (stopped.status_code, stopped.content) == (204, b"")
    for earlier in (*ids[:-1], "", "succeeded-"):
        answer = await api.get("/v1/requests/hero/events", **{"last-event-id": earlier})
        assert statuses(answer.text) == ["succeeded"], earlier


async def test_events_are_bounded_and_have_heartbeats(api: Api) -> None:
    api.world.quota = "*=rpm:1,rpd:1"
    await api.post("/v1/requests", HERO)
    api.world.topics.take("render-requests-intake")  # nobody takes it up
    stream = await api.get("/v1/requests/hero/events")
    assert statuses(stream.text) == ["accepted"]
    beats = stream.text.count(": heartbeat")
    assert (
        beats == endpoints.STREAM_LASTS.total_seconds() // 15 - 1
        or beats == endpoints.STREAM_LASTS.total_seconds() // 17
    )


async def test_a_head_of_the_events_waits_for_nothing(api: Api) -> None:
    await api.post("/v1/requests", HERO)
    before = api.world.clock.monotonic()
    answer = await api.world.run(api.client.head("/v1/requests/hero/events"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert api.world.clock.monotonic() == before


async def test_a_wait_ends_with_its_time(api: Api) -> None:
    await api.post("/v1/requests", HERO)
    api.world.topics.take("render-requests-intake")
    before = api.world.clock.monotonic()
    answer = await api.get("/v1/requests/hero?wait=7")
    assert answer.json()["status"] == "accepted"
    assert api.world.clock.monotonic() - before == pytest.approx(7)
    for seconds in ("-1", "61", "long", "nan"):
        refused = await api.get(f"/v1/requests/hero?wait={seconds}")
        assert (refused.status_code, fields(refused)) == (422, ["wait"])


async def test_a_request_that_has_not_begun_is_cancelled_and_one_that_has_ended_is_not() -> None:
    api = Api(World(quota="*=rpm:1"))
    await api.post("/v1/requests", HERO)
    answers: list[httpx2.Response] = []

    async def cancel() -> None:
        answers.append(await api.client.post("/v1/requests/hero/cancel"))

    await api.world.run_for(timedelta(seconds=5), cancel())
    (answer,) = answers
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    again = await api.post("/v1/requests/hero/cancel")
    assert (again.status_code, again.json()["errors"][0]["found"]) == (409, "cancelled")


async def test_a_cancellation_that_has_no_effect_yet_is_said_to_be_asked_for(api: Api) -> None:
    await api.post("/v1/requests", HERO)
    api.world.topics.take("render-requests-intake")
    answer = await api.post("/v1/requests/hero/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")


def cursor_of(keys: Iterable[object]) -> str:
    text = json.dumps(["2026-11-22T18:00:00+00:00", [str(key) for key in keys]])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_rejected_messages_of_the_tenant_are_listed_newest_first(api: Api) -> None:
    for number in range(5):
        message = {"request_id": f"r-{number}", "prompt": "a lighthouse", "tenant": "web", "model": "dalle-3"}
        await api.world.publish(message)
        await api.world.publish(message | {"tenant": "evil", "prompt": "secret words"})
        await api.world.run_for(timedelta(seconds=1))
    await api.world.publish({"request_id": "r-9", "prompt": "a", "tenant": ".."})
    await api.world.run_until_quiet()
    paged: list[dict[str, Any]] = []
    cursor = ""
    for _ in range(3):
        answer = (await api.get(f"/v1/requests?status=rejected&limit=2{cursor}")).json()
        paged += answer["requests"]
        cursor = f"&cursor={answer['cursor']}"
    assert answer["cursor"] is None
    assert [view["request_id"] for view in paged] == [f"r-{number}" for number in reversed(range(5))]
    assert {(view["tenant"], view["status"], view["outcome"]["code"]) for view in paged} == {
        ("web", "rejected", "rejected")
    }
    assert "model: found" in paged[0]["outcome"]["message"]
    linked = await api.get(paged[0]["links"]["self"])
    assert (linked.status_code, linked.json()) == (200, paged[0])
    assert statuses((await api.get(paged[0]["links"]["events"])).text) == ["rejected"]
    for link, call in (("image", api.get), ("cancel", api.post)):
        answer = await call(paged[0]["links"][link])
        assert (answer.status_code, answer.json()["errors"][0]["found"]) == (409, "rejected")
    corrected = await api.post("/v1/requests", HERO | {"request_id": "r-4"})
    assert (corrected.status_code, corrected.json()["status"]) == (202, "accepted")
    assert (await api.get("/v1/requests/r-4")).json()["status"] == "accepted"
    assert "lighthouse" not in json.dumps(paged)
    since = paged[1]["created_at"].replace("+", "%2B")
    assert len((await api.get(f"/v1/requests?status=rejected&since={since}")).json()["requests"]) == 2
    for name in ("model=nano-banana-2.1", "group=g"):
        refused = await api.get(f"/v1/requests?status=rejected&{name}")
        assert (refused.status_code, fields(refused)) == (422, [name.partition("=")[0]])


async def test_many_rejections_of_another_tenant_do_not_hide_ones_own(api: Api) -> None:
    await api.post("/v1/requests", HERO)
    api.world.topics.take("render-requests-intake")  # the message is lost to this test's worker
    await api.world.publish(HERO | {"tenant": "web", "model": "gone"})
    for _ in range(60):
        await api.world.publish(HERO | {"tenant": "evil", "model": "gone"})
    await api.world.run_until_quiet()
    assert (await api.get("/v1/requests/hero")).json()["status"] == "rejected"


async def test_a_list_is_paged_newest_first_and_filtered(api: Api) -> None:
    for number in range(7):
        await api.post("/v1/requests", HERO | {"request_id": f"r-{number}", "group": f"g-{number % 2}"})
        await api.world.run_for(timedelta(seconds=1))
    await api.world.run_until_quiet()
    paged: list[str] = []
    cursor = ""
    while True:
        answer = (await api.get(f"/v1/requests?limit=3{cursor}")).json()
        paged += [view["request_id"] for view in answer["requests"]]
        assert len(answer["requests"]) <= 3
        if answer["cursor"] is None:
            break
        cursor = f"&cursor={answer['cursor']}"
    assert paged == [f"r-{number}" for number in reversed(range(7))]

    async def ids(query: str) -> list[str]:
        return [view["request_id"] for view in (await api.get(f"/v1/requests?{query}")).json()["requests"]]

    assert await ids("group=g-1") == ["r-5", "r-3", "r-1"]
    assert await ids("status=succeeded&limit=2") == ["r-6", "r-5"]
    assert await ids("status=failed") == []
    assert await ids("model=nano-banana-2.1&limit=1") == ["r-6"]
    assert await ids("model=nano-banana-pro") == []
    since = api.world.status("r-5")["created_at"].isoformat()
    assert await ids(f"since={since}") == ["r-6", "r-5"]
    for query, field in (
        ("status=asleep", "status"), ("model=dalle", "model"), ("since=yesterday", "since"), ("limit=0", "limit"),
        ("cursor=nonsense", "cursor"), ("cursor=WzEsMl0", "cursor"), ("limit=1.5", "limit"), ("limit=²", "limit"),
        ("stauts=failed", "stauts"), ("status=failed&status=succeeded", "status"), ("limit=", "limit"),
        (f"cursor={cursor_of(range(1001))}", "cursor"),
    ):  # fmt: skip
        answer = await api.get(f"/v1/requests?{query}")
        assert (answer.status_code, fields(answer)) == (422, [field])


async def test_requests_of_the_same_instant_are_listed_once_each(api: Api) -> None:
    for number in range(5):
        await api.post("/v1/requests", HERO | {"request_id": f"r-{number}"})
    await api.world.run_until_quiet()
    assert len({document.data["created_at"] for document in api.world.store.all("requests")}) == 1
    paged: list[str] = []
    cursor = ""
    for _ in range(5):
        answer = (await api.get(f"/v1/requests?limit=1{cursor}")).json()
        paged += [view["request_id"] for view in answer["requests"]]
        cursor = f"&cursor={answer['cursor']}"
    assert sorted(paged) == [f"r-{number}" for number in range(5)]


async def test_an_estimate_queues_nothing(api: Api) -> None:
    answer = await api.post("/v1/estimate", {"prompt": "a cat", "purpose": "final", "floor": "exact"})
    assert answer.status_code == 200
    routes = answer.json()["routes"]
    assert [route["verdict"] for route in routes].count("chosen") == 1
    assert answer.json()["estimate_usd"] == next(r["estimate_usd"] for r in routes if r["verdict"] == "chosen")
    assert any(route["reason"] for route in routes)
    assert api.world.topics.on(RENDER_REQUESTS) == []
    assert api.world.store.all("accepted") == []
    wrong = await api.post("/v1/estimate", {"prompt": "a cat", "model": "dalle"})
    assert (wrong.status_code, fields(wrong)) == (422, ["model"])


@pytest.mark.parametrize(
    ("port", "method", "error"),
    [
        ("store", "get", StoreUnavailable("away")),
        ("store", "get_all", StoreUnavailable("away")),
        ("topics", "publish", TopicsUnavailable("away")),
    ],
)
async def test_what_is_away_answers_503_and_nothing_is_left_behind(
    api: Api, port: str, method: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(getattr(api.world, port), method, away)
        answer = await api.post("/v1/requests", HERO)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert api.world.store.all("accepted") == []
    assert (await api.post("/v1/requests", HERO | {"prompt": "corrected"})).status_code == 202


async def test_an_image_store_that_is_away_answers_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.post("/v1/requests", HERO)
    await api.world.run_until_quiet()

    async def away(_: str) -> bytes:
        raise ImagesUnavailable("away")

    monkeypatch.setattr(api.world.images, "read", away)
    assert (await api.get("/v1/requests/hero/image")).status_code == 503
