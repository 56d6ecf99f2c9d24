"""A picture that was paid for and lies at an address: fetched again, from where one may lie, and never bought twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from starlette.responses import Response

from shared.adapters.gateway.openai_lane import OpenAiLane
from shared.adapters.gemini import paid_images
from shared.adapters.gemini.interactions_lane import GeminiLane
from shared.adapters.gemini.paid_images import PaidImages, Resolve
from shared.adapters.payloads.answer_image import Elsewhere, Served, malformed
from shared.core.provider.call import Answer, Made, Order
from shared.core.provider.failure import Failure, FailureKind
from tests.adapters.gemini.test_interactions_lane import an_order
from tests.adapters.object_storage.test_references import Web, certificate, web
from tests.fakes.scripted_gemini import Reply, ScriptedGemini, a_png, interaction, output, scripted
from tests.fakes.slots import at_once, too_late

__all__ = ["certificate", "web"]

KEY = "AQ.test-key-of-nobody-0123456789"
SOON = timedelta(seconds=20)
PNG = a_png(16, 9)
PICTURE = Reply(PNG, headers={"content-type": "image/png"})
SERVED = Served(None, "gemini-3-pro-image", "gateway", "c1")
K = FailureKind


class Waits:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def elsewhere(*addresses: str, otherwise: Answer | None = None) -> Elsewhere:
    return Elsewhere(addresses, SERVED, "", otherwise or malformed("nothing"))


def resolving(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


async def fetched(url: str, *addresses: str, **options: Any) -> tuple[Answer, Waits]:
    waits = Waits()
    return await PaidImages(url, sleep=waits, **options).fetched(elsewhere(*addresses)), waits


def missing(answer: Answer) -> Failure:
    assert isinstance(answer, Failure), answer
    assert (answer.kind, answer.http_status, answer.provider_request_id) == (K.MALFORMED_ANSWER, 200, "c1")
    return answer


NOT_YET = {
    **{f"HTTP {status}": Reply(b"no", status) for status in (400, 403, 404, 408, 425, 429, 500, 503)},
    "cut": Reply(PNG, cut_at=40),
    "silence": Reply(silent=True),
    "half a picture": Reply(PNG[:50]),
    "a page": Reply("<html>not yet</html>"),
}


@pytest.mark.parametrize("reply", NOT_YET.values(), ids=NOT_YET.keys())
async def test_what_is_not_there_yet_is_asked_for_again(reply: Reply) -> None:
    async with scripted(reply, reply, PICTURE) as cdn:
        answer, waits = await fetched(cdn.url, f"{cdn.url}/a.png")
    assert isinstance(answer, Made), answer
    assert answer.picture.data == PNG
    assert (answer.model, answer.lane, answer.provider_request_id) == ("gemini-3-pro-image", "gateway", "c1")
    assert waits.seconds == [1, 2], "growing"


async def test_what_never_comes_fails_with_its_address_and_without_its_signature_in_words() -> None:
    async with scripted(Reply(b"", 404)) as cdn:
        address = f"{cdn.url}/a.png?signature=abc"
        answer, waits = await fetched(cdn.url, address)
        assert len(cdn.posts) == len(waits.seconds) + 1 == 6
    failure = missing(answer)
    assert failure.address == address
    assert "HTTP 404" in failure.message
    assert "signature" not in failure.message


async def test_a_redirect_is_followed_and_not_without_end() -> None:
    async with scripted(Reply(b"", 302, {"location": "/b.png"}), PICTURE) as cdn:
        answer, _ = await fetched(cdn.url, "/a.png")
        assert isinstance(answer, Made)
        assert [get.path for get in cdn.posts] == ["/a.png", "/b.png"]
    async with scripted(Reply(b"", 302, {"location": "/a.png"})) as cdn:
        answer, _ = await fetched(cdn.url, "/a.png")
        assert "redirects" in missing(answer).message


async def test_a_redirect_to_a_place_that_is_not_allowed_is_not_followed() -> None:
    async with scripted(PICTURE) as inside:
        for location in (inside.url, inside.url.replace("http", "https")):
            async with scripted(Reply(b"", 307, {"location": f"{location}/admin.png"})) as cdn:
                answer, waits = await fetched(cdn.url, "/a.png")
            assert waits.seconds == [], "nothing will change"
            missing(answer)
        assert inside.posts == []


@pytest.mark.parametrize(
    "address",
    ["http://example.com/a.png", "ftp://example.com/a.png", "gs://bucket/a.png", "file:///etc/passwd", "https:///a",
     "http://127.0.0.1:9/a.png", "https://[::1/a.png", "https://example.com:99999/a.png", "javascript:alert(1)"],
)  # fmt: skip
async def test_an_address_that_is_neither_https_nor_the_providers_own_is_refused(address: str) -> None:
    answer, _ = await fetched("https://gateway.example", address, resolve=resolving())
    missing(answer)


@pytest.mark.parametrize(
    "private",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "fd00::1",
     "fe80::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
)  # fmt: skip
async def test_a_private_address_behind_any_name_is_refused(private: str) -> None:
    for host in ("localhost", "internal.example", "127.0.0.1"):
        answer, waits = await fetched("https://gateway.example", f"https://{host}/a.png", resolve=resolving(private))
        assert "private" in missing(answer).message
        assert waits.seconds == []
    answer, _ = await fetched("https://gateway.example", "https://x/a.png", resolve=resolving("8.8.8.8", private))
    assert "private" in missing(answer).message, "one of two is enough"


async def test_only_the_hosts_of_the_gateways_row_are_called_where_it_names_any() -> None:
    for address in ("https://cdn.example.evil/a.png", "https://evilcdn.example/a.png"):
        answer, waits = await fetched("https://g.example", address, hosts=["cdn.example"], resolve=resolving("8.8.8.8"))
        assert "image_hosts" in missing(answer).message
        assert waits.seconds == []


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host is looked up once; its name stands in the certificate and in the Host header."""
    monkeypatch.setattr(paid_images, "is_public", lambda _: True)
    web.answers = [Response(PNG)]
    looked_up = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    paid = PaidImages("https://gateway.example", tls=web.trusted, resolve=resolve, headers={"x-goog-api-key": KEY})
    answer = await paid.fetched(elsewhere(f"{web.url}/a.png"))
    assert isinstance(answer, Made), answer
    assert looked_up == ["localhost"]
    (request,) = web.requests
    assert "x-goog-api-key" not in request.headers, "the key goes to the provider alone"


