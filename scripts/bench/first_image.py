"""From `git clone` to a viewed image: the commands and seconds for the CLI, curl, Python and TypeScript.

Each way is walked as the pages describe it, in a clone of its own folder, against `renderlane up` with the simulator at
an equal latency for all. An image counts as viewed when its file is there and begins as a picture. `--quick` takes
this checkout's environment instead of a set-up in the clone.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from msgspec import Struct
from rich.console import Console

from scripts.bench.harness import rig

ROOT = Path(__file__).parents[2]
LATENCY = "fixed:2"
"""Of the simulated provider, in seconds."""
PROMPT = "a lighthouse"
PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF")
TYPESCRIPT = """import { writeFile } from "node:fs/promises";
import { Renderlane } from "renderlane";

const client = new Renderlane({ baseUrl: "URL" });
const view = await client.render({ prompt: "a lighthouse" });
await writeFile("lighthouse", Buffer.from(await (await client.image(view.request_id)).arrayBuffer()));
"""


class TypedCommand(Struct, frozen=True):
    """One command that a person types, and how long it took."""

    command: str
    seconds: float


class Way(Struct, frozen=True):
    name: str
    steps: tuple[TypedCommand, ...]

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="use this checkout's environment, without a set-up")
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="first-image-") as folder:
        common, ways = _walk(Path(folder), console, quick=chosen.quick)
    rows = [
        [
            way.name,
            str(len(common) + len(way.steps)),
            f"{sum(step.seconds for step in common):.1f}",
            f"{way.seconds:.1f}",
            f"{sum(step.seconds for step in common) + way.seconds:.1f}",
        ]
        for way in ways
    ]
    columns = ["way", "commands", "clone, set-up and up, s", "then to the image, s", "in all, s"]
    rig.print_table(f"From git clone to a viewed image, provider latency {LATENCY.partition(':')[2]} s", columns, rows)
    print("\nFor docs/benchmarks.md:\n")
    heads = ["from `git clone` to a viewed image", *columns[1:]]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for way, row in zip(ways, rows, strict=True):
        print(f"| {way.name}: {', '.join(f'`{step.command}`' for step in way.steps)} | {' | '.join(row[1:])} |")
    print()
    for step in [*common, *(step for way in ways for step in way.steps)]:
        print(f"{step.seconds:7.1f} s  {step.command}")
    rig.write_json(chosen.json, {"common": _json(common), "ways": {way.name: _json(way.steps) for way in ways}})
    return 0


def _json(steps: tuple[TypedCommand, ...]) -> list[dict[str, Any]]:
    return [{"command": step.command, "seconds": round(step.seconds, 2)} for step in steps]


def _walk(folder: Path, console: Console, *, quick: bool) -> tuple[tuple[TypedCommand, ...], list[Way]]:
    clone = folder / "renderlane"
    steps = [_step(["git", "clone", "--quiet", str(ROOT), str(clone)], folder, shown="git clone ... && cd renderlane")]
    if quick:
        (clone / ".venv").symlink_to(ROOT / ".venv")
    else:
        console.print("set-up in the clone")
        steps.append(_step(["./scripts/setup"], clone))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RENDERLANE_", "GEMINI_", "GOOGLE_"))
    }
    environment["PYTHONPATH"] = str(clone)  # of the clone also where the environment is this checkout's
    with _up(clone, environment) as (url, up):
        steps.append(up)
        environment["RENDERLANE_URL"] = url
        ways = []
        for name, walk in WAYS.items():
            console.print(name)
            ways.append(Way(name, walk(clone, environment, url)))
    return tuple(steps), ways


@contextmanager
def _up(clone: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, TypedCommand]]:
    program = "from scripts.cli.main import main; main()"
    command = [".venv/bin/python", "-c", program, "up", "--port", "0", "--latency", LATENCY]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = _address(process.stdout)
            yield url, TypedCommand("renderlane up &", time.monotonic() - began)
        finally:
            process.terminate()
            process.wait(90)


def _address(output: IO[str] | None) -> str:
    assert output is not None
    line = output.readline()
    match = re.search(r"http://127\.0\.0\.1:\d+", line)
    if match is None:
        raise RuntimeError(f"renderlane up did not become ready: {line!r}")
    return match[0]


def _cli(clone: Path, environment: Mapping[str, str], _url: str) -> tuple[TypedCommand, ...]:
    program = "from scripts.cli.main import main; main()"
    command = [".venv/bin/python", "-c", program, "submit", PROMPT, "--id", "first-cli", "--wait"]
    step = _step(command, clone, environment, shown=f'.venv/bin/renderlane submit "{PROMPT}" --wait')
    images = [path for path in (clone / ".renderlane/images").rglob("[!.]*") if path.is_file()]
    _check(images[0])
    return (step,)


def _curl(clone: Path, environment: Mapping[str, str], _url: str) -> tuple[TypedCommand, ...]:
    command = ["docs/examples/curl.sh", PROMPT, "lighthouse"]
    step = _step(command, clone, environment, shown=f'docs/examples/curl.sh "{PROMPT}" lighthouse')
    _check(clone / "lighthouse")
    return (step,)


def _python(clone: Path, environment: Mapping[str, str], _url: str) -> tuple[TypedCommand, ...]:
    (clone / "one.txt").write_text(f"{PROMPT}, from Python\n", "utf-8")
    command = [sys.executable, "docs/examples/batch.py", "one.txt", "images"]
    step = _step(command, clone, environment, shown="python docs/examples/batch.py one.txt images")
    _check(next((clone / "images").iterdir()))
    return (step,)


def _typescript(clone: Path, environment: Mapping[str, str], url: str) -> tuple[TypedCommand, ...]:
    app = clone.parent / "app"
    app.mkdir()
    npm = shutil.which("npm") or "npm"
    steps = [
        _step([npm, "init", "--yes"], app, environment, shown="npm init --yes"),
        _step(
            [npm, "install", "--no-audit", "--no-fund", str(clone / "shared/client-ts")], app, environment,
            shown="npm install ../renderlane/shared/client-ts",
        ),
    ]  # fmt: skip
    (app / "first.mjs").write_text(TYPESCRIPT.replace("URL", url), "utf-8")
    steps.append(
        _step([shutil.which("node") or "node", "first.mjs"], app, environment, shown="node first.mjs (6 lines)")
    )
    _check(app / "lighthouse")
    return tuple(steps)


WAYS = {"CLI": _cli, "curl": _curl, "Python": _python, "TypeScript": _typescript}


def _step(
    command: list[str], folder: Path, environment: Mapping[str, str] | None = None, shown: str = ""
) -> TypedCommand:
    began = time.monotonic()
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr[-1_000:]}")
    return TypedCommand(shown or " ".join(command), time.monotonic() - began)


def _check(image: Path) -> None:
    """Raises RuntimeError where it is no picture."""
    if not image.read_bytes().startswith(PICTURES):
        raise RuntimeError(f"{image} is no picture")


if __name__ == "__main__":
    sys.exit(main())
