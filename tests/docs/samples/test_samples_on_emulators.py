"""Samples for Google Cloud on its emulators: Python, Node, REST and gcloud itself, with a worker at the other end."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from msgspec import Struct

from tests import nodejs
from tests.cli.conftest import started
from tests.docs.samples.samples import ROOT, sample, samples
from tests.emulators import firestore_host, pubsub_host

__all__ = ["firestore_host", "pubsub_host"]
pytestmark = [pytest.mark.emulator, pytest.mark.slow]
PAGE = "docs/publishing.md"


class Cloud(Struct, frozen=True):
    """A worker on both emulators."""

    project: str
    environment: dict[str, str]
    pubsub: str
    """Address of the emulator."""

    def run(self, command: list[str], folder: Path, stdin: str = "") -> str:
        """Standard output."""
        ended = subprocess.run(
            command, cwd=folder, env=self.environment, input=stdin, capture_output=True, text=True, timeout=240
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def text(self, beginning: str, page: str = PAGE) -> str:
        return sample(page, beginning).text.replace("my-project", self.project)

    def subscribe(self, name: str, tenant: str) -> None:
        body = {"topic": f"projects/{self.project}/topics/render-results", "filter": f'attributes.tenant = "{tenant}"'}
        url = f"{self.pubsub}/v1/projects/{self.project}/subscriptions/{name}"
        assert httpx2.put(url, json=body, trust_env=False, timeout=30).status_code in (200, 409)

    def filter_of(self, name: str) -> str:
        url = f"{self.pubsub}/v1/projects/{self.project}/subscriptions/{name}"
        return str(httpx2.get(url, trust_env=False, timeout=30).json()["filter"])


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, firestore_host: str, pubsub_host: str) -> Iterator[Cloud]:
    """Started with the variables of docs/configuration.md, of which only the addresses differ."""
    folder, project = tmp_path_factory.mktemp("cloud"), f"samples-{os.getpid()}"
    text = sample("docs/configuration.md", "export PUBSUB_EMULATOR_HOST").text
    variables = dict(word.split("=", 1) for word in shlex.split(text) if "=" in word)
    assert text.split()[-2:] == [".venv/bin/renderlane", "up"]
    emulators = {"PUBSUB_EMULATOR_HOST": pubsub_host, "FIRESTORE_EMULATOR_HOST": firestore_host}
    variables = {name: value.replace("demo", project) for name, value in variables.items()} | emulators
    own = {
        "GOOGLE_CLOUD_PROJECT": project,
        "PYTHONPATH": str(ROOT / "shared/client/src"),
        "CLOUDSDK_CONFIG": str(folder / "gcloud"),
        "CLOUDSDK_CORE_PROJECT": project,
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "1",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": f"http://{pubsub_host}/",
    }
    with started(folder / "home", "up", "--port", "0", "--latency", "fixed:0.05", **variables) as up:
        assert "ready at" in up.first_line, "".join(up.errors)
        yield Cloud(project, dict(os.environ) | own | emulators, f"http://{pubsub_host}")


def test_the_home_on_the_emulators_starts_as_the_page_says(cloud: Cloud) -> None:
    topics = httpx2.get(f"{cloud.pubsub}/v1/projects/{cloud.project}/topics", trust_env=False).json()["topics"]
    assert f"projects/{cloud.project}/topics/render-requests" in {topic["name"] for topic in topics}


def test_python_renders_with_the_client(cloud: Cloud, tmp_path: Path) -> None:
    output = cloud.run([sys.executable, "-c", cloud.text("from renderlane import")], tmp_path)
    assert re.match(r"succeeded \S+ 0\.\d+", output), output


def test_python_publishes_without_the_client(cloud: Cloud, tmp_path: Path) -> None:
    cloud.subscribe("python-results", "shop")
    cloud.run([sys.executable, "-c", cloud.text("from google.cloud import").replace("spring-hero", "python")], tmp_path)
    assert pulled(cloud, "python-results", "python-001") == ("shop", "succeeded")


def pulled(cloud: Cloud, subscription: str, request_id: str) -> tuple[str, str]:
    """Tenant and status of the result: the emulator ignores filters, Pub/Sub goes by the attribute.

    The emulator waits for a message itself, for a minute and a half at most.
    """
    url = f"{cloud.pubsub}/v1/projects/{cloud.project}/subscriptions/{subscription}"
    for _ in range(10):
        pull = httpx2.post(f"{url}:pull", json={"maxMessages": 50}, trust_env=False, timeout=120)
        for row in pull.json().get("receivedMessages", []):
            ids = {"ackIds": [row["ackId"]]}
            httpx2.post(f"{url}:acknowledge", json=ids, trust_env=False, timeout=30)
            attributes = row["message"]["attributes"]
            if attributes["request_id"] == request_id:
                return str(attributes["tenant"]), str(attributes["status"])
    raise AssertionError(f"no result of {request_id}")


@pytest.mark.node
def test_node_publishes_and_receives(cloud: Cloud, tmp_path: Path) -> None:
    """As it is copied: it makes its subscription itself. It is let go once it has printed the result."""
    (tmp_path / "node_modules").symlink_to(nodejs.packages() / "node_modules")
    text = cloud.text("import { PubSub }").replace("spring-hero", "node")
    (tmp_path / "sample.mjs").write_text(text)
    with subprocess.Popen(
        [nodejs.node(), "sample.mjs"], cwd=tmp_path, env=cloud.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            printed = next((line for line in process.stdout if line.startswith("node-001 ")), "")
        finally:
            process.kill()
    assert re.match(r"node-001 succeeded file://\S+/images/shop/\S+\n", printed), printed
    assert cloud.filter_of("shop-results") == 'attributes.tenant = "shop"'


def test_gcloud_publishes_and_pulls_a_result(cloud: Cloud, tmp_path: Path) -> None:
    commands = list(sample(PAGE, "gcloud pubsub subscriptions create shop-results").commands())
    own = {"shop-results": "gcloud-results", "spring-hero": "gcloud"}
    for name, value in own.items():
        commands = [text.replace(name, value) for text in commands]
    gcloud()
    *first, pull = commands
    for command in first:  # in the order of the page
        cloud.run(shlex.split(command), tmp_path)
    for _ in range(20):  # gcloud pulls without waiting
        if "gcloud-001" in (output := cloud.run(shlex.split(pull), tmp_path)):
            break
    assert '"status": "succeeded"' in output
    assert '"tenant": "shop"' in output
    assert cloud.filter_of("gcloud-results") == 'attributes.tenant = "shop"'


def test_gcloud_makes_the_push_subscriptions(cloud: Cloud, tmp_path: Path) -> None:
    gcloud()
    pages = (
        (PAGE, "gcloud pubsub subscriptions create shop-webhook"),
        ("docs/examples/README.md", "gcloud run deploy"),
    )
    for page, beginning in pages:
        command = list(sample(page, beginning).commands())[-1].replace("my-project", cloud.project)
        cloud.run(shlex.split(command), tmp_path)
    url = f"{cloud.pubsub}/v1/projects/{cloud.project}/subscriptions"
    made = httpx2.get(url, trust_env=False).json()["subscriptions"]
    filters = {row["name"].rpartition("/")[2]: row.get("filter") for row in made}
    assert filters["shop-webhook"] == 'attributes.tenant = "shop" AND attributes.status != "rejected"'
    assert filters["posters-results"] == 'attributes.tenant = "posters"'


def test_rest_publishes_pulls_and_acknowledges(cloud: Cloud, tmp_path: Path) -> None:
    """No token is needed there; gcloud's place is taken by a program that prints one."""
    cloud.subscribe("rest-results", "shop")
    own = tmp_path / "gcloud"
    own.write_text("#!/bin/sh\necho token-of-nobody\n")
    own.chmod(0o700)
    text = cloud.text("api=https://pubsub").replace("https://pubsub.googleapis.com", cloud.pubsub)
    text = text.replace("shop-results", "rest-results").replace("curl-1", "rest-1")
    path = {"PATH": f"{tmp_path}:{cloud.environment['PATH']}"}
    assert text.count("ACK_ID_OF_THE_PULL") == 1
    before, acknowledge = text.split('\ncurl -s -X POST "$api/subscriptions/rest-results:acknowledge"')
    script = f"""set -euo pipefail
        {before} > answer; cat answer
        id=$(sed -n 's/.*"ackId": *"\\([^"]*\\)".*/\\1/p' answer)
        curl -s -X POST "$api/subscriptions/rest-results:acknowledge"{acknowledge}"""
    script = script.replace('\'{"ackIds": ["ACK_ID_OF_THE_PULL"]}\'', '"{\\"ackIds\\": [\\"$id\\"]}"')
    output = Cloud(cloud.project, cloud.environment | path, cloud.pubsub).run(["bash", "-c", script], tmp_path)
    assert "messageIds" in output
    assert '"request_id": "rest-1"' in output
    assert '"tenant": "shop"' in output
    assert "error" not in output


