"""Web pages: only configured origins may call, and from such a page the TypeScript client gets an image."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from functions.api.app import app
from shared.adapters.identity.cloud_run import CloudRunCallers
from shared.config import InvalidSetting, Settings
from tests.api.callers import ACCOUNTS, AUDIENCE, NOW, bearer
from tests.cli.conftest import started
from tests.console.browser import chromium

SHOP, EVIL = "https://shop.example.com", "https://evil.example"
CLOUD = {"RENDERLANE_API_AUDIENCE": AUDIENCE, "RENDERLANE_API_CALLERS": "{}"}
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,idempotency-key",
}
PAGE = """<!doctype html><title>shop</title><link rel="icon" href="data:,"><script type="module">
import { Renderlane } from "/index.js";
window.renderlane = (url) => new Renderlane({ baseUrl: url });
</script>"""
RENDER = """async (url) => {
  const client = window.renderlane(url);
  const statuses = [];
  await client.submit({ request_id: "of-a-page", prompt: "a lighthouse" });
  for await (const view of client.events("of-a-page")) statuses.push(view.status);
  const image = await client.image("of-a-page");
  const listed = [];
  for await (const view of client.list({ limit: 5 })) listed.push(view.request_id);
  return { last: statuses.at(-1), bytes: (await image.arrayBuffer()).byteLength, listed };
}"""
FETCH = """async ([url, body]) => {
  try { return (await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body })).status; }
  catch (error) { return "refused"; }
}"""


def client(*origins: str) -> httpx2.AsyncClient:
    """Of an API whose worker is never reached."""
    application = app(None, CloudRunCallers(AUDIENCE, ACCOUNTS, lambda: NOW), origins)  # type: ignore[arg-type]
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=application), base_url=AUDIENCE)


@pytest.mark.parametrize(
    ("origins", "origin", "is_let_in"), [((SHOP,), SHOP, True), ((SHOP,), EVIL, False), ((), SHOP, False)]
)
async def test_a_preflight_is_answered_for_configured_origins_only(
    origins: tuple[str, ...], origin: str, is_let_in: bool
) -> None:
    answer = await client(*origins).options("/v1/requests", headers={"origin": origin, **PREFLIGHT})
    assert (answer.headers.get("access-control-allow-origin") == origin) is is_let_in
    assert "access-control-allow-credentials" not in answer.headers


async def test_an_answer_may_be_read_by_a_configured_page_also_where_it_is_an_error() -> None:
    for account, status in ((None, 401), ("web@p.iam.gserviceaccount.com", 403)):
        headers = {"origin": SHOP} | (bearer(account) if account else {})
        answer = await client(SHOP).get("/v1/requests/r-1?tenant=other", headers=headers)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize(
    ("environment", "origins"),
    [
        ({}, "https://shop.example.com"),
        ({}, "http://evil.example:3000"),
        ({}, "*"),
        ({}, "http://localhost:3000/"),
        (CLOUD, "http://shop.example.com"),
        (CLOUD, "*"),
        (CLOUD, "null"),
    ],
)
def test_wrong_origins_are_refused_at_start(environment: dict[str, str], origins: str) -> None:
    with pytest.raises(InvalidSetting, match="RENDERLANE_API_ORIGINS"):
        Settings.read(environment | {"RENDERLANE_API_ORIGINS": origins}, Path.cwd())


def test_origins_are_read_and_none_by_default() -> None:
    local = {"RENDERLANE_API_ORIGINS": "http://localhost:3000, http://[::1]:5173"}
    assert Settings.read(local, Path.cwd()).api_origins == ("http://localhost:3000", "http://[::1]:5173")
    assert Settings.read({}, Path.cwd()).api_origins == ()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """The origin of a page that has the TypeScript client's files beside it."""
    for file in Path("shared/client-ts/src").glob("*.js"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "index.html").write_text(PAGE)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}

        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.browser
@pytest.mark.slow
def test_the_typescript_client_has_an_image_in_a_page_of_a_configured_origin_and_nothing_else_is_open(
    page: str, tmp_path: Path
) -> None:
    arguments = ("up", "--port", "0", "--latency", "fixed:0.05")
    with (
        started(tmp_path / "home", *arguments, RENDERLANE_API_ORIGINS=page) as up,
        started(tmp_path / "closed", *arguments) as closed,
        chromium.started() as browser,
    ):
        url, other = (home.first_line.split(" at ")[1].split()[0] for home in (up, closed))
        tab = browser.new_page()
        tab.goto(f"{page}/index.html")
        tab.wait_for_function("window.renderlane !== undefined")
        result = tab.evaluate(RENDER, url)
        assert (result["last"], result["listed"]) == ("succeeded", ["of-a-page"])
        assert result["bytes"] > 1_000
        publish = "/v1/projects/local/topics/render-requests:publish"
        assert tab.evaluate(FETCH, [f"{url}{publish}", '{"messages": []}']) == "refused"
        assert tab.evaluate(FETCH, [f"{url}/functions/pump", "{}"]) == "refused"
        assert tab.evaluate(FETCH, [f"{other}/v1/requests", '{"prompt": "a lighthouse"}']) == "refused"
