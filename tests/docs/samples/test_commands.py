"""Every `renderlane` command that a page, the runbook or the console names can be called as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from scripts.cli.main import cli

PLACES = (
    *("README.md", "RUNBOOK.md", "CONTRIBUTING.md", "SECURITY.md"),
    *("docs/**/*.md", "functions/console/templates/*.html", "shared/**/*.py", "functions/**/*.py", "scripts/**/*.py"),
)
OLD = "docs/decisions"
"""Decisions tell what was; a command may have had another name then."""
CALL = re.compile(r"(?:`|<code>|<pre[^>]*>|^ {4})(?:\.venv/bin/)?renderlane ([^`<\n]+)", re.MULTILINE)
AND_MORE = re.compile(r" {3,}|\s#| \| | > | && |; ")
"""What follows is no part of the command."""
NOT_CALLS = {"demo"}
"""Names of other things: the file of a catalogue's entry, a release."""


def commands() -> dict[str, Path]:
    """Each once, with a place where it stands."""
    places = [path for place in PLACES for path in sorted(Path().glob(place)) if not str(path).startswith(OLD)]
    return {AND_MORE.split(call)[0].strip(): path for path in places for call in CALL.findall(path.read_text("utf-8"))}


def wrong_in(call: str) -> str | None:
    """The word that the command line does not know."""
    try:
        words = shlex.split(call)
    except ValueError:
        words = call.split()
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("--"):
        word, *words = words
        sub = command.get_command(click.Context(command), word)
        if sub is None and command is cli:
            return word if word.islower() and word not in NOT_CALLS else None
        command = sub or command  # `tenant NAME webhook`: a name may come before the verb
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    used = [word.partition("=")[0].rstrip(".,:)") for word in words if word.startswith("--")]
    return next((word for word in used if word not in options), None)


@pytest.mark.parametrize(("call", "path"), commands().items(), ids=list(commands()))
def test_a_command_that_is_named_can_be_called(call: str, path: Path) -> None:
    assert wrong_in(call) is None, f"{path}: renderlane {call}"


def test_a_command_that_does_not_exist_is_found() -> None:
    assert wrong_in("tenant web budget --limit 5") == "--limit"
    assert wrong_in('submit --prompt "a cube"') == "--prompt"
    assert wrong_in("retry --all") == "retry"
    assert len(commands()) > 90


def test_the_runbook_names_the_way_to_retry_what_failed() -> None:
    runbook = Path("RUNBOOK.md").read_text("utf-8")
    assert "`renderlane revive --outcome budget --tenant TENANT --yes`" in runbook
    assert "renderlane revive --outcome overload --since 1h" in runbook
