"""Options and values of every verb of the command, in a home of their own.

No traceback, and an exit code of docs/cli.md.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import click
from click.testing import CliRunner

from scripts.cli.main import VERBS, cli
from scripts.fuzzing import invariants, rubbish
from scripts.fuzzing.door import Input
from tests.cli import stores
from tests.cli.conftest import OUR_VARIABLES

LONG = ("up", "simulator", "drill")
"""They run until they are stopped, or for minutes: one of their values is always wrong."""
PATIENCE = 20
"""Seconds of one verb, after which it is interrupted: exit code 130."""
VALUES = (
    "r-1", "web", "default", "2h", "0", "-1", "1", "5", "99999999999", "1d", "nan", "0.30", "-0.5", "1e9", "2026-11-22",
    "2026-11-22T12:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "nano-banana-pro", "*=rpm:60",
    "gemini-3-pro-image=rpm:x", "fixed:1", "lognormal:0,0", "uniform:5,1", "450/m", "1/0", "use-nano-banana-2",
    "--", "-",     "succeeded", "failed", "overload", "9999999d", "https://x.test/hook", "http://127.0.0.1/", "whsec_x",
)  # fmt: skip
FILES = ("in.jsonl", "bad.jsonl", "curve.csv", "missing", ".", "out.svg", "out.png", "-", "")
TABLE = Path("docs/cli.md")


class CommandDoor:
    name = "command"

    def draw(self, random: Random) -> Input:
        verb = random.choice(VERBS)
        arguments, command = [verb], _verb(verb)
        while isinstance(command, click.Group):
            below = random.choice(command.list_commands(click.Context(command)))
            arguments += [*_options(random, command, 1), below]
            inner = command.get_command(click.Context(command), below)
            assert inner is not None
            command = inner
        arguments += _options(random, command, 5)
        if verb in LONG:
            arguments += random.choice((["--seed", "x"], ["--port", "-1"], ["--no-such-option"], ["--seed"]))
        return {"arguments": arguments, "stdin": random.choice(("", "y\n", "n\n", rubbish.text(random)))}

    def play(self, item: Input) -> Sequence[str]:
        arguments = [argument.replace("\x00", "") for argument in item["arguments"]]  # no program gets one
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            shutil.copytree(_template(), folder, dirs_exist_ok=True)
            with _within(folder):
                stdin = item["stdin"].encode("utf-8", "replace")
                result = CliRunner().invoke(cli, arguments, input=stdin, prog_name="renderlane")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        verb = " ".join(arguments[:2])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        problems = []
        if "Traceback" in result.output:
            problems.append(f"{verb} printed a traceback")
        if result.exit_code not in _codes(arguments[0]) and not _unavailable(result.output):
            problems.append(f"{arguments[0]} ended with {result.exit_code}: {result.output[-200:]}")
        if result.exit_code == 2 and not result.stderr.strip():
            problems.append(f"{verb} was refused without a word")
        problems += invariants.in_answer(result.output.encode("utf-8", "replace"))
        return problems


def _unavailable(output: str) -> bool:
    """Exit code 1 of any verb."""
    return "did not respond" in output or "is damaged" in output


def _options(random: Random, command: click.Command, most: int) -> list[str]:
    """Some of its options and arguments, with values that fit or do not."""
    words: list[str] = []
    for parameter in random.sample(command.params, min(len(command.params), random.randrange(most + 1))):
        if isinstance(parameter, click.Option):
            words.append(random.choice(parameter.opts))
            if parameter.is_flag or parameter.count:
                continue
        words += [_value(random, parameter) for _ in range(max(1, parameter.nargs))]
    for parameter in command.params:
        wanted = isinstance(parameter, click.Argument) or parameter.required
        if wanted and random.random() < 0.85:
            words += [parameter.opts[0]] if isinstance(parameter, click.Option) else []
            words.append(_value(random, parameter))
    if random.random() < 0.05:
        words.append(rubbish.text(random))
    return words


def _value(random: Random, parameter: click.Parameter) -> str:
    metavar = str(parameter.metavar or parameter.name).upper()
    if "FILE" in metavar or "CSV" in metavar or "PATH" in metavar or isinstance(parameter.type, click.Path):
        return random.choice(FILES)
    if isinstance(parameter.type, click.Choice) and random.random() < 0.8:
        return str(random.choice(list(parameter.type.choices)))
    if random.random() < 0.8:
        return random.choice(VALUES)
    text = rubbish.text(random)
    return "x" if "/" in text or ".." in text or len(text) > 60_000 else text  # nothing outside of the folder


def _verb(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


@cache
def _codes(verb: str) -> frozenset[int]:
    """As the table of the page says."""
    codes = {0, 2, 130}
    for line in (Path(__file__).parents[3] / TABLE).read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 3 and f"`{verb}" in cells[0]:
            codes |= ({1} if cells[1] else set()) | ({3} if cells[2] else set())
    return frozenset(codes)


@contextlib.contextmanager
def _within(folder: Path) -> Iterator[None]:
    """The process in this folder, with a home there and none of the caller's settings, for so long at most."""
    before, place = dict(os.environ), Path.cwd()
    for name in [name for name in os.environ if name.startswith(OUR_VARIABLES)]:
        del os.environ[name]
    os.environ["RENDERLANE_HOME"] = str(folder / "home")
    os.chdir(folder)
    old = signal.signal(signal.SIGALRM, _interrupt)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        os.chdir(place)
        os.environ.clear()
        os.environ.update(before)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


@cache
def _template() -> Path:
    """A home with requests in it, and files beside it."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-template-"))
    (folder / "in.jsonl").write_text('{"request_id": "r-9", "prompt": "a quokka"}\n')
    (folder / "bad.jsonl").write_bytes(b'{"request_id": 7}\n\xff\xfe\n[]\n"' + b"[" * 100_000)
    (folder / "curve.csv").write_text("0,5\n1,x\n")
    with _within(folder):
        requests = [stores.queued("r-1", tenant="web"), stores.queued("r-2", changes={"status": "failed"})]
        stores.write(folder / "home", *requests, stores.flags(stores.a_flag("use-nano-banana-2")), stores.pump())
    return folder
