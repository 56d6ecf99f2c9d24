"""A real browser on a page of another origin tries to publish by fetch and by form; nothing arrives."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.bench.harness import rig
from tests.console.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DATA = base64.b64encode(json.dumps({"request_id": "stolen", "prompt": "a lighthouse"}).encode()).decode()
PAGE = """<!doctype html><title>evil</title>
<form id="form" method="post" enctype="text/plain" target="out">
<input name='{"messages":[{"data":"DATA","x":"' value='"}]}'></form><iframe name="out"></iframe>""".replace(
    "DATA", DATA
)
FETCH = """async ([url, type]) => {
  const body = JSON.stringify({messages: [{data: "DATA"}]});
  try {
    const answer = await fetch(url, {method: "POST", mode: type === "cors" ? "cors" : "no-cors",
      headers: type === "cors" ? {"content-type": "application/json"} : {},
      body: type === "untyped" ? new Blob([body]) : body});
    return answer.type;
  } catch (error) { return "failed"; }
}""".replace("DATA", DATA)


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def evil() -> Iterator[str]:
    """The address of a page that is not ours."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_page_of_another_origin_cannot_publish(evil: str, tmp_path: Path) -> None:
    environment = {"RENDERLANE_HOME": str(tmp_path)}
    with (
        rig.command("up", "--port", "0", "--latency", "fixed:0.05", environment=environment) as up,
        chromium.started() as browser,
    ):
        address = f"{up.url}/v1/projects/local/topics/render-requests:publish"
        page = browser.new_context().new_page()
        page.goto(evil)
        for kind in ("plain", "untyped", "cors"):
            page.evaluate(FETCH, [address, kind])
        with page.expect_response(address) as answered:
            page.evaluate("(url) => { const f = document.forms.form; f.action = url; f.submit(); }", address)
        assert answered.value.status in (403, 415)
        texts = [path.read_text("utf-8") for path in tmp_path.glob("*.jsonl")]
    assert texts
    assert "stolen" not in "".join(texts)
