"""Shapes of JSON values: each parses a value, says what is wrong with it, and writes its own JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, field

from shared.core.validation.addresses import without_secrets
from shared.core.validation.spelling import meant
from shared.core.validation.visible import json_line, visible

FOUND_LIMIT = 80
"""Characters of a wrong value that an error shows."""
UNKNOWN_LIMIT = 20
"""Unknown fields of one object that are named; a message can hold tens of thousands."""


class Problem(Struct, frozen=True):
    """One thing wrong with one field, and what to do about it."""

    field: str
    found: str
    allowed: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: found {self.found}; allowed: {self.allowed}. {self.remedy}"


class ShapeError(Exception):
    """A JSON value does not have the required shape."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class Shape(Protocol):
    def parse(self, value: object, at: str) -> Any: ...

    def schema(self) -> dict[str, Any]: ...


def kind(value: object) -> str:
    """The kind of a value, without showing it: it may hold a prompt."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return f"a string of {len(value):,} characters"
        case list():
            return f"a list of {len(value):,}"
        case _:
            return "an object"


def shown(value: object) -> str:
    """A wrong value as JSON, cut to FOUND_LIMIT characters; of an address without user and query; of a list or object
    only its kind: it may hold a prompt."""
    if isinstance(value, list | dict):
        return kind(value)
    text = json_line(without_secrets(value) if isinstance(value, str) else value, str)
    length = len(value) if isinstance(value, str) else len(text)
    return text if len(text) <= FOUND_LIMIT else f"{text[:FOUND_LIMIT]}… ({length} characters)"


def wrong(at: str, value: object, allowed: str, remedy: str) -> ShapeError:
    return ShapeError([Problem(at, shown(value), allowed, remedy)])


class Text(Struct, frozen=True):
    """A string of `minimum` to `maximum` characters; with `pattern`, one that matches as a whole."""

    minimum: int
    maximum: int
    pattern: str | None = None
    allowed: str = ""
    """The meaning of the pattern, in words."""
    secret: bool = False
    """A value that no error may show (a prompt)."""
    description: str = ""
    remedy: str = ""
    """For a value that does not match the pattern."""

    def parse(self, value: object, at: str) -> str:
        allowed = self.allowed or f"a string of {self.minimum} to {self.maximum:,} characters"
        text = kind(value) if self.secret else shown(value)
        if not isinstance(value, str):
            raise ShapeError([Problem(at, text, allowed, f"Send {at} as a JSON string.")])
        if len(value) < self.minimum:
            raise ShapeError([Problem(at, text, allowed, f"Give {at} a value.")])
        if len(value) > self.maximum:
            raise ShapeError([Problem(at, text, allowed, f"Shorten {at} to {self.maximum:,} characters.")])
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            raise ShapeError([Problem(at, text, allowed, self.remedy or f"Change {at} to match.")])
        return value

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string", "minLength": self.minimum, "maxLength": self.maximum}
        if self.pattern is not None:
            schema["pattern"] = f"^(?:{self.pattern})$"
        if self.description:
            schema["description"] = self.description
        return schema


class Choice(Struct, frozen=True):
    """One of a few words."""

    words: tuple[str, ...]
    hint: Callable[[object], str | None] = lambda _value: None
    """A better remedy for a frequent wrong value."""
    description: str = ""

    def parse(self, value: object, at: str) -> str:
        if isinstance(value, str) and value in self.words:
            return value
        remedy = self.hint(value) or f"Use one of these values for {at}, spelled exactly like this."
        raise wrong(at, value, ", ".join(self.words), remedy)

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"enum": list(self.words)}
        if self.description:
            schema["description"] = self.description
        return schema


class Boolean(Struct, frozen=True):
    """true or false."""

    description: str = ""

    def parse(self, value: object, at: str) -> bool:
        if not isinstance(value, bool):
            raise wrong(at, value, "true, false", f"Send {at} as a JSON boolean, without quotes.")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"} | ({"description": self.description} if self.description else {})


class BooleanOr(Struct, frozen=True):
    """true or false, or one of a few words that say more than true."""

    words: tuple[str, ...]
    description: str = ""

    def parse(self, value: object, at: str) -> bool | str:
        if isinstance(value, bool) or (isinstance(value, str) and value in self.words):
            return value
        allowed = ", ".join(("true", "false", *(f'"{word}"' for word in self.words)))
        raise wrong(at, value, allowed, f"Send {at} as one of these JSON values.")

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"enum": [False, True, *self.words]}
        return schema | ({"description": self.description} if self.description else {})


class Whole(Struct, frozen=True):
    """A whole number within bounds. 1.0 is none: JSON has no integers, but people who write one mean one."""

    least: int
    most: int
    description: str = ""

    def parse(self, value: object, at: str) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most:
            return value
        allowed = f"a whole number from {self.least:,} to {self.most:,}"
        raise wrong(at, value, allowed, f"Send {at} as such a number, without quotes.")

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "integer", "minimum": self.least, "maximum": self.most}
        return schema | ({"description": self.description} if self.description else {})


class ListOf(Struct, frozen=True):
    """Up to `maximum` values of one shape."""

    item: Shape
    maximum: int
    description: str = ""

    def parse(self, value: object, at: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise wrong(at, value, f"a list of at most {self.maximum}", f"Send {at} as a JSON list.")
        if len(value) > self.maximum:
            problem = Problem(at, f"{len(value)} entries", f"at most {self.maximum}", "Remove some.")
            raise ShapeError([problem])
        return tuple(gather(lambda entry, place: self.item.parse(entry, place), value, at))

    def schema(self) -> dict[str, Any]:
        schema = {"type": "array", "maxItems": self.maximum, "items": self.item.schema()}
        return schema | ({"description": self.description} if self.description else {})


class Labels(Struct, frozen=True):
    """A small map of strings."""

    maximum: int
    key: Text
    value: Text
    description: str = ""

    def parse(self, value: object, at: str) -> dict[str, str]:
        if not isinstance(value, dict):
            raise wrong(at, value, "a JSON object of strings", f"Send {at} as an object.")
        if len(value) > self.maximum:
            raise ShapeError([Problem(at, f"{len(value)} keys", f"at most {self.maximum}", "Remove some.")])
        problems: list[Problem] = []
        for key, item in value.items():
            for part, shape in ((key, self.key), (item, self.value)):
                try:
                    shape.parse(part, f"{at}.{visible(key[:63])}")
                except ShapeError as error:
                    problems.extend(error.problems)
        if problems:
            raise ShapeError(problems)
        return dict(value)

    def schema(self) -> dict[str, Any]:
        schema = {
            "type": "object",
            "maxProperties": self.maximum,
            "propertyNames": self.key.schema(),
            "additionalProperties": self.value.schema(),
        }
        return schema | ({"description": self.description} if self.description else {})


class ConstOrObject(Struct, frozen=True):
    """A fixed word, or an object."""

    word: str
    other: Shape
    description: str = ""

    def parse(self, value: object, at: str) -> Any:
        if value == self.word:
            return value
        if isinstance(value, dict):
            return self.other.parse(value, at)
        raise wrong(at, value, f'"{self.word}", or a JSON object', f"Send {at} in one of these two forms.")

    def schema(self) -> dict[str, Any]:
        schema = {"anyOf": [{"const": self.word}, self.other.schema()]}
        return schema | ({"description": self.description} if self.description else {})


class Converted(Struct, frozen=True):
    """A shape whose text becomes a value (a time, an amount of money)."""

    text: Text
    make: Callable[[str], Any]
    """Raises ValueError for well-formed text without a meaning (30 February)."""
    back: Callable[[Any], str] = str
    """The text of a value."""

    def parse(self, value: object, at: str) -> Any:
        text = self.text.parse(value, at)
        try:
            return self.make(text)
        except (ValueError, ArithmeticError) as error:
            allowed = self.text.allowed or "a non-empty value"
            raise wrong(at, value, allowed, f"Correct {at}: {error}.") from error

    def schema(self) -> dict[str, Any]:
        return self.text.schema()


class ObjectOf(Struct, frozen=True):
    """An object with named fields. Unknown fields are refused by name."""

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """JSON examples for the schema; parsing omits absent fields."""
    description: str = ""

    def parse(self, value: object, at: str) -> dict[str, Any]:
        where = at or "the message"
        if not isinstance(value, dict):
            raise ShapeError([Problem(where, kind(value), "a JSON object", f"Send {where} as an object.")])
        prefix = f"{at}." if at else ""
        unknown = [name for name in value if name not in self.fields]
        fields = ", ".join(sorted(self.fields))
        problems = [
            Problem(f"{prefix}{visible(name[:63])}", "an unknown field", fields, self._remedy(name, prefix))
            for name in unknown[:UNKNOWN_LIMIT]
        ]
        if more := unknown[UNKNOWN_LIMIT:]:
            problems.append(Problem(where, f"{len(more):,} more unknown fields", fields, "Remove them."))
        problems += [
            Problem(f"{prefix}{name}", "nothing", "a value (required)", f"Add {prefix}{name}.")
            for name in self.required
            if name not in value
        ]
        parsed: dict[str, Any] = {}
        for name, shape in self.fields.items():
            if name in value:
                try:
                    parsed[name] = shape.parse(value[name], f"{prefix}{name}")
                except ShapeError as error:
                    problems.extend(error.problems)
        if problems:
            raise ShapeError(problems)
        return parsed

    def _remedy(self, unknown: str, prefix: str) -> str:
        likely = meant(unknown, self.fields)
        return f"Write {prefix}{likely}, or remove it." if likely else "Remove it, or correct its spelling."

    def schema(self) -> dict[str, Any]:
        properties = {}
        for name, shape in self.fields.items():
            properties[name] = shape.schema() | ({"default": self.defaults[name]} if name in self.defaults else {})
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        if self.required:
            schema["required"] = list(self.required)
        return schema | ({"description": self.description} if self.description else {})


def gather(parse: Callable[[Any, str], Any], values: Sequence[Any], at: str) -> list[Any]:
    """Parse every entry and report every problem, not only the first."""
    parsed: list[Any] = []
    problems: list[Problem] = []
    for index, value in enumerate(values):
        try:
            parsed.append(parse(value, f"{at}[{index}]"))
        except ShapeError as error:
            problems.extend(error.problems)
    if problems:
        raise ShapeError(problems)
    return parsed
