"""Fuzz every door for a while, and say what was found: ./scripts/fuzz --minutes 3 --door request --seed 7."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import click

from scripts.fuzzing import finding, registry
from scripts.fuzzing.door import problems_of
from scripts.fuzzing.run import DoorTally, run

FOLDER = Path("build/fuzz")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True,
              help="For each door.")  # fmt: skip
@click.option("--cases", type=click.IntRange(min=1), help="For each door, if they are played sooner.")
@click.option("--door", "doors", multiple=True, type=click.Choice(list(registry.DOORS)), help="Default: all.")
@click.option("--seed", type=int, help="Default: another one each time; it is printed.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each door instead of the table.")
@click.option("--replay", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="One finding's file.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=FOLDER, show_default=True,
              help="Where findings are written.")  # fmt: skip
def main(
    minutes: float, cases: int | None, doors: tuple[str, ...], seed: int | None, as_json: bool, replay: Path | None,
    folder: Path,
) -> None:  # fmt: skip
    """Send rubbish to every door. Exit code 1 with findings."""
    with _quiet():
        if replay is not None:
            sys.exit(_replayed(replay))
        tallies = _played(minutes, cases, doors, seed, as_json, folder)
    sys.exit(1 if any(tally.findings for tally in tallies) else 0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What libraries warn of and log about rubbish is no finding."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _played(
    minutes: float, cases: int | None, doors: tuple[str, ...], seed: int | None, as_json: bool, folder: Path
) -> list[DoorTally]:
    seed = secrets.randbelow(10**6) if seed is None else seed
    tallies = []
    for name in doors or registry.DOORS:
        click.echo(f"{name} (seed {seed}): {registry.DOORS[name]}", err=True)
        tallies.append(run(registry.door(name), seed, folder, seconds=60 * minutes, cases=cases, tell=_tell))
        _tell(tallies[-1])
    for tally in tallies:
        if as_json:
            click.echo(json.dumps(tally.to_json() | {"seed": seed}))
    if not as_json:
        _table(tallies)
    return tallies


def _tell(tally: DoorTally) -> None:
    click.echo(f"  {tally.cases:,} cases, {tally.seconds:.0f} s, {tally.findings} findings", err=True)


def _table(tallies: list[DoorTally]) -> None:
    click.echo(f"{'door':<12}{'cases':>10}{'seconds':>10}{'findings':>10}")
    for tally in tallies:
        click.echo(f"{tally.door:<12}{tally.cases:>10,}{tally.seconds:>10.0f}{tally.findings:>10}")
    for tally in tallies:
        for kind, count in tally.kinds.items():
            click.echo(_printable(f"\n{count} x {kind}"))
        for path in tally.files:
            click.echo(f"  ./scripts/fuzz --replay {path}")


def _replayed(path: Path) -> int:
    """The exit code: 1 where it still does not hold."""
    try:
        recorded = finding.read(path)
        door = registry.door(recorded.door)
    except ValueError as error:
        click.echo(str(error), err=True)
        return 2
    problems = problems_of(door, recorded.input)
    for problem in problems:
        click.echo(_printable(problem))
    click.echo("still found" if problems else "not found any more")
    return 1 if problems else 0


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


if __name__ == "__main__":
    main()