def gcloud() -> str:
    program = shutil.which("gcloud")
    if program is None:
        pytest.skip("gcloud is not installed")
    return program


COMMANDS = sorted(
    {
        command
        for item in samples()
        for line in item.commands()
        for command in re.findall(r"(?:^|\$\()(gcloud [^|;)]+)", line)
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_gcloud_takes_every_flag_of_a_command(command: str, tmp_path: Path) -> None:
    """What no emulator answers is held against gcloud's own description of the command."""
    words = shlex.split(command)
    verb = [word for word in words[1:] if not word.startswith("-")]
    environment = dict(os.environ) | {"CLOUDSDK_CONFIG": str(tmp_path)}
    for length in range(len(verb), 1, -1):
        command_help = [gcloud(), *verb[:length], "--help"]
        ended = subprocess.run(command_help, env=environment, capture_output=True, text=True, timeout=120)
        if ended.returncode == 0:
            break
    assert ended.returncode == 0, ended.stderr
    described = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", ended.stdout)
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    described_flags = set(re.findall(r"--(?:\[no-\])?[a-z][a-z-]+", described))
    described_flags |= {flag.replace("[no-]", form) for flag in described_flags for form in ("", "no-")}
    assert flags - described_flags == set()
    assert len(COMMANDS) >= 6
