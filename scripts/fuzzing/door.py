"""What a door is: it draws an input by a seeded chance, plays it, and names what did not hold."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeAlias

Input: TypeAlias = dict[str, Any]
"""JSON. Bytes stand in it as text, one character for each byte (latin-1)."""
DEEP = "@DEEP"
"""Stands in a text for a hundred thousand opening brackets."""
OWN_FRAMES = ("functions", "shared", "scripts")


class FuzzedDoor(Protocol):
    name: str

    def draw(self, random: Random) -> Input: ...

    def play(self, item: Input) -> Sequence[str]:
        """What did not hold. An exception is a finding too."""


def problems_of(door: FuzzedDoor, item: Input) -> list[str]:
    """What did not hold with this input, each in a line that is the same for findings of one kind."""
    try:
        return list(door.play(item))
    except Exception as error:  # noqa: BLE001  an exception that gets through is the fault
        return [f"raised {type(error).__name__} at {_place(error)}: {str(error)[:300]}"]


def chance(seed: int, door: str, number: int) -> Random:
    """The same for each case, however many ran before it."""
    return Random(f"{seed}/{door}/{number}")


def text_of(data: bytes) -> str:
    return data.decode("latin-1")


def bytes_of(text: str) -> bytes:
    """The bytes that the text stands for."""
    return text.encode("latin-1").replace(DEEP.encode(), b"[" * 100_000)


def _place(error: BaseException) -> str:
    """The innermost line of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    root = Path(__file__).resolve().parents[2]
    own = [frame for frame in frames if frame.filename.startswith(tuple(f"{root}/{part}/" for part in OWN_FRAMES))]
    frame = (own or list(frames))[-1]
    return f"{frame.filename.removeprefix(f'{root}/')}:{frame.lineno}"
