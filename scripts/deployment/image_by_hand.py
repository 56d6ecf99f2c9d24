"""The Dockerfile's own steps in a bare folder, where no container runtime is to be had: the same commands, other paths.

Not covered: the base image, the layers, and that nothing of this machine leaks in. The steps are read from the
Dockerfile, so a change of it is a change here; an instruction that this does not know is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

from msgspec import Struct

from scripts.deployment import bundle
from scripts.deployment.place import ROOT

INSTRUCTION = re.compile(r"^(FROM|WORKDIR|RUN|COPY|LABEL|ENV|USER|EXPOSE|ENTRYPOINT)\s+(.*)$")
PLACES = ("/venv", "/app")
"""What the image adds to its base."""


class ByHand(Struct, frozen=True):
    """What the image would add to its base image, and how it would start."""

    root: Path
    user: int
    environment: dict[str, str]
    entry: tuple[str, ...]
    bundle: bundle.Bundle

    @property
    def app(self) -> Path:
        return self.root / "app"

    def bytes_of(self, place: str) -> int:
        files = (self.root / place.lstrip("/")).rglob("*")
        return sum(file.lstat().st_size for file in files if file.is_file() or file.is_symlink())


class UnknownStep(Exception):
    """The Dockerfile has an instruction, or a form of one, that cannot be performed by hand."""


def instructions(text: str) -> list[tuple[str, str]]:
    """Word and rest of each instruction, continued lines joined. Raises UnknownStep."""
    joined = re.sub(r"\\\n\s*", "", text)
    steps = []
    for line in joined.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        step = INSTRUCTION.match(line)
        if step is None:
            raise UnknownStep(f"the Dockerfile has a line that is unknown here: {line[:80]}")
        steps.append((step[1], step[2]))
    return steps


def build(root: Path, source: Path = ROOT) -> ByHand:
    """Perform the steps below `root`. Raises UnknownStep, and CalledProcessError where a command fails."""
    made = bundle.make(root / "bundle.zip", source)
    context, stage = root / "context", root / "build"
    with zipfile.ZipFile(made.path) as archive:
        archive.extractall(context)
    stages = _stages(instructions((context / "Dockerfile").read_text("utf-8")))
    if len(stages) != 2:
        raise UnknownStep(f"found {len(stages)} stages; known: one that builds and one that runs")
    for word, rest in stages[0]:
        _perform(word, rest, stage, context)
    environment, user = {"PATH": os.environ["PATH"]}, 0
    entry: tuple[str, ...] = ()
    for word, rest in stages[1]:
        match word:
            case "COPY":
                origin, goal = rest.removeprefix("--from=build ").split()
                shutil.move(stage / origin.lstrip("/"), root / goal.lstrip("/"))
            case "ENV":
                for name, value in re.findall(r"(\w+)=(\S+)", rest):
                    environment[name] = _moved(value, root).replace("$PATH", environment["PATH"])
            case "USER":
                user = int(rest.partition(":")[0])
            case "ENTRYPOINT":
                entry = tuple(re.findall(r'"([^"]+)"', rest))
            case _:
                pass  # says something, and does nothing
    _repair(root / "venv", stage / "venv")
    return ByHand(root, user, environment, entry, made)


@cache
def base_python() -> str:
    """In place of the base image's: one that every user may run, where there is one."""
    for candidate in ("/usr/local/bin/python3", "/usr/bin/python3"):
        looks = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
        if Path(candidate).exists() and subprocess.run([candidate, "-c", looks], capture_output=True).returncode == 0:
            return candidate
    return sys.executable


def _stages(steps: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    stages: list[list[tuple[str, str]]] = []
    for word, rest in steps:
        if word == "FROM":
            stages.append([])
        else:
            stages[-1].append((word, rest))
    return stages


def _perform(word: str, rest: str, stage: Path, context: Path) -> None:
    folder = stage / "app"
    folder.mkdir(parents=True, exist_ok=True)
    if word == "RUN":
        python = base_python()
        command = _moved(rest, stage).replace("python -m venv", f"{python} -m venv")
        if command.startswith("pip "):
            command = f"{python} -m {command}"
        subprocess.run(["/bin/sh", "-ec", command], cwd=folder, check=True, capture_output=True, text=True)
    elif word == "COPY":
        origin, goal = rest.split()
        if goal != ".":
            raise UnknownStep(f"COPY {rest}: only into the current folder")
        if origin == ".":
            shutil.copytree(context, folder, dirs_exist_ok=True)
        else:
            shutil.copy(context / origin, folder)
    elif word != "WORKDIR":
        raise UnknownStep(f"{word} in the stage that builds")


def _moved(text: str, root: Path) -> str:
    """Absolute places of the image as places below `root`."""
    for place in PLACES:
        text = re.sub(rf"(?<![\w.]){place}(?![\w.-])", f"{root}{place}", text)
    return text


def _repair(venv: Path, made_at: Path) -> None:
    """An image has one /venv in both stages; here it has moved, and its scripts name the place where they were made."""
    for script in (venv / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            text = script.read_bytes()
            script.write_bytes(text.replace(str(made_at).encode(), str(venv).encode()))
