"""One member of an answer, read on its own: nothing that a server sends raises, and nothing unneeded matters. Pure.

Members of an answer are kept as msgspec.Raw and read by these functions, so that a member of another type, or null,
counts as missing instead of making the whole answer unreadable.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Raw

T = TypeVar("T")
NAME_LETTERS = 128
"""Of a model or an id, as they are written down."""
NONE = Raw(b"")
"""A member that is not there."""
Json: TypeAlias = bytes | bytearray | memoryview | Raw


def decoded(raw: Json, kind: type[T]) -> T | None:
    """`raw` as `kind`, or None if it is of another type."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, RecursionError):  # msgspec's own errors, and bytes that are no UTF-8, are ValueErrors
        return None


def first_byte(raw: Raw) -> bytes:
    """It tells which type a JSON value has; empty if there is none."""
    return bytes(memoryview(raw)[:1])


def is_true(raw: Raw) -> bool:
    """true, and what relays write for it."""
    return first_byte(raw) in (b"t", b"1") or bytes(memoryview(raw)[:6]).lower() == b'"true"'


def text_of(raw: Raw) -> str:
    """A text, or a number as text; empty for everything else."""
    match first_byte(raw):
        case b'"':
            return decoded(raw, str) or ""
        case b"" | b"n" | b"t" | b"f" | b"{" | b"[":
            return ""
        case _:
            return bytes(raw).decode("ascii", "replace")


def name_of(raw: Raw) -> str:
    """A text for documents: the printable part of its beginning."""
    return printable(text_of(raw))


def printable(text: str) -> str:
    """Cut to what a document and a terminal can hold, in a success as in a failure."""
    return "".join(letter for letter in text[: 4 * NAME_LETTERS] if letter.isprintable())[:NAME_LETTERS].strip()


def items_of(raw: Raw, kind: type[T]) -> list[T]:
    """The items of a list that are of `kind`; none if it is not a list."""
    if first_byte(raw) != b"[":
        return []
    whole = decoded(raw, list[kind])  # type: ignore[valid-type]  # one pass where all are as they should be
    if whole is not None:
        return whole
    inner = (decoded(item, kind) for item in decoded(raw, list[Raw]) or ())
    return [item for item in inner if item is not None]


def count_of(raw: Raw) -> int | None:
    """A count of tokens, also as text or as 1120.0; None if it is malformed or negative."""
    try:
        number = float(text_of(raw)[:24] or "nan")
    except ValueError:
        return None
    return int(number) if 0 <= number <= 10**9 else None
