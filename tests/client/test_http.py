"""The client over HTTP: against a running home, and against a stand-in that fails in every way it may."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from renderlane import (
    ApiError,
    AsyncHttpClient,
    HttpClient,
    InvalidRequest,
    NoConnection,
    NotInTime,
    Reference,
    Request,
    View,
    http_client,
)
from renderlane.http_client import metadata_token
from scripts.bench.harness import rig
from shared.core.lifecycle.request_view import RequestView


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environment = {"RENDERLANE_HOME": str(tmp_path_factory.mktemp("home"))}
    with rig.command("up", "--port", "0", "--latency", "fixed:0.2", environment=environment) as up:
        yield up.url


def test_one_call_renders_and_another_brings_the_image(url: str) -> None:
    client = HttpClient(url)
    view = client.render(Request("hero", "a lighthouse", labels={"a": "b"}), timeout=60)
    assert (view.ok, view.tenant, view.labels, view.attempt_count) == (True, "default", {"a": "b"}, 1)
    assert view.delivered is not None
    assert client.image("hero").startswith(b"\xff\xd8")
    again = client.render(Request("hero", "a lighthouse", labels={"a": "b"}), timeout=60)
    assert again.created_at == view.created_at
    with pytest.raises(ApiError) as conflict:
        client.submit(Request("hero", "something else"))
    assert (conflict.value.status, conflict.value.problems[0].field) == (409, "request_id")


def test_each_tenant_has_its_own(url: str) -> None:
    shop = HttpClient(url, tenant="shop")
    assert shop.submit(Request("of-shop", "a cat")).tenant == "shop"
    assert shop.wait("of-shop", 60).ok
    assert [view.request_id for view in shop.requests()] == ["of-shop"]
    with pytest.raises(ApiError) as unknown:
        HttpClient(url).get("of-shop")
    assert unknown.value.status == 404
    assert HttpClient(url).get("of-shop", tenant="shop").ok


def test_events_are_each_change_and_end_with_the_end(url: str) -> None:
    client = HttpClient(url)
    client.submit(Request("followed", "a dog"))
    views = list(client.events("followed"))
    assert views[-1].ok
    assert [view.ended for view in views] == [False] * (len(views) - 1) + [True]


def test_what_is_wrong_is_named_before_or_by_the_api(url: str) -> None:
    client = HttpClient(url)
    with pytest.raises(InvalidRequest):
        client.submit(Request("a b", "x"))
    with pytest.raises(ApiError) as refused:
        client.submit(Request("ok", "x", model="dalle"))
    assert (refused.value.status, refused.value.problems[0].field) == (422, "model")
    assert client.estimate(Request("ok", "x"))["routes"]
    with pytest.raises(ApiError) as none:
        client.image("nobody")
    assert none.value.status == 404


async def test_the_same_for_asyncio(url: str) -> None:
    client = AsyncHttpClient(url)
    views = await asyncio.gather(*(client.render(Request(f"async-{n}", "a cat"), timeout=60) for n in range(4)))
    assert all(view.ok for view in views)
    assert [view.status async for view in client.events("async-0")] == ["succeeded"]
    assert await client.image("async-1")
    with pytest.raises(ApiError):
        await client.cancel("async-1")


async def test_what_one_client_can_the_other_can_too(url: str) -> None:
    def calls(client: type) -> set[str]:
        return {name for name, value in vars(client).items() if callable(value) and not name.startswith("_")}

    assert calls(HttpClient) == calls(AsyncHttpClient)
    client = AsyncHttpClient(url, tenant="async-list")
    began_at = datetime.now(UTC) - timedelta(minutes=1)
    await client.render(Request("listed", "a cat"), timeout=60)
    assert [view.request_id async for view in client.requests(status="succeeded", since=began_at)] == ["listed"]
    assert [view async for view in client.requests(since=began_at + timedelta(hours=1))] == []
    assert (await client.estimate(Request("e", "a cat")))["tenant"] == "async-list"
    with pytest.raises(InvalidRequest, match="since"):
        await anext(client.requests(since=datetime(2026, 11, 30)))  # noqa: DTZ001


def test_a_view_has_every_field_of_the_api() -> None:
    assert {field.name for field in fields(View)} == {*RequestView.__struct_fields__} - {"version"}
    sent = VIEW | {"image_expires_at": "2026-11-29T12:15:00Z", "links": {"self": "/v1/requests/a"}}
    view = View.of(sent)
    assert view.image_expires_at == datetime(2026, 11, 29, 12, 15, tzinfo=UTC)
    assert view.links["self"] == "/v1/requests/a"
    assert View.of(VIEW).links == {}


def test_an_estimate_is_for_the_clients_own_tenant(url: str) -> None:
    assert HttpClient(url, tenant="shop").estimate(Request("e", "a cat"))["tenant"] == "shop"
    assert HttpClient(url, tenant="shop").estimate(Request("e", "a cat", tenant="web"))["tenant"] == "web"


@pytest.mark.parametrize("request_id", ["", "..", "a/b", "a~b", "a b", ".a", "a" * 129, None])
def test_what_is_no_id_is_refused_without_a_call(request_id: Any) -> None:
    nowhere = HttpClient("http://127.0.0.1:1", patience=0)
    for call in (nowhere.get, nowhere.wait, nowhere.image, nowhere.cancel, lambda name: list(nowhere.events(name))):
        with pytest.raises(InvalidRequest, match="request_id: found"):
            call(request_id)


def test_a_cancellation_whose_answer_was_lost_is_no_conflict(url: str, stand_in: str) -> None:
    ended = {"status": 409, "detail": "it has ended"}
    scripted((503, {}, {"detail": "away"}), (409, {}, ended), (200, {}, VIEW | {"status": "cancelled"}))
    assert HttpClient(stand_in).cancel("a").status == "cancelled"
    scripted((409, {}, ended), (200, {}, VIEW | {"status": "succeeded"}))
    with pytest.raises(ApiError) as too_late:
        HttpClient(stand_in).cancel("a")
    assert too_late.value.status == 409


def test_an_image_store_that_refuses_is_an_api_error(stand_in: str) -> None:
    scripted((302, {"location": f"{stand_in}/signed?s=1"}, b""), (403, {}, b"<Error>expired</Error>"))
    with pytest.raises(ApiError) as refused:
        HttpClient(stand_in).image("a")
    assert (refused.value.status, refused.value.detail) == (403, "<Error>expired</Error>")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_cost_usd": 0.3}, 'found 0.3; allowed: text of 1 to 14 characters that are dollars .*Give text: "0.3".'),
        ({"max_cost_usd": "$1"}, "that are dollars above zero with at most six decimals"),
        ({"tenant": "a b"}, "letters, digits and . _ : -"),
        ({"aspect_ratio": "16x9"}, "a ratio such as 16:9"),
        ({"references": [Reference("nope.png")]}, "gs://, https:// or file:// URI"),
    ],
)
def test_what_is_allowed_is_told_in_words(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as refused:
        Request("a", "x", **wrong).to_bytes()
    assert "matches ^" not in str(refused.value)


class StandIn(BaseHTTPRequestHandler):
    """Answers what the test has scripted, and keeps what it was sent."""

    script: list[tuple[int, dict[str, str], bytes]] = []
    calls: list[tuple[str, str, dict[str, str]]] = []

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.calls.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        status, headers, body = self.script.pop(0)
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def stand_in() -> Iterator[str]:
    StandIn.script, StandIn.calls = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


VIEW = {
    "version": 1, "request_id": "a", "tenant": "web", "status": "queued", "created_at": "2026-11-29T12:00:00Z",
    "cost_usd": "0.000000", "new_field": 1, "requested": {"model": "m", "image_size": "1K", "lane": "flex", "new": 1},
}  # fmt: skip


def scripted(*answers: tuple[int, dict[str, str], Any]) -> None:
    StandIn.script = [
        (status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())
        for status, headers, body in answers
    ]


def test_what_passes_is_tried_again_and_the_rest_is_not(stand_in: str) -> None:
    scripted((503, {}, {"detail": "away"}), (429, {}, b"not JSON"), (202, {}, VIEW))
    assert HttpClient(stand_in).submit(Request("a", "x")).status == "queued"
    scripted((422, {}, {"detail": "no", "errors": [{"field": "f", "found": "1", "allowed": "2", "remedy": "3"}]}))
    with pytest.raises(ApiError, match="no") as refused:
        HttpClient(stand_in).submit(Request("a", "x"))
    assert refused.value.problems[0].remedy == "3"
    scripted((503, {}, {"detail": "away"}))
    with pytest.raises(ApiError) as away:
        HttpClient(stand_in, patience=0).get("a")
    assert away.value.status == 503


def test_the_token_goes_to_the_api_and_never_along_a_redirect(stand_in: str) -> None:
    scripted((302, {"location": f"{stand_in}/signed?s=1"}, b""), (200, {}, b"picture"))
    assert HttpClient(stand_in, token=lambda: "t-1").image("a") == b"picture"
    (_, _, api), (_, path, storage) = StandIn.calls
    assert api["authorization"] == "Bearer t-1"
    assert path == "/signed?s=1"
    assert "authorization" not in storage


def test_a_wait_has_an_end(stand_in: str) -> None:
    scripted((200, {}, VIEW))
    with pytest.raises(NotInTime, match="it continues"):
        HttpClient(stand_in).wait("a", 0)


def test_where_too_many_wait_already_it_looks_now_and_then(stand_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "POLL_EVERY", 0.0)
    full = (429, {"retry-after": "1"}, {"detail": "too many wait"})
    scripted(full, (200, {}, VIEW), full, (200, {}, VIEW | {"status": "failed"}))
    assert HttpClient(stand_in).wait("a", 60).status == "failed"
    assert ["wait=" in path for _, path, _ in StandIn.calls] == [True, False, True, False]
    scripted(full, (200, {}, VIEW), full, (200, {}, VIEW), full, (200, {}, VIEW | {"status": "failed"}))
    assert [view.status for view in HttpClient(stand_in).events("a")] == ["queued", "failed"]
    scripted((503, {}, {"detail": "away"}))
    with pytest.raises(ApiError):
        HttpClient(stand_in, patience=0).wait("a", 60)


def test_a_stream_that_breaks_off_is_opened_again(stand_in: str) -> None:
    first = f"retry: 1\n\nid: 1\nevent: status\ndata: {json.dumps(VIEW)}\n\n: heartbeat\n\n".encode()
    last = f"data: {json.dumps(VIEW)}\n\ndata: {json.dumps(VIEW | {'status': 'failed'})}\n\n".encode()
    scripted((200, {}, first), (200, {}, last))
    assert [view.status for view in HttpClient(stand_in).events("a")] == ["queued", "failed"]


def test_no_server_is_told_with_its_address() -> None:
    with pytest.raises(NoConnection, match=r"http://127\.0\.0\.1:9 did not answer"):
        HttpClient("http://127.0.0.1:9", patience=0).get("a")


def test_the_token_of_the_account_is_asked_once_for_half_an_hour(stand_in: str) -> None:
    scripted((200, {}, b"t-1"))
    token = metadata_token("https://api", server=stand_in)
    assert [token(), token()] == ["t-1", "t-1"]
    ((_, path, headers),) = StandIn.calls
    assert path.endswith("identity?audience=https%3A%2F%2Fapi&format=full")
    assert headers["metadata-flavor"] == "Google"


def test_by_http_nothing_of_google_is_loaded() -> None:
    code = "import sys, renderlane; renderlane.HttpClient(); print([m for m in sys.modules if m.startswith('google')])"
    folder = str(Path("shared/client/src").absolute())
    ran = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {folder!r}); {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.strip() == "[]"
