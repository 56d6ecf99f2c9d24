"""The words of `renderlane flags`: durations, who acts and why, scopes, and which flag is meant."""

from __future__ import annotations

import getpass
import sys
from datetime import datetime, timedelta

import click

from shared.core.catalogue.catalogue import Catalogue, UnknownModel
from shared.core.routing import flag_form
from shared.core.routing.flag import Flag
from shared.core.routing.flag_board import Board, FlagRefused
from shared.core.validation.shapes import Problem


class Duration(click.ParamType[timedelta]):
    """90s, 30m, 2h or 1d, up to the longest expiry."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        problem = flag_form.parse_duration(str(value))
        if isinstance(problem, Problem):
            self.fail(f"found {value!r}; allowed: {problem.allowed}. {problem.remedy}", param, ctx)
        return problem


def actor(given: str | None) -> str:
    """Who acts: as given, else the login name. Raises click.UsageError."""
    if given is None:
        try:
            given = getpass.getuser()
        except (OSError, KeyError) as error:
            raise click.UsageError("--actor is required: there is no login name on this machine") from error
    problem = flag_form.actor(given)
    if isinstance(problem, Problem):
        raise click.UsageError(f"--actor: found {problem.found}; allowed: {problem.allowed}")
    return problem


def reason(given: str | None) -> str:
    """Why: as given, else asked for on a terminal. Raises click.UsageError."""
    if given is None and at_terminal():
        given = click.prompt("Reason (recorded in receipts)", err=True)
    problem = flag_form.reason(given or "")
    if isinstance(problem, Problem):
        raise click.UsageError(f"--reason: found {problem.found}; allowed: {problem.allowed}. {problem.remedy}")
    return problem


def at_terminal() -> bool:
    return sys.stdin.isatty()


def live_model(name: str | None, catalogue: Catalogue) -> str | None:
    """The id of the live model behind an id or alias. Raises click.BadParameter."""
    try:
        return None if name is None else catalogue.live(name).id
    except UnknownModel as error:
        allowed = ", ".join(catalogue.names)
        raise click.BadParameter(f"found {name!r}; allowed: {allowed}.", param_hint="--model") from error


def tenant(name: str | None) -> str | None:
    """Raises click.BadParameter for an impossible tenant."""
    if name is None:
        return None
    problem = flag_form.tenant(name)
    if isinstance(problem, Problem):
        raise click.BadParameter(str(problem), param_hint="--tenant")
    return problem


def meant(text: str, own: Board, board: Board, now: datetime) -> Flag:
    """The tripped flag of that id, or the only one of that name. Raises FlagRefused."""
    if text in own.flags:
        return own.flags[text]
    elsewhere = board.flags.get(text)
    if elsewhere is not None:
        raise FlagRefused(f"flag: {text} is managed by {elsewhere.actor}; change it there")
    named = [flag for flag in own.in_force(now) if flag.name == text]
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(sorted(flag.id for flag in named))
        raise FlagRefused(f"flag: found {text!r}, which matches {len(named)} flags; allowed: one of {ids}")
    return own.find(text)
