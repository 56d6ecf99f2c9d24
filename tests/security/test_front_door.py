"""What a web page, a proxy or a stranger tries on a `renderlane up` of a developer: nothing is published or paid."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from msgspec import Struct

from scripts.bench.harness import rig
from scripts.local.door import BODY_LIMIT_BYTES, SECRET
from scripts.local.home import WEBHOOKS
from scripts.local.publish import BODY_LIMIT_BYTES as PUBLISH_LIMIT_BYTES
from scripts.local.publish import MOST_MESSAGES
from scripts.local.upstream import Upstream

PUBLISH = "/v1/projects/local/topics/render-requests:publish"
JSON = {"content-type": "application/json"}


class Up(Struct, frozen=True):
    url: str
    environment: dict[str, str]

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    environment = {"RENDERLANE_HOME": str(tmp_path_factory.mktemp("home"))}
    with rig.command("up", "--port", "0", "--latency", "fixed:0.05", environment=environment) as process:
        yield Up(process.url, environment)


def body(request_id: str = "stolen", count: int = 1) -> bytes:
    data = base64.b64encode(json.dumps({"request_id": request_id, "prompt": "a lighthouse"}).encode()).decode()
    return json.dumps({"messages": [{"data": data}] * count}).encode()


def post(up: Up, headers: dict[str, str], content: bytes | None = None, path: str = PUBLISH) -> httpx2.Response:
    with httpx2.Client(trust_env=False, timeout=30) as client:
        return client.post(f"{up.url}{path}", content=body() if content is None else content, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "content-type": "text/plain", "sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:3000", "sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"origin": "file://"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"host": "evil.example"},
        {"host": "evil.example:8080"},
        {"host": "localhost.evil.example"},
        {"host": "127.0.0.1.nip.io"},
        {"host": "localhost@evil.example"},
        {"host": "127.0.0.1, evil.example"},
        {"host": "192.168.1.2:8080"},
        {"host": "0.0.0.0:8080"},
        {"host": ""},
        {"content-type": "text/plain"},
        {"content-type": "text/plain;application/json"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/jsonp"},
        {"content-type": ""},
        {"x-forwarded-for": "203.0.113.1"},
        {"via": "1.1 proxy"},
        {"cf-connecting-ip": "203.0.113.1"},
        {"x-forwarded-proto": "https"},
    ],
)
def test_no_page_and_no_proxy_publishes(up: Up, headers: dict[str, str]) -> None:
    answer = post(up, JSON | headers)
    assert answer.status_code in (400, 403, 415), answer.text
    if answer.headers.get("content-type") == "application/json":  # a Host that is none is refused by the server itself
        assert "allowed" in answer.json()["error"]["message"]


def test_a_preflight_allows_nothing(up: Up) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = httpx2.request("OPTIONS", f"{up.url}{PUBLISH}", headers=headers, trust_env=False)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "headers",
    [
        JSON,
        {"content-type": "application/json; charset=UTF-8"},
        {"content-type": "Application/JSON"},
        {},
        {"host": "localhost"},
        {"host": "[::1]:1234"},
        {"host": "LOCALHOST:8080"},
        {"authorization": "Bearer none", "x-goog-api-client": "gl-python/3.11", "traceparent": "00-0-0-01"} | JSON,
    ],
)
def test_programs_publish_as_before(up: Up, headers: dict[str, str]) -> None:
    answer = post(up, headers, body("mine"))
    assert answer.status_code == 200, answer.text


def test_a_page_of_the_home_itself_may_call_it(up: Up) -> None:
    answer = post(up, JSON | {"origin": up.url, "sec-fetch-site": "same-origin"}, body("mine"))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("function", ["intake", "pump", "render", "watch", "bury", "deliver", "collect", "arrive"])
@pytest.mark.parametrize("secret", [None, "", "guessed"])
def test_a_forged_push_reaches_no_function(up: Up, function: str, secret: str | None) -> None:
    push = json.dumps({"message": {"data": "e30=", "messageId": "1"}, "subscription": "s"}).encode()
    headers = JSON | ({} if secret is None else {SECRET: secret})
    answer = post(up, headers, push, f"/functions/{function}")
    assert answer.status_code == 403
    assert SECRET in answer.json()["error"]["message"]


def test_webhooks_have_a_door_of_their_own_and_only_there(up: Up) -> None:
    """A tunnel may lead to that one path: its signature is the guard, of all that proxies and pages can add."""
    for headers in (
        {},
        {"x-forwarded-for": "203.0.113.1"},
        {"origin": "https://evil.example"},
        {"host": "tunnel.example"},
    ):
        answer = post(up, JSON | headers, b"{}", WEBHOOKS)
        assert (answer.status_code, answer.content) == (401, b""), headers
    assert post(up, JSON | {"host": "tunnel.example"}, path=f"{WEBHOOKS}/../v1/projects").status_code in (403, 404)
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):  # none of them goes on to the API at "/"
        other = httpx2.request(method, f"{up.url}{WEBHOOKS}", headers={"host": "tunnel.example"}, trust_env=False)
        assert (other.status_code, other.headers["allow"]) == (405, "POST"), method


def test_a_publish_has_at_most_a_thousand_messages(up: Up) -> None:
    answer = post(up, JSON, body("mine", MOST_MESSAGES + 1))
    assert answer.status_code == 400
    assert "found 1,001; allowed: 1,000" in answer.json()["error"]["message"]


def test_a_body_is_refused_before_it_is_read(up: Up) -> None:
    """By its stated length, without one byte of it."""
    with socket.create_connection(("127.0.0.1", int(up.url.rpartition(":")[2])), timeout=10) as line:
        head = f"POST {PUBLISH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Content-Length: {BODY_LIMIT_BYTES + 1}\r\n\r\n".encode())
        assert b" 413 " in line.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("size", [PUBLISH_LIMIT_BYTES + 1, BODY_LIMIT_BYTES + 1])
def test_a_body_without_length_is_refused_while_it_comes(up: Up, size: int) -> None:
    """It is never ended: a reader that waits for its end would never return."""
    with socket.create_connection(("127.0.0.1", int(up.url.rpartition(":")[2])), timeout=20) as line:
        head = f"POST {PUBLISH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n".encode())
        answer = b""
        try:
            for _ in range(0, size, 1_000_000):
                line.sendall(b" " * min(1_000_000, size))
        except OSError:
            pass  # it hung up on us, having answered
        try:
            answer = line.recv(4096)
        except OSError:
            pass
        assert b" 200 " not in answer


async def test_nothing_of_all_that_was_published(up: Up) -> None:
    """Last in this file: the requests of the tests before it are there, the stolen ones are not."""
    client = Upstream.of(up.environment)
    try:
        names = {document["id"] for document in await client.documents(100)}
    finally:
        await client.close()
    assert "stolen" not in names


def test_the_simulators_controls_are_behind_the_same_door() -> None:
    with rig.simulator(latency="fixed:0") as simulator:
        up = Up(simulator.url, {})
        content = b'{"limits": "*=rpm:0"}'
        for wrong in (
            {"origin": "https://evil.example"},
            {"host": "evil.example"},
            {"content-type": "text/plain"},
            {"sec-fetch-site": "cross-site"},
        ):
            answer = post(up, JSON | wrong, content, "/control/limits")
            assert answer.status_code in (403, 415), wrong
        assert httpx2.get(f"{up.url}/control/state", trust_env=False).json()["limits"] == ""
        assert post(up, JSON, content, "/control/limits").json()["limits"] == "*=rpm:0"


def test_the_secret_is_in_no_file_of_the_home(up: Up) -> None:
    texts = [path.read_bytes() for path in Path(up.environment["RENDERLANE_HOME"]).rglob("*.json*")]
    assert texts
    assert not [text for text in texts if SECRET.encode() in text]


def test_the_api_is_told_by_field_what_the_door_refuses(up: Up) -> None:
    for headers, field in (
        ({"host": "evil.example"}, "host"),
        ({"origin": "https://evil.example"}, "origin"),
        ({"sec-fetch-site": "cross-site"}, "sec-fetch-site"),
        ({"content-type": "text/plain"}, "content-type"),
        ({"x-forwarded-for": "10.0.0.1"}, "x-forwarded-for"),
    ):
        answer = httpx2.post(
            f"{up.url}/v1/requests",
            content=b"{}",
            headers={"content-type": "application/json"} | headers,
            trust_env=False,
        )
        assert answer.headers["content-type"] == "application/problem+json"
        (error,) = answer.json()["errors"]
        assert error["field"] == field
        assert all(error[part] for part in ("found", "allowed", "remedy"))


def test_the_root_leads_a_browser_to_the_console(up: Up) -> None:
    answer = httpx2.get(up.url, trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/console/")
