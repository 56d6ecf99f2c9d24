"""Reads a decoded JSON body field by field: of the right type, or Refused with the field's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from scripts.simulator.provider.problems import invalid

T = TypeVar("T")

_NAMES: Mapping[type, str] = {str: "a string", bool: "a boolean", int: "an integer", dict: "an object", list: "a list"}


def read(body: Mapping[str, Any], name: str, kind: type[T], where: str = "") -> T | None:
    """The field, None when absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise invalid(f"Invalid value at '{where}{name}': expected {_NAMES.get(kind, kind.__name__)}.")
    return value


def need(body: Mapping[str, Any], name: str, kind: type[T], where: str = "") -> T:
    value = read(body, name, kind, where)
    if value is None:
        raise invalid(f"Missing required field '{where}{name}'.")
    return value


def objects(value: Iterable[Any], where: str) -> list[dict[str, Any]]:
    items = list(value)
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise invalid(f"Invalid value at '{where}[{number}]': expected an object.")
    return items


def strings(value: Mapping[str, Any], where: str) -> dict[str, str]:
    for name, text in value.items():
        if not isinstance(text, str):
            raise invalid(f"Invalid value at '{where}.{name}': expected a string.")
    return dict(value)
