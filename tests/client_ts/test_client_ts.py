"""The TypeScript client: its own tests, its types, and an empty npm project that installs it and gets an image."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.documentation import typescript
from shared.core.webhooks.delivery import payload
from shared.core.webhooks.signature import SECRET_BYTES, headers, secret_of
from tests import nodejs
from tests.cli.conftest import started

CLIENT = Path("shared/client-ts").absolute()
HERE = Path("tests/node").absolute()
FIRST_IMAGE = """
import { writeFile } from "node:fs/promises";
import { Renderlane } from "renderlane";

const client = new Renderlane({ baseUrl: process.env.RENDERLANE_URL });
const view = await client.render({ prompt: "a lighthouse" });
await writeFile("image", Buffer.from(await (await client.image(view.request_id)).arrayBuffer()));
console.log(view.status);
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running one-machine home."""
    nodejs.node()
    home = tmp_path_factory.mktemp("client-ts") / "home"
    with started(home, "up", "--port", "0", "--latency", "fixed:0.05") as up:
        address = re.search(r"http://127\.0\.0\.1:\d+", up.first_line)
        assert address, "".join(up.errors)
        yield address[0]


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Standard output. Fails with everything the command wrote."""
    clean = {name: value for name, value in os.environ.items() if not name.lower().startswith("npm_config")}
    ended = subprocess.run(command, cwd=folder, env=clean | environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def test_the_types_are_those_of_the_api() -> None:
    assert typescript.FILE.read_text("utf-8") == typescript.current(), "run ./scripts/client-types"


def test_it_depends_on_nothing_and_has_the_version_of_the_python_client() -> None:
    package = json.loads((CLIENT / "package.json").read_text("utf-8"))
    assert not [name for name in package if name.lower().endswith("dependencies")]
    assert not [name for name in package.get("scripts", {}) if "install" in name]
    python = re.search(r'^version = "(.+)"$', Path("shared/client/pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert python
    assert package["version"] == python[1]


@pytest.mark.node
def test_errors_retries_aborts_and_streams() -> None:
    run([nodejs.node(), "--test", "test/transport.test.js"], CLIENT)


@pytest.mark.node
def test_every_call_against_a_running_home(url: str) -> None:
    run([nodejs.node(), "--test", "test/end_to_end.test.js"], CLIENT, RENDERLANE_URL=url)


@pytest.mark.node
def test_a_delivery_as_the_worker_signs_it_is_verified_and_a_changed_one_is_not(tmp_path: Path) -> None:
    now = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
    body = payload("succeeded", "2026-11-29T11:59:58Z", {"request_id": "r-1", "labels": {"é": "ü"}})
    old, new = secret_of(b"a" * SECRET_BYTES), secret_of(b"b" * SECRET_BYTES)
    delivery = {
        "headers": dict(headers([new, old], "msg_1", now, body)), "body": body.decode(), "now": now.isoformat(),
        "secrets": [old, new], "wrong": secret_of(b"c" * SECRET_BYTES),
    }  # fmt: skip
    (tmp_path / "delivery.json").write_text(json.dumps(delivery), "utf-8")
    run([nodejs.node(), "--test", "test/webhook.test.js"], CLIENT, DELIVERY=str(tmp_path / "delivery.json"))


@pytest.mark.node
def test_the_code_is_what_the_types_declare_and_wrong_uses_do_not_compile(tmp_path: Path) -> None:
    packages = nodejs.packages()
    shutil.copytree(CLIENT, tmp_path / "client")
    for name in ("tsconfig.json", "consumer.ts", "conforms.ts"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules/@types").mkdir(parents=True)
    (tmp_path / "node_modules/renderlane").symlink_to(tmp_path / "client")
    for name in ("@types/node", "undici-types"):
        (tmp_path / "node_modules" / name).symlink_to(packages / "node_modules" / name)
    run([nodejs.node(), str(packages / "node_modules/typescript/bin/tsc"), "-p", "tsconfig.json"], tmp_path)


@pytest.mark.node
def test_an_empty_npm_project_installs_the_package_and_gets_an_image(url: str, tmp_path: Path) -> None:
    npm = nodejs.npm()
    packed = json.loads(run([npm, "pack", "--json", "--pack-destination", str(tmp_path)], CLIENT))[0]
    assert {file["path"] for file in packed["files"]} == {
        "package.json", "README.md", "src/client.js", "src/errors.js", "src/index.d.ts", "src/index.js", "src/sse.js",
        "src/transport.js", "src/types.d.ts", "src/webhook.js",
    }  # fmt: skip
    project = tmp_path / "project"
    project.mkdir()
    run([npm, "init", "--yes"], project)
    run([npm, "install", "--no-audit", "--no-fund", "--offline", str(tmp_path / packed["filename"])], project)
    (project / "first.mjs").write_text(FIRST_IMAGE)
    assert run([nodejs.node(), "first.mjs"], project, RENDERLANE_URL=url).strip() == "succeeded"
    assert (project / "image").read_bytes()[:4] in (b"\xff\xd8\xff\xe0", b"\x89PNG", b"\xff\xd8\xff\xe1")
