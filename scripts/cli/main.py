"""The `renderlane` command: loads each verb when it is called and turns known errors into messages."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import click

GROUPS = {
    "run": ("up", "submit", "cancel", "revive", "simulator"),
    "see": ("status", "list", "explain", "trace", "packet", "quota"),
    "steer": ("flags", "gateway", "tenant"),
    "money": ("cost", "budget"),
    "prepare": ("plan", "drill", "doctor"),
}
"""The verbs under the headings of the help, in the order shown."""
VERBS = tuple(verb for verbs in GROUPS.values() for verb in verbs)
"""Each is a module of the package of its heading in `scripts.cli.commands`, with a `command`."""


NOT_YET = 3
"""Exit code: nothing failed, and the awaited event has not happened yet. docs/cli.md lists all codes."""


class _VisibleError(click.ClickException):
    def format_message(self) -> str:
        """Escape control characters: the text may quote a file or a caller."""
        from shared.core.validation.visible import visible

        return visible(super().format_message(), keep="\n")


class Misconfigured(_VisibleError):
    """A setting or the usage is wrong."""

    exit_code = 2


class Unavailable(_VisibleError):
    """A service that the command needs did not respond."""

    exit_code = 1


class Verbs(click.Group):
    """Loads verbs lazily, groups them in the help, and turns known errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        group = next((group for group, verbs in GROUPS.items() if cmd_name in verbs), None)
        if group is None:
            return None
        command: click.Command = importlib.import_module(f"scripts.cli.commands.{group}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One section per group; summaries start in the same column in all of them."""
        widest = max(map(len, VERBS))
        for group, verbs in GROUPS.items():
            commands = {verb: self.get_command(ctx, verb) for verb in verbs}
            rows = [
                (verb.ljust(widest), command.get_short_help_str(formatter.width - widest - 6))
                for verb, command in commands.items()
                if command is not None
            ]
            with formatter.section(group.capitalize()):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        with explained():
            return super().invoke(ctx)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn known errors into a message with its remedy and an exit code."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise click.exceptions.Exit(130) from error
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        raise message from error


def _message(error: Exception) -> click.ClickException | None:
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
            return Misconfigured(f"invalid catalogue: {error}")
        case StoreUnavailable():
            return Unavailable(f"the store did not respond: {error}. Check RENDERLANE_STORE and RENDERLANE_HOME.")
        case TopicsUnavailable():
            return Unavailable(
                f"the topics did not respond: {error}. Check RENDERLANE_TOPICS; publishing again is safe."
            )
        case UnreadableDocument():
            return Unavailable(f"{error}. The row in the store is damaged: repair or remove it.")
        case ImagesUnavailable():
            return Unavailable(f"the image store did not respond: {error}. Check RENDERLANE_IMAGES.")
        case PermissionError(filename=str(name)):
            return Misconfigured(
                f"cannot access {name} ({error.strerror}). It may belong to another account: run the command as that "
                "account, change the owner (chown), or set RENDERLANE_HOME to another folder."
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
