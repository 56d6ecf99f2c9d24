"""The image's own steps, performed by hand: it installs from the lock, is compiled, and starts as nobody."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from scripts.bench import image as bench
from scripts.deployment import image_by_hand
from scripts.deployment.image_by_hand import ByHand, UnknownStep, instructions


@pytest.fixture(scope="module")
def image() -> Iterator[ByHand]:
    """Below /tmp, where the image's user may read."""
    with TemporaryDirectory(prefix="renderlane-image-") as folder:
        Path(folder).chmod(0o755)
        yield image_by_hand.build(Path(folder))


def test_every_instruction_of_the_dockerfile_is_one_that_can_be_performed() -> None:
    words = [word for word, _ in instructions(Path("Dockerfile").read_text("utf-8"))]
    assert words.count("FROM") == 2
    assert {"RUN", "COPY", "USER", "ENTRYPOINT"} <= set(words)


def test_an_instruction_that_is_unknown_is_an_error() -> None:
    with pytest.raises(UnknownStep, match="HEALTHCHECK"):
        instructions("FROM python:3.13-slim\nHEALTHCHECK CMD true\n")


@pytest.mark.slow
@pytest.mark.emulator
def test_its_steps_install_compile_and_start_each_function_as_nobody(image: ByHand) -> None:
    assert image.user == 65532
    assert list((image.root / "venv").rglob("pip")) == [], "the image has no installer"
    sources = list(image.app.rglob("*.py"))
    compiled = [Path(importlib.util.cache_from_source(str(path))) for path in sources]
    assert [path for path in compiled if not path.is_file()] == []
    flags = {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled}
    assert flags == {0b01}, "checked by nothing: PEP 552, hash-based and unchecked"
    assert not (image.app / "requirements.txt").exists()
    for function in bench.FUNCTIONS:
        assert bench.start(image, image.app, function) > 0


@pytest.mark.slow
@pytest.mark.emulator
def test_the_worker_pools_command_runs_in_it(image: ByHand) -> None:
    environment = image.environment | {"PATH": f"{image.root}/venv/bin:{os.environ['PATH']}"}
    command = [str(image.root / "venv/bin/python"), "-m", "functions.pull", "pump"]
    ended = subprocess.run(command, cwd=image.app, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.strip()) == (2, "found pump; allowed: render")
