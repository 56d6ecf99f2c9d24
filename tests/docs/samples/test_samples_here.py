"""Samples of the documentation that need one machine: run as they stand, but for addresses, ids and secrets."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from shared.core.webhooks.signature import SECRET_BYTES, headers, secret_of
from tests import nodejs
from tests.cli.conftest import renderlane, started
from tests.docs.samples.samples import ROOT, RUN, sample
from tests.local.test_webhooks import Receiver

pytestmark = pytest.mark.slow
BIN = str(Path(sys.executable).parent)
QUICK = ("up", "--port", "0", "--latency", "fixed:0.05")
VERBS = f"{Path(__file__).relative_to(ROOT)}::test_a_command_of_a_page_runs"
PLACEHOLDERS = {"ID...": "made-1", "ID": "made-1", "hero-1": "made-1"}
ENDS_LATER = ("up", "gateway prove")
"""Runs until it is stopped; asks before it pays."""
Home = tuple[Path, str]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = tmp_path_factory.mktemp("samples") / "home"
    with started(home, *QUICK, RENDERLANE_VERTEX="my-project") as up:
        address = re.search(r"http://127\.0\.0\.1:\d+", up.first_line)
        assert address, "".join(up.errors)
        yield home, address[0]


@pytest.fixture
def url(running: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of the home, which the commands of this process use too."""
    for name in [name for name in os.environ if name.startswith(("RENDERLANE_", "GEMINI_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RENDERLANE_HOME", str(running[0]))
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return running[1]


def bash(script: str) -> str:
    ended = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=180)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def python(code: str) -> str:
    """With the client on the path, as after `pip install ./shared/client`."""
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT / "shared/client/src")}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=180)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def lines() -> list[tuple[str, str]]:
    named = [(page, beginning) for page, row in RUN.items() for beginning, test in row.items() if test == VERBS]
    return [(page, command) for page, beginning in named for command in sample(page, beginning).commands()]


LINES = lines()


def test_there_are_commands_to_run() -> None:
    assert len(LINES) >= 17
    assert {page for page, _ in LINES} >= {"README.md", "docs/cli.md", "docs/operations/money.md"}


@pytest.mark.parametrize(("page", "command"), LINES, ids=[f"{page}: {command}" for page, command in LINES])
def test_a_command_of_a_page_runs(page: str, command: str, url: str) -> None:
    """Exit codes 1 and 3 tell of a request or of the world, 2 of a wrong command."""
    program, *words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
    assert program in ("renderlane", ".venv/bin/renderlane")
    verb = " ".join(words)
    renderlane("submit", "a lighthouse", "--id", "made-1", "--wait")
    if verb.startswith(ENDS_LATER):
        words = [*words, "--help"]
    ended = renderlane(*words)
    assert ended.exit_code in (0, 1, 3), ended.output
    assert ended.output.strip()


def test_the_api_is_called_with_curl(url: str, tmp_path: Path) -> None:
    first, *rest = sample("docs/http-api.md", ".venv/bin/renderlane up").commands()
    assert first == ".venv/bin/renderlane up &"
    output = bash("\n".join(rest).replace("http://127.0.0.1:8080", url))
    assert '"status": "succeeded"' in output.replace('":"', '": "')
    assert (tmp_path / "hero.jpg").read_bytes()[:3] in (b"\xff\xd8\xff", b"\x89PN")


def test_the_api_is_called_with_python(url: str) -> None:
    text = sample("docs/http-api.md", "from renderlane import").text
    assert "HttpClient()" in text
    code = text.replace("HttpClient()", f"HttpClient({url!r})") + "\nprint(view.status)"
    assert python(code).strip() == "succeeded"


def test_a_message_is_published_with_curl(url: str) -> None:
    answer = bash(sample("docs/publishing.md", "curl -s -X POST http://127").text.replace("http://127.0.0.1:8080", url))
    assert json.loads(answer)["messageIds"]
    view = httpx2.get(f"{url}/v1/requests/curl-1", params={"wait": "60"}, trust_env=False, timeout=90).json()
    assert view["status"] == "succeeded"


def test_vertex_is_used_as_the_page_says(url: str) -> None:
    assert "succeeded" in bash(sample("docs/operations/vertex.md", "RENDERLANE_VERTEX=").text)


def test_webhooks_are_set_up_and_replayed(url: str) -> None:
    receiver = Receiver()
    try:
        made = ""
        for beginning in ("renderlane tenant shop webhook add", "renderlane tenant shop webhook deliveries"):
            for command in sample("docs/result-webhooks.md", beginning).commands():
                renderlane("submit", "a lighthouse", "--id", "spring-hero-001", "--tenant", "shop", "--wait")
                words = command.replace("https://shop.example/renders", receiver.url)
                ended = renderlane(*shlex.split(re.sub(r"we_\w+", made, words))[1:])
                assert ended.exit_code == 0, ended.output
                if " add " in command:
                    made = re.findall(r"we_[0-9a-f]{16}", ended.stdout)[0]
    finally:
        receiver.close()


BODY = b'{"type": "render.succeeded", "data": {"request_id": "r-1"}}'
SECRET = secret_of(b"s" * SECRET_BYTES)


def signed() -> dict[str, str]:
    return dict(headers([SECRET], "msg_1", datetime.fromtimestamp(int(time.time()), UTC), BODY))


def test_a_webhook_is_verified_with_python() -> None:
    text = sample("docs/result-webhooks.md", "from standardwebhooks").text
    before = f"body, headers = {BODY!r}, {signed()!r}\n"
    assert python(before + text.replace("whsec_...", SECRET) + "\nprint(payload['type'])").strip() == "render.succeeded"


@pytest.mark.node
def test_a_webhook_is_verified_with_node(tmp_path: Path) -> None:
    text = sample("docs/result-webhooks.md", "import { verifyWebhook }").text.replace("whsec_...", SECRET)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/renderlane").symlink_to(ROOT / "shared/client-ts")
    before = f"const request = {{ headers: {json.dumps(signed())} }}, body = {json.dumps(BODY.decode())};\n"
    (tmp_path / "sample.mjs").write_text(before + text + "\nconsole.log(type, data.request_id);\n")
    ended = subprocess.run([nodejs.node(), "sample.mjs"], cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout.strip() == "render.succeeded r-1", ended.stderr


def test_a_static_webhook_is_registered_with_curl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AQ.any-key-will-do")
    with started(tmp_path / "home", "simulator", "--latency", "fixed:0") as simulator:
        address = re.search(r"http://127\.0\.0\.1:\d+", simulator.first_line)
        assert address
        text = sample("docs/webhooks.md", "curl -X POST").text
        answer = bash(text.replace("https://generativelanguage.googleapis.com", address[0]))
    assert json.loads(answer)["new_signing_secret"].startswith("whsec_")
