"""scripts/smoke against the worker on both emulators, from outside."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from scripts.bench.harness import rig

SMOKE = Path("scripts/smoke")


def smoke(project: str, firestore_host: str, pubsub_host: str, *options: str) -> subprocess.CompletedProcess[str]:
    hosts = {"FIRESTORE_EMULATOR_HOST": firestore_host, "PUBSUB_EMULATOR_HOST": pubsub_host}
    return subprocess.run(
        [sys.executable, str(SMOKE), "--project", project, "--database", "(default)", *options],
        env=os.environ | hosts,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_imports_nothing_but_pythons_own_library() -> None:
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(SMOKE.read_text("utf-8")))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names
    assert not [node for node in ast.walk(ast.parse(SMOKE.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]


@pytest.mark.slow
@pytest.mark.emulator
def test_a_deployment_that_renders_is_well_and_a_dear_one_is_not(
    firestore_host: str, pubsub_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_host)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_host)
    project = f"smoke-{uuid.uuid4().hex[:8]}"
    with rig.simulator(latency="fixed:0.1") as provider:
        environment = {
            "RENDERLANE_HOME": str(tmp_path),
            "RENDERLANE_STORE": f"firestore://{project}",
            "RENDERLANE_TOPICS": f"pubsub://{project}",
            "FIRESTORE_EMULATOR_HOST": firestore_host,
            "PUBSUB_EMULATOR_HOST": pubsub_host,
            "GEMINI_API_KEY": "AQ.test",
            "GOOGLE_GEMINI_BASE_URL": provider.url,
        }
        with rig.command("up", "--port", "0", environment=environment):
            well = smoke(project, firestore_host, pubsub_host)
            dear = smoke(project, firestore_host, pubsub_host, "--max-cost-usd", "0.0001", "--timeout", "5")
    assert well.returncode == 0, well.stderr
    for word in ("sent", "succeeded", "cost", "image", "trace", "result", "well"):
        assert word in well.stdout
    assert dear.returncode == 1
    assert "WRONG" in dear.stderr


@pytest.mark.slow
@pytest.mark.emulator
def test_a_project_without_our_topics_is_told_so(firestore_host: str, pubsub_host: str) -> None:
    ended = smoke(f"empty-{uuid.uuid4().hex[:8]}", firestore_host, pubsub_host)
    assert ended.returncode == 1
    assert "render-results" in ended.stderr
