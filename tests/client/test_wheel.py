"""The client as an app gets it: a wheel of its own, which needs nothing beside Python, or google-cloud-pubsub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests import nodejs

CLIENT = Path("shared/client")
CODE = """
import json, sys
from importlib.metadata import requires, version
import renderlane
request = renderlane.Request("a", "a lighthouse", image_size="2K")
try:
    renderlane.Request("a b", "x").to_bytes()
except renderlane.InvalidRequest as error:
    told = [problem.field for problem in error.problems]
try:
    renderlane.Client
except ImportError as error:
    without = str(error)
print(json.dumps({
    "without": without,
    "version": version("renderlane"), "requires": requires("renderlane"), "data": request.to_bytes().decode(),
    "told": told, "file": renderlane.__file__,
    "worker": [name for name in sys.modules if name.partition(".")[0] in ("shared", "functions", "scripts")],
}))
"""


def test_its_name_and_the_worker_s_are_two_and_it_needs_one_thing_for_pubsub() -> None:
    client = tomllib.loads((CLIENT / "pyproject.toml").read_text("utf-8"))["project"]
    worker = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
    assert (client["name"], worker["project"]["name"]) == ("renderlane", "renderlane-worker")
    assert client["dependencies"] == []
    assert client["optional-dependencies"] == {"pubsub": ["google-cloud-pubsub>=2.40"]}
    assert "renderlane" not in worker["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_it_imports_nothing_of_the_worker() -> None:
    for path in CLIENT.rglob("*.py"):
        text = path.read_text("utf-8")
        assert not [name for name in ("shared", "functions", "scripts") if f"from {name}" in text], path


def _built(project: Path, folder: Path) -> Path:
    """The wheel, by the backend that this environment has, without one of its own."""
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    built = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    return folder / built.stdout.split()[-1]


def _files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built(CLIENT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_the_package_its_types_and_its_schema(wheel: Path) -> None:
    names = _files(wheel)
    assert names == {f"renderlane/{path.name}" for path in (CLIENT / "src/renderlane").iterdir() if path.is_file()}
    assert {"renderlane/py.typed", "renderlane/request.schema.json", "renderlane/client.py"} <= names


def test_the_worker_s_wheel_has_nothing_of_it(tmp_path: Path) -> None:
    names = _files(_built(Path(), tmp_path))
    assert "shared/flows/render/render.py" in names
    assert not [name for name in names if "renderlane/" in name or name.startswith("shared/client")]


@pytest.mark.slow
def test_it_is_installed_by_itself_and_works(wheel: Path, tmp_path: Path) -> None:
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([str(uv), "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([str(uv), "pip", "install", "--quiet", "--python", str(python), str(wheel)], check=True)
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [str(python), "-W", "error::SyntaxWarning", "-c", CODE]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    report = json.loads(ran.stdout)
    assert report["version"] == "0.1.0"
    assert [require.replace('"', "'") for require in report["requires"]] == [
        "google-cloud-pubsub>=2.40; extra == 'pubsub'"
    ]
    assert "google-cloud-pubsub: pip install 'renderlane[pubsub]'" in report["without"]
    assert json.loads(report["data"]) == {"request_id": "a", "prompt": "a lighthouse", "image_size": "2K"}
    assert report["told"] == ["request_id"]
    assert Path(report["file"]).is_relative_to(tmp_path)
    assert report["worker"] == []


@pytest.mark.node
def test_publishing_both_clients_is_one_command_that_only_builds_without_yes() -> None:
    nodejs.npm()
    ended = subprocess.run(["./scripts/publish-clients"], capture_output=True, text=True, check=True)
    version = tomllib.loads((CLIENT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    files = {f"renderlane-{version}-py3-none-any.whl", f"renderlane-{version}.tar.gz", f"renderlane-{version}.tgz"}
    assert {path.name for path in Path("build/clients").iterdir()} == files
    assert "Nothing was published" in ended.stdout
    wrong = subprocess.run(["./scripts/publish-clients", "--now"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, "allowed: --yes" in wrong.stderr) == (2, True)
