"""The `renderlane` command: verbs that are loaded when called, and what a person is told when something is wrong."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import click

VERBS = (
    "up",
    "submit",
    "status",
    "list",
    "explain",
    "cancel",
    "revive",
    "trace",
    "packet",
    "flags",
    "quota",
    "cost",
    "budget",
    "plan",
    "tenant",
    "drill",
    "gateway",
    "doctor",
    "simulator",
)
"""Each is a module of `scripts.cli.commands` with a `command`."""


class _Told(click.ClickException):
    def format_message(self) -> str:
        """A file's or a caller's words may be in it."""
        from shared.core.values.visible import visible

        return visible(super().format_message(), keep="\n")


class Misconfigured(_Told):
    """Something must be set or called otherwise."""

    exit_code = 2


class Unavailable(_Told):
    """A part that the command needs did not answer."""

    exit_code = 1


class Verbs(click.Group):
    """Turns the errors that a person can mend into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"scripts.cli.commands.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        with explained():
            return super().invoke(ctx)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Known errors inside become a message with its remedy and an exit code."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise click.exceptions.Exit(130) from error
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        raise told from error


def _told(error: Exception) -> click.ClickException | None:
    from shared.config import InvalidSetting
    from shared.core.catalogue.toml_errors import BrokenCatalogue
    from shared.core.values.documents import UnreadableDocument
    from shared.ports.images import ImagesUnavailable
    from shared.ports.messaging import TopicsUnavailable
    from shared.ports.store import StoreUnavailable

    match error:
        case InvalidSetting():
            return Misconfigured(str(error))
        case BrokenCatalogue():
            return Misconfigured(f"the catalogue cannot be used: {error}")
        case StoreUnavailable():
            return Unavailable(f"the store did not answer: {error}. Check RENDERLANE_STORE and RENDERLANE_HOME.")
        case TopicsUnavailable():
            return Unavailable(
                f"the topics did not answer: {error}. Check RENDERLANE_TOPICS; publishing again is safe."
            )
        case UnreadableDocument():
            return Unavailable(f"{error}. The row in the store is damaged: repair it, or remove it.")
        case ImagesUnavailable():
            return Unavailable(f"the image store did not answer: {error}. Check RENDERLANE_IMAGES.")
        case PermissionError(filename=str(name)):
            return Misconfigured(
                f"{name} cannot be used ({error.strerror}). It may belong to another account: run the command as that "
                "account, make the file yours (chown), or set RENDERLANE_HOME to another folder."
            )
        case _:
            return None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="renderlane-worker", prog_name="renderlane")
def cli() -> None:
    """A queue worker that turns each render request into exactly one paid image.

    On one machine: `renderlane up` in one terminal, `renderlane submit "a red cube" --wait` in another.
    Settings come from the environment; without GEMINI_API_KEY a simulator answers and nothing is charged.
    """


def main() -> None:
    from scripts.cli.data import streams

    streams.open_missing()
    try:
        cli(prog_name="renderlane")
    except SystemExit as ended:
        streams.leave(ended)
        raise
