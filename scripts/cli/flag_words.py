"""The words of `renderlane flags`: durations, who acts and why, scopes, and which flag is meant."""

from __future__ import annotations

import getpass
import re
import sys
from datetime import datetime, timedelta

import click

from shared.core.board import Board, FlagRefused
from shared.core.catalogue import Catalogue, UnknownModel
from shared.core.flag import BREAKER, LONGEST_EXPIRY, Flag

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
REASON_LIMIT = 300
ACTOR_LIMIT = 64


class Duration(click.ParamType[timedelta]):
    """90s, 30m, 2h or 1d, up to the longest expiry."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,7})([smhd])", str(value).strip())
        lasts = timedelta(seconds=int(found[1]) * SECONDS[found[2]]) if found else timedelta(0)
        if not timedelta(0) < lasts <= LONGEST_EXPIRY:
            allowed = f"a number and s, m, h or d, such as 90s, 30m, 2h or 1d; at most {LONGEST_EXPIRY.days} days"
            self.fail(f"found {value!r}; allowed: {allowed}. Extend the flag while it is needed.", param, ctx)
        return lasts


def actor(given: str | None) -> str:
    """Who acts: as given, else the login name. Raises click.UsageError."""
    if given is None:
        try:
            given = getpass.getuser()
        except (OSError, KeyError) as error:
            raise click.UsageError("--actor: nobody is logged in by name here; say who acts") from error
    found = " ".join(given.split())
    if not 1 <= len(found) <= ACTOR_LIMIT or not found.isprintable() or found == BREAKER:
        allowed = f"1 to {ACTOR_LIMIT} characters, and not {BREAKER!r}, who acts by itself"
        raise click.UsageError(f"--actor: found {given!r}; allowed: {allowed}")
    return found


def reason(given: str | None) -> str:
    """Why: as given, else asked for on a terminal. Raises click.UsageError."""
    if given is None and at_terminal():
        given = click.prompt("Reason (it stands in every receipt)", err=True)
    found = " ".join((given or "").split())
    if not 1 <= len(found) <= REASON_LIMIT or not found.isprintable():
        told = f"{len(found)} characters" if found else "nothing"
        raise click.UsageError(
            f"--reason: found {told}; allowed: 1 to {REASON_LIMIT} characters of text. "
            "It stands in every receipt that the flag bends."
        )
    return found


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
    """Raises click.BadParameter for what can be no tenant."""
    from shared.core.request import InvalidRequest, RenderRequest

    if name is not None:
        try:
            RenderRequest.parse({"request_id": "x", "prompt": "x", "tenant": name})
        except InvalidRequest as error:
            raise click.BadParameter(str(error.problems[0]), param_hint="--tenant") from error
    return name


def meant(text: str, own: Board, seen: Board, now: datetime) -> Flag:
    """The tripped flag of that id, or the only one of that name. Raises FlagRefused."""
    if text in own.flags:
        return own.flags[text]
    elsewhere = seen.flags.get(text)
    if elsewhere is not None:
        raise FlagRefused(f"flag: {text} is kept by {elsewhere.actor}: change it there")
    named = [each for each in own.in_force(now) if each.name == text]
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(sorted(each.id for each in named))
        raise FlagRefused(f"flag: found {text!r}, which {len(named)} tripped flags are; allowed: one of {ids}")
    return own.find(text)
