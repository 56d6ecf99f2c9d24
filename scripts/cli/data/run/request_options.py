"""Options for the fields of a request: unless a command words them itself, they follow from the field's declaration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from msgspec import NODEFAULT

from shared.core.messages.render_request import REQUEST
from shared.core.validation.declared import Member
from shared.core.validation.shapes import Boolean, Choice, Converted, Text, Whole

SCALARS = (Text, Choice, Whole, Boolean, Converted)
PLAIN = tuple(
    member.name
    for member in REQUEST.members
    if isinstance(member.shape, SCALARS) and not member.group and member.default is not NODEFAULT
)
"""Fields that are one word, number or switch: an option's value is the message's."""


def missing(worded: set[str]) -> Iterator[click.Option]:
    """An option for each of PLAIN that `worded` lacks."""
    for member in REQUEST.members:
        if member.name in PLAIN and member.name not in worded:
            yield _option(member)


def _option(member: Member) -> click.Option:
    shape = member.shape
    first, _, _ = str(shape.schema().get("description", "")).partition(". ")
    more: dict[str, Any] = {"help": f"{first.rstrip('.')}." if first else None}
    match shape:
        case Boolean():
            more |= {"is_flag": True, "default": None}
        case Choice():
            more |= {"type": click.Choice(shape.words)}
        case Whole():
            more |= {"type": int}
        case _:  # text
            pass
    return click.Option([f"--{member.name.replace('_', '-')}", member.name], **more)
