"""The consoles that the command writes to: nothing that a caller wrote steers the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from shared.core.validation.visible import visible

WIDTH_WITHOUT_TERMINAL = 160


class VisibleConsole(Console):
    """Writes each piece of text with its control characters made visible. Styles are added behind it."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else visible(segment.text, keep="\n")
            yield segment if shown == segment.text else Segment(shown, segment.style)


def console(*, stderr: bool = False) -> Console:
    """A width of 0 (COLUMNS=0 in containers, Emacs, expect) is none: rich would print nothing at all.

    Report: https://github.com/rapid7/rex-text/pull/71
    """
    named = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES") or _is_size(value)}
    stream = sys.stderr if stderr else sys.stdout
    fixed = None if stream.isatty() or "COLUMNS" in named else WIDTH_WITHOUT_TERMINAL
    return VisibleConsole(
        width=fixed, highlight=False, markup=False, emoji=False, stderr=stderr, _environ=named
    )  # fmt: skip


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text[:9]) > 0
