"""The bundle: the same bytes from the same source, nothing but what runs, and it runs with only its requirements."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path

import httpx2
import pytest

from scripts.deployment import bundle, contents
from tests.functions.test_functions_framework import push, started_with

ROOT = Path.cwd()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    return bundle.make(tmp_path_factory.mktemp("bundle") / "bundle.zip")


@pytest.fixture(scope="module")
def unpacked(made: bundle.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(made.path) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def clean_python(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the bundle's requirements and nothing else."""
    uv, folder = Path(sys.executable).parent / "uv", tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([str(uv), "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin/python"
    install = [str(uv), "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "--compile-bytecode"]
    subprocess.run([*install, "-r", str(unpacked / "requirements.txt")], check=True)
    return python


def test_the_same_source_gives_the_same_bytes_wherever_it_lies(made: bundle.Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    for folder in ("functions", "shared"):
        shutil.copytree(folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("requirements.lock", "pyproject.toml", "LICENSE", "RUNBOOK.md", "Dockerfile"):
        shutil.copy(file, copy / file)
    assert bundle.make(tmp_path / "again.zip", copy).digest == made.digest


def test_it_holds_only_what_runs_in_the_cloud(unpacked: Path) -> None:
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    sources = {name for name in files if "__pycache__" not in name}
    assert {name.partition("/")[0] for name in sources} == {
        "Dockerfile", "main.py", "requirements.txt", "LICENSE", "RUNBOOK.md", "functions", "shared",
    }  # fmt: skip
    assert not [name for name in sources if "sqlite" in name]
    assert {name for name in sources if not name.endswith(".py")} == {*contents.data(ROOT), "requirements.txt"}


def test_it_holds_no_byte_code_which_the_image_makes_for_its_own_python(unpacked: Path) -> None:
    assert list(unpacked.rglob("*.pyc")) == []


def test_the_image_is_built_from_the_bundle_and_runs_as_nobody(unpacked: Path) -> None:
    written = (unpacked / "Dockerfile").read_text("utf-8")
    assert re.findall(r"^FROM python:(\d+\.\d+)-slim", written, re.MULTILINE) == ["3.13", "3.13"]
    assert "--require-hashes" in written
    assert "unchecked-hash" in written
    assert re.search(r"^USER 65532", written, re.MULTILINE)
    assert 'ENTRYPOINT ["functions-framework", "--source=main.py"]' in written


def test_it_requires_nothing_of_the_one_machine_home_or_the_checks(unpacked: Path) -> None:
    named = set(re.findall(r"^([\w.-]+)==", (unpacked / "requirements.txt").read_text("utf-8"), re.MULTILINE))
    assert {"functions-framework", "google-genai", "google-cloud-firestore", "obstore"} <= named
    assert not named & {"pytest", "mypy", "ruff", "matplotlib", "rich", "hypothesis"}


@pytest.mark.slow
def test_every_module_of_it_can_be_imported_with_only_its_requirements(unpacked: Path, clean_python: Path) -> None:
    sources = [path.relative_to(unpacked).with_suffix("") for path in unpacked.rglob("*.py")]
    names = [".".join(path.parts).removesuffix(".__init__") for path in sources]
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    subprocess.run([str(clean_python), "-W", "error::ImportWarning", "-c", code], cwd=unpacked, env=_bare(), check=True)


@pytest.mark.parametrize("function", ["intake", "pump", "render", "collect", "watch", "bury", "deliver", ""])
def test_a_function_loads_its_own_flow_and_no_library_of_the_others(function: str, unpacked: Path) -> None:
    code = "import json, sys, main; from shared.wiring import worker; worker(); print(json.dumps(sorted(sys.modules)))"
    environment = _bare() | {
        "FUNCTION_TARGET": function,
        "RENDERLANE_STORE": "firestore://p",
        "RENDERLANE_TOPICS": "pubsub://p",
        "RENDERLANE_IMAGES": "gs://images",
    }
    if function in ("render", "collect", "watch"):
        environment["GEMINI_API_KEY"] = "AQ.test"
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=unpacked, env=environment, capture_output=True, text=True, check=True)
    loaded = set(json.loads(ended.stdout))
    flows = set(bundle.FLOWS.values()) & loaded
    other = (
        {bundle.FLOWS[name] for name in ("intake", "render", "deliver")} if function == "bury" else set()
    )  # it looks at their messages
    assert flows - other == ({bundle.FLOWS[function]} if function else set())
    assert not [name for name in loaded if name.startswith("google.genai")]
    assert ("httpx2" in loaded) == (function in ("render", "collect", "watch"))


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("function", ["intake", "pump", "render", "collect", "watch", "bury", "deliver"])
def test_each_function_of_it_starts_in_a_clean_environment_and_answers(
    function: str, unpacked: Path, clean_python: Path, firestore_host: str, pubsub_host: str
) -> None:
    project = f"bundle-{uuid.uuid4().hex[:8]}"
    environment = _bare() | {
        "RENDERLANE_STORE": f"firestore://{project}",
        "RENDERLANE_TOPICS": f"pubsub://{project}",
        "RENDERLANE_IMAGES": "gs://images",
        "RENDERLANE_LIVE_QUOTA": "off",
        "FIRESTORE_EMULATOR_HOST": firestore_host,
        "PUBSUB_EMULATOR_HOST": pubsub_host,
    }
    command = [str(clean_python.parent / "functions-framework"), "--source", "main.py", "--target", function]
    with started_with(command, environment, unpacked) as url:
        if function == "watch":
            answer = httpx2.post(url, content=b"{}", trust_env=False, timeout=30)
            assert answer.status_code == 204, answer.text
            return
        answer = httpx2.post(url, content=b"{}", trust_env=False, timeout=30)
        assert answer.status_code == 400, answer.text
        if function == "bury":
            lost = push(b"nobody's", "render-dead-letters-bury")
            answer = httpx2.post(url, content=lost, trust_env=False, timeout=30)
            assert answer.status_code == 204, answer.text


def _bare() -> dict[str, str]:
    """What a process needs of this one's environment, and no key."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
