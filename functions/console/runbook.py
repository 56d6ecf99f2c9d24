"""The runbook as the console shows it: what each outcome and alert means, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from markupsafe import Markup
from msgspec import Struct

FILE = Path(__file__).parent.parent.parent / "RUNBOOK.md"


class Section(Struct, frozen=True):
    """One heading."""

    name: str
    chapter: str
    lines: tuple[tuple[str, str], ...]
    """Its points (`Means`, `Owner`, `First check`, `Next move`), each with its text."""
    body: str = ""
    """The Markdown source."""

    @property
    def means(self) -> str:
        """The first sentence."""
        return re.split(r"(?<=\.)\s", dict(self.lines).get("Means", ""))[0]

    @property
    def next_move(self) -> str:
        return dict(self.lines).get("Next move", "")


@cache
def sections(file: Path = FILE) -> Mapping[str, Section]:
    """By heading, in their order; empty if the file was not installed."""
    return parse(file.read_text("utf-8")) if file.is_file() else {}


@cache
def introduction(file: Path = FILE) -> str:
    """The text before the first chapter, in Markdown, without the title."""
    text = file.read_text("utf-8") if file.is_file() else ""
    return text.partition("\n## ")[0].partition("\n")[2].strip()


@cache
def html(markdown: str) -> Markup:
    """Rendered; invalid Markdown is shown as text, and a link only leads to a web page or to a heading."""
    from markdown_it import MarkdownIt  # loaded when the runbook is read

    rendered = MarkdownIt("commonmark", {"html": False}).render(markdown)
    return Markup(_LINK.sub("", rendered))


_LINK = re.compile(r' href="(?!https?://|#)[^"]*"')


def parse(text: str) -> dict[str, Section]:
    sections: dict[str, Section] = {}
    for chapter in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, below = chapter.partition("\n")
        for part in re.split(r"^### ", below, flags=re.MULTILINE)[1:]:
            name, _, body = part.partition("\n")
            lines = re.findall(r"^- ([^:\n]+): (.+)$", body, flags=re.MULTILINE)
            sections[name.strip()] = Section(
                name.strip(), title.strip(), tuple((about, sentence) for about, sentence in lines), body.strip()
            )
    return sections
