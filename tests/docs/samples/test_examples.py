"""Every example of docs/examples runs against `renderlane up`, as its README says."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests import nodejs
from tests.cli.conftest import started
from tests.emulators import firestore_host, pubsub_host

__all__ = ["firestore_host", "pubsub_host"]
EXAMPLES = Path("docs/examples").absolute()
PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF")
QUICK = ("up", "--port", "0", "--latency", "fixed:0.05")


def address(line: str) -> str:
    match = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert match, line
    return match[0]


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, uploads: Path) -> Iterator[str]:
    home = tmp_path_factory.mktemp("examples") / "home"
    with started(home, *QUICK, RENDERLANE_REFERENCES=uploads.as_uri()) as up:
        yield address(up.first_line)


def environment(url: str, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RENDERLANE_")}
    return kept | {"RENDERLANE_URL": url} | more


@pytest.mark.parametrize("prompt", ["a lighthouse", 'a "quoted" \\ lighthouse\nin two lines, é'])
def test_the_shell_script_saves_an_image(prompt: str, url: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    ended = subprocess.run([EXAMPLES / "curl.sh", prompt, image], env=environment(url), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert image.read_bytes().startswith(PICTURES)


def test_the_shell_script_says_what_is_wrong(url: str, tmp_path: Path) -> None:
    command = [str(EXAMPLES / "curl.sh"), " ", str(tmp_path / "image")]
    ended = subprocess.run(command, env=environment(url), capture_output=True, text=True)
    assert ended.returncode != 0
    assert "curl: (22)" in ended.stderr
    assert not (tmp_path / "image").exists()


def test_the_batch_renders_each_line_once_however_often_it_is_started(url: str, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "batch.py"), str(EXAMPLES / "prompts.txt"), str(tmp_path / "images")]
    first = subprocess.run(command, env=environment(url), capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    images = sorted((tmp_path / "images").iterdir())
    assert len(images) == 3
    assert all(image.read_bytes().startswith(PICTURES) for image in images)
    assert first.stdout.count("succeeded") == 3
    again = subprocess.run(command, env=environment(url), capture_output=True, text=True)
    assert again.stdout == first.stdout
    listed = httpx2.get(f"{url}/v1/requests", params={"status": "succeeded"}, trust_env=False).json()["requests"]
    batch = [view for view in listed if view["request_id"].startswith("batch-")]
    assert [view["attempt_count"] for view in batch] == [1, 1, 1]


@contextmanager
def page(url: str, uploads: Path, folder: Path) -> Iterator[str]:
    """The page's server, installed as its README says, and its address."""
    shutil.copytree(EXAMPLES / "upload-and-wait", folder / "app", ignore=shutil.ignore_patterns("node_modules"))
    package = json.loads((folder / "app/package.json").read_text("utf-8"))
    package["dependencies"]["renderlane"] = f"file:{Path('shared/client-ts').absolute()}"
    (folder / "app/package.json").write_text(json.dumps(package), "utf-8")
    install = [nodejs.npm(), "install", "--no-audit", "--no-fund", "--offline"]
    subprocess.run(install, cwd=folder / "app", check=True, capture_output=True)
    with subprocess.Popen(
        [nodejs.node(), "server.js"], cwd=folder / "app", env=environment(url, UPLOADS=str(uploads), PORT="0"),
        stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        try:
            assert server.stdout is not None
            yield address(server.stdout.readline())
        finally:
            server.terminate()


@pytest.mark.node
def test_the_page_edits_an_uploaded_photo_and_shows_each_change(url: str, uploads: Path, tmp_path: Path) -> None:
    photo = Path("scripts/samples/rocket.png").read_bytes()
    with page(url, uploads, tmp_path) as site, httpx2.Client(base_url=site, trust_env=False, timeout=60) as browser:
        assert "Edit a photo" in browser.get("/").text
        sent = browser.post(
            "/edits", params={"prompt": "at night"}, content=photo, headers={"content-type": "image/png"}
        )
        assert sent.status_code == 202, sent.text
        edit = sent.json()["id"]
        stream = browser.get(f"/edits/{edit}/events")
        changes = [json.loads(line.removeprefix("data: ")) for line in stream.text.splitlines() if line]
        assert changes[-1]["status"] == "succeeded", changes
        image = browser.get(f"/edits/{edit}/image")
        assert image.headers["content-type"].startswith("image/")
        assert image.content.startswith(PICTURES)


@pytest.mark.node
def test_the_page_passes_on_what_its_user_can_mend(url: str, uploads: Path, tmp_path: Path) -> None:
    photo = Path("scripts/samples/rocket.png").read_bytes()
    with page(url, uploads, tmp_path) as site, httpx2.Client(base_url=site, trust_env=False, timeout=60) as browser:
        empty = browser.post("/edits", params={"prompt": " "}, content=photo, headers={"content-type": "image/png"})
        assert empty.status_code == 422
        assert "prompt" in empty.json()["error"]
        form = browser.post("/edits", content=b"x", headers={"content-type": "text/plain"})
        assert form.status_code == 415
        assert browser.get("/edits/unknown/image").status_code == 404
        assert browser.get("/edits/unknown/events").status_code == 404
        assert browser.get("/nothing").status_code == 404


@pytest.mark.emulator
@pytest.mark.slow
def test_the_cloud_run_service_publishes_and_takes_results(
    tmp_path: Path, firestore_host: str, pubsub_host: str
) -> None:
    project = f"posters-{os.getpid()}"
    emulated = {"FIRESTORE_EMULATOR_HOST": firestore_host, "PUBSUB_EMULATOR_HOST": pubsub_host}
    worker = emulated | {
        "RENDERLANE_STORE": f"firestore://{project}",
        "RENDERLANE_TOPICS": f"pubsub://{project}",
        "RENDERLANE_IMAGES": (tmp_path / "images").as_uri(),
        "GOOGLE_CLOUD_PROJECT": project,
    }
    with started(tmp_path / "home", *QUICK, **worker) as up, service(project, emulated) as posters:
        assert address(up.first_line)
        subscribe(pubsub_host, project, f"{posters}/results")
        with httpx2.Client(base_url=posters, trust_env=False, timeout=60) as client:
            assert client.post("/posters", json={"title": " "}).status_code == 422
            ordered = client.post("/posters", json={"title": "Spring fair"})
            assert ordered.status_code == 202, ordered.text
            poster = until_it_is_there(client, ordered.headers["location"])
    assert poster["status"] == "succeeded"
    assert poster["title"] == "Spring fair"
    assert poster["image_uri"].startswith("file://")


@contextmanager
def service(project: str, emulated: dict[str, str]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", str(port)]
    own = environment("", GOOGLE_CLOUD_PROJECT=project, **emulated)
    with subprocess.Popen(command, cwd=EXAMPLES / "cloud-run", env=own, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            while "running on" not in (line := process.stderr.readline()):
                assert line, "the service did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate()


def subscribe(pubsub_host: str, project: str, endpoint: str) -> None:
    """What gcloud does in the README."""
    body = {
        "topic": f"projects/{project}/topics/render-results",
        "filter": 'attributes.tenant = "posters"',
        "pushConfig": {"pushEndpoint": endpoint},
    }
    url = f"http://{pubsub_host}/v1/projects/{project}/subscriptions/posters-results"
    answer = httpx2.put(url, json=body, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text


def until_it_is_there(client: httpx2.Client, location: str) -> dict[str, str]:
    ends = time.monotonic() + 90
    while time.monotonic() < ends:
        poster: dict[str, str] = client.get(location).json()
        if poster["status"] != "ordered":
            return poster
        time.sleep(0.2)
    raise AssertionError("no result came")