async def test_the_second_address_is_tried_too_and_what_else_the_answer_holds_is_the_last_resort() -> None:
    async with scripted(Reply(b"", 404), PICTURE) as cdn:
        answer, waits = await fetched(cdn.url, "/a.png", "/b.png")
        assert isinstance(answer, Made)
        assert waits.seconds == []
    async with scripted(Reply(b"", 404)) as cdn:
        thought = Made(answer.picture, None, "m", "gateway", "c1", remark="thought_image")
        paid = PaidImages(cdn.url, sleep=Waits())
        assert await paid.fetched(elsewhere("/a.png", otherwise=thought)) is thought


async def test_all_tries_together_have_their_time() -> None:
    async with scripted(Reply(PNG, stall_at=10)) as cdn:
        image = elsewhere(f"{cdn.url}/a.png")
        answer = await PaidImages(cdn.url, sleep=Waits()).fetched(image, within=timedelta(seconds=0.2))
    assert missing(answer).address == f"{cdn.url}/a.png"


# -- through the lanes -------------------------------------------------------------------------------------------------


def images_lane(server: ScriptedGemini) -> OpenAiLane:
    return OpenAiLane(KEY, server.url, "images", paid=PaidImages(server.url, sleep=Waits()))


async def test_a_picture_that_comes_late_is_bought_once() -> None:
    answered = Reply({"data": [{"url": "/cdn/a.png"}]})
    async with scripted(answered, Reply(b"", 503), Reply(b"", 404), PICTURE) as gateway:
        lane = images_lane(gateway)
        answer = await lane.generate(an_order(lane="gateway"), SOON, at_once)
        await lane.close()
        assert [post.path for post in gateway.posts] == ["/v1/images/generations", *["/cdn/a.png"] * 3]
        assert all("authorization" not in get.headers for get in gateway.posts[1:])
    assert isinstance(answer, Made), answer


async def test_a_file_of_googles_is_fetched_with_the_key_at_the_configured_api() -> None:
    uri = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    body = interaction(output({"type": "image", "mime_type": "image/png", "uri": uri}))
    async with scripted(Reply(body), PICTURE) as api:
        lane = GeminiLane(KEY, api.url)
        answer = await lane.generate(an_order(), SOON, at_once)
        await lane.close()
        get = api.posts[1]
        assert get.path == "/v1beta/files/abc:download?alt=media"
        assert get.headers["x-goog-api-key"] == KEY
    assert isinstance(answer, Made), answer
    assert answer.usage is not None, "it is metered as any other"


async def paid_before(server: ScriptedGemini, order: Order) -> Answer:
    lane = images_lane(server)
    answer = await lane.generate(order, SOON, too_late)
    await lane.close()
    return answer


async def test_before_another_one_is_bought_the_old_address_is_looked_at_once() -> None:
    async with scripted(PICTURE) as gateway:
        order = an_order(lane="gateway", paid_at=f"{gateway.url}/old.png")
        answer = await paid_before(gateway, order)
        assert isinstance(answer, Made), answer
        assert answer.paid_before
        assert [get.path for get in gateway.posts] == ["/old.png"], "nothing is bought"
    async with scripted(Reply(b"", 404)) as gateway:
        answer = await paid_before(gateway, an_order(lane="gateway", paid_at=f"{gateway.url}/old.png"))
        assert isinstance(answer, Failure)
        assert answer.kind is K.LATE, "it went on to buy, and the slot had passed"
        assert len(gateway.posts) == 1


async def test_an_address_with_the_key_in_it_is_not_kept() -> None:
    async with scripted(Reply({"data": [{"url": f"/a.png?key={KEY}"}]}), Reply(b"", 404)) as gateway:
        lane = images_lane(gateway)
        answer = await lane.generate(an_order(lane="gateway"), SOON, at_once)
        await lane.close()
    assert isinstance(answer, Failure)
    assert KEY not in repr(answer)
