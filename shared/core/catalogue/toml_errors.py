"""Reads fields of a TOML file one at a time: a wrong one is refused with its line, what was found and what is
allowed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NoReturn

LARGEST_AMOUNT = 1_000_000
"""Dollars: anything beyond this is a typing error."""


LONGEST_FOUND, LONGEST_NAME, MOST_NAMES, LONGEST_MESSAGE = 200, 80, 6, 1_500
"""Characters of a wrong value and of a key, keys of a path, and characters of a whole message: each start logs it."""


class BrokenCatalogue(Exception):
    """The catalogue cannot be used; the message names the line, what was found and what is allowed."""


class TomlFields:
    """The text of a file, for finding the line of a key."""

    def __init__(self, text: str) -> None:
        self.text = text

    def tables(self) -> dict[str, Any]:
        """The file's tables, numbers with a point as Decimal. Raises BrokenCatalogue."""
        try:
            return tomllib.loads(self.text, parse_float=Decimal)
        except (ValueError, ArithmeticError, RecursionError) as error:  # a number or a nesting beyond all bounds
            raise BrokenCatalogue(f"not TOML: {error}") from error

    def typed(self, table: Mapping[str, Any], key: str, at: tuple[str, ...], kind: type, allowed: str) -> Any:
        value = table.get(key)
        if not isinstance(value, kind):
            self.refuse((*at, key), f"{found_text(value)}; allowed: {allowed}")
        return value

    def table(self, table: Mapping[str, Any], key: str, at: tuple[str, ...]) -> Mapping[str, Any]:
        value: Mapping[str, Any] = self.typed(table, key, at, dict, "a table")
        return value

    def one_of(self, table: Mapping[str, Any], key: str, at: tuple[str, ...], allowed: Sequence[str]) -> str:
        value = table.get(key)
        if not isinstance(value, str) or value not in allowed:
            self.refuse((*at, key), f"{found_text(value)}; allowed: {', '.join(allowed)}")
        return value

    def words(self, table: Mapping[str, Any], key: str, at: tuple[str, ...]) -> tuple[str, ...]:
        value = self.typed(table, key, at, list, "a list of words in quotes")
        if not all(isinstance(word, str) for word in value):
            self.refuse((*at, key), f"{found_text(value)}; allowed: a list of words in quotes")
        return tuple(value)

    def whole(
        self, table: Mapping[str, Any], key: str, at: tuple[str, ...], least: int = 0, most: int = 1_000_000
    ) -> int:
        value = table.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.refuse((*at, key), f"{found_text(value)}; allowed: a whole number from {least} to {most:,}")
        return value

    def day(self, table: Mapping[str, Any], key: str, at: tuple[str, ...]) -> date:
        value = table.get(key)
        if not isinstance(value, date) or isinstance(value, datetime):  # a datetime is a date, to Python
            self.refuse((*at, key), f"{found_text(value)}; allowed: a day, such as 2026-11-22")
        return value

    def amount(self, table: Mapping[str, Any], key: str, at: tuple[str, ...]) -> Decimal:
        value = table.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or not Decimal(value).is_finite():
            self.refuse((*at, key), f"{found_text(value)}; allowed: an amount in dollars")
        if not 0 <= value <= LARGEST_AMOUNT:
            self.refuse((*at, key), f"{found_text(value)}; allowed: an amount from 0 to {LARGEST_AMOUNT:,}")
        return Decimal(value)

    def only(self, table: Mapping[str, Any], allowed: Sequence[str], at: tuple[str, ...]) -> None:
        for key in table:
            if key not in allowed:
                self.refuse((*at, key), f"an unknown name; allowed: {', '.join(allowed)}")

    def refuse(self, at: tuple[str, ...], problem: str) -> NoReturn:
        line = self.line_of(at)
        where = f"line {line}, " if line else ""
        name = ".".join(_cut(part, LONGEST_NAME) for part in at[:MOST_NAMES])
        raise BrokenCatalogue(_cut(f"{where}{name or 'the file'}: found {problem}", LONGEST_MESSAGE))

    def line_of(self, at: tuple[str, ...]) -> int:
        """The line of a key, or of the nearest table around it; 0 if neither exists."""
        header: tuple[str, ...] = ()
        best, best_depth = 0, 0
        for number, line in enumerate(self.text.split("\n"), start=1):
            if match := re.match(r"\s*\[([^\[\]]+)\]", line):
                header = _key_path(match.group(1))
                place = header
            elif match := re.match(r"""\s*("[^"]*"|'[^']*'|[\w-]+)\s*=""", line):
                place = (*header, *_key_path(match.group(1)))
            else:
                continue
            depth = min(len(place), len(at))  # a table may stand only as a part of its sub-tables' names
            if place[:depth] == at[:depth] and depth > best_depth:
                best, best_depth = number, depth
        return best


def _key_path(text: str) -> tuple[str, ...]:
    """`models."gemini-3-pro-image"` -> ("models", "gemini-3-pro-image")."""
    return tuple(part.strip("\"'") for part in re.findall(r""""[^"]*"|'[^']*'|[^."'\s]+""", text))


def found_text(value: object) -> str:
    """A wrong value as it may stand in a message."""
    if isinstance(value, Decimal):
        return _cut(str(value), LONGEST_FOUND)
    try:
        return "nothing" if value is None else _cut(repr(value), LONGEST_FOUND)
    except ValueError:  # an integer of thousands of digits
        return "a number beyond all bounds"
    except RecursionError:
        return "tables that are nested too deeply"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
