"""Tables that keep their figures whole on a narrow terminal: wide texts fold first, then columns are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

Cell = str | Text
BETWEEN = 3
"""Columns of the terminal between two of the table's."""
EDGES = 2


class Column(Struct, frozen=True):
    name: str
    least: int | None = None
    """None: never cut, as wide as its widest cell."""
    most: int | None = None
    overflow: Literal["fold", "ellipsis"] = "fold"
    right: bool = False
    leaves: int = 0
    """Where the table is still too wide, 1 is left out first; 0 stays."""
    whole: int = 0
    """Cells up to this width are not folded while another column can leave: an id on two lines cannot be copied."""


class Narrowing(Struct, frozen=True):
    """A table that is laid out for the width it gets."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self._widths(options.max_width)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
        for number, width in widths.items():
            column = self.columns[number]
            table.add_column(
                column.name,
                width=width,
                min_width=width if column.least is None else None,
                no_wrap=column.least is None,
                overflow=column.overflow,
                justify="right" if column.right else "left",
            )
        for row in self.rows:
            table.add_row(*(row[number] for number in widths))
        yield table

    def _widths(self, room: int) -> dict[int, int]:
        """Of the columns that are shown, by their number."""
        full = [self._full(number) for number in range(len(self.columns))]
        widths = {
            number: width if column.least is None or width <= column.whole else min(width, column.least)
            for number, (column, width) in enumerate(zip(self.columns, full, strict=True))
        }
        for number in sorted((n for n in widths if self.columns[n].leaves), key=lambda n: self.columns[n].leaves):
            if _total(widths) <= room:
                break
            del widths[number]
        if _total(widths) > room:
            widths = {number: min(width, self.columns[number].least or width) for number, width in widths.items()}
        while _total(widths) < room and (short := [number for number in widths if widths[number] < full[number]]):
            widths[min(short, key=widths.__getitem__)] += 1
        return widths

    def _full(self, number: int) -> int:
        column = self.columns[number]
        widest = max(cell_len(column.name), *(cell_len(str(row[number])) for row in self.rows), 0)
        return widest if column.most is None else min(widest, column.most)


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + BETWEEN * (len(widths) - 1) + EDGES
