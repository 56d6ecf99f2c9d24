"""The rules of `request.schema.json`, told in words that name the field.

The schema in this package is the worker's own. Beside it: a deadline must be on a real day, a message has a largest
size, and text must be Unicode. What the catalogue knows (models and what they can do) is checked by the worker alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from renderlane.errors import InvalidRequest, Problem

MESSAGE_LIMIT_BYTES = 256 * 1024
FOUND_LIMIT = 80
"""Characters of a wrong value that an error shows."""
SECRET = frozenset({"prompt", "system_instruction"})
"""Fields of which no error shows the value."""
HINTS = {"image_size": "The K is a capital letter, and the size is text."}
_ID = "of letters, digits and . _ : -, starting with a letter or digit, without '..'"
IN_WORDS = {
    "request_id": _ID,
    "cancel": _ID,
    "escalates": _ID,
    "tenant": _ID,
    "aspect_ratio": "that are a ratio such as 16:9",
    "max_cost_usd": 'that are dollars above zero with at most six decimals, such as "0.30"',
    "references[].uri": "that are a gs://, https:// or file:// URI",
    "prompt": "with at least one visible character",
    "system_instruction": "with at least one visible character",
    "deadline": "that is a date and time with offset, such as 2026-12-01T12:00:00Z, of the years 2000 to 2999",
}
"""What a pattern means that nobody wants to read."""

Schema = Mapping[str, Any]


def encoded(payload: Mapping[str, Any]) -> bytes:
    """The data of the message. Raises InvalidRequest with every problem found."""
    problems = tuple(_problems(payload, _schema("cancel" if "cancel" in payload else "request_id"), ""))
    if problems:
        raise InvalidRequest(problems)
    try:
        data = json.dumps(payload, ensure_ascii=False).encode()
    except UnicodeError as error:
        remedy = "Remove halves of surrogate pairs."
        raise InvalidRequest((Problem("the message", "text that is not valid Unicode", "UTF-8", remedy),)) from error
    if len(data) > MESSAGE_LIMIT_BYTES:
        allowed, remedy = f"at most {MESSAGE_LIMIT_BYTES:,} bytes", "Put reference images in a bucket."
        raise InvalidRequest((Problem("the message", f"{len(data):,} bytes", allowed, remedy),))
    return data


@cache
def _schema(field: str) -> Schema:
    """That of the message which requires this field."""
    text = resources.files("renderlane").joinpath("request.schema.json").read_text("utf-8")
    messages: list[Schema] = json.loads(text)["oneOf"]
    return next(message for message in messages if field in message["required"])


def _problems(value: object, schema: Schema, at: str) -> Iterator[Problem]:
    if "anyOf" in schema:
        yield from _either(value, schema["anyOf"], at)
    elif "enum" in schema:
        if not any(type(value) is type(word) and value == word for word in schema["enum"]):
            remedy = HINTS.get(at.rpartition(".")[2], "Use one of these values, spelled exactly like this.")
            yield Problem(at, shown(value, at), ", ".join(map(_word, schema["enum"])), remedy)
    else:
        match schema["type"]:
            case "string":
                yield from _text(value, schema, at)
            case "boolean":
                if not isinstance(value, bool):
                    yield Problem(at, shown(value, at), "true, false", "Give a boolean.")
            case "integer":
                yield from _whole(value, schema, at)
            case "array":
                yield from _list(value, schema, at)
            case "object":
                yield from _object(value, schema, at)
            case other:
                raise NotImplementedError(f"the schema has a type {other} that these rules do not know")


def check_id(request_id: object) -> None:
    """Raises InvalidRequest for what no request can have as its id."""
    schema: Schema = _schema("request_id")["properties"]["request_id"]
    problems = tuple(_problems(request_id, schema, "request_id"))
    if problems:
        raise InvalidRequest(problems)


def _either(value: object, choices: list[Schema], at: str) -> Iterator[Problem]:
    words = [choice["const"] for choice in choices if "const" in choice]
    if isinstance(value, str) and value in words:
        return
    objects = [choice for choice in choices if "const" not in choice]
    if isinstance(value, Mapping):
        yield from _problems(value, objects[0], at)
    else:
        yield Problem(at, shown(value, at), f"{', '.join(words)}, or an object", "Give one of the two.")


def _word(value: str | bool) -> str:
    return json.dumps(value) if isinstance(value, bool) else value


def _whole(value: object, schema: Schema, at: str) -> Iterator[Problem]:
    least, most = schema["minimum"], schema["maximum"]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        allowed = f"a whole number from {least:,} to {most:,}"
        yield Problem(at, shown(value, at), allowed, "Give such a number.")


def _text(value: object, schema: Schema, at: str) -> Iterator[Problem]:
    least, most, pattern = schema["minLength"], schema["maxLength"], schema.get("pattern")
    means = IN_WORDS.get(re.sub(r"\[[0-9]+\]", "[]", at), f"that matches {pattern}") if pattern else ""
    allowed = f"text of {least} to {most:,} characters {means}".rstrip()
    if not isinstance(value, str):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        yield Problem(at, shown(value, at), allowed, f'Give text: "{value}".' if is_number else "Give text.")
    elif not least <= len(value) <= most:
        yield Problem(at, shown(value, at), allowed, "Shorten it." if len(value) > most else "Give it a value.")
    elif pattern is not None and re.fullmatch(pattern, value) is None:
        yield Problem(at, shown(value, at), allowed, "Change it to match.")
    elif at == "deadline":
        yield from _moment(value, at)


def _moment(value: str, at: str) -> Iterator[Problem]:
    try:
        datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        yield Problem(at, shown(value, at), "a moment that exists", f"Correct it: {error}.")


def _list(value: object, schema: Schema, at: str) -> Iterator[Problem]:
    if not isinstance(value, list | tuple):
        yield Problem(at, shown(value, at), f"a list of at most {schema['maxItems']}", "Give a list.")
        return
    if len(value) > schema["maxItems"]:
        yield Problem(at, f"{len(value)} entries", f"at most {schema['maxItems']}", "Remove some.")
        return
    for index, item in enumerate(value):
        yield from _problems(item, schema["items"], f"{at}[{index}]")


def _object(value: object, schema: Schema, at: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(at or "the message", shown(value, at), "an object", "Give an object.")
        return
    prefix = f"{at}." if at else ""
    if "properties" not in schema:
        yield from _labels(value, schema, prefix)
        return
    properties: Schema = schema["properties"]
    for name in value:
        if name not in properties:
            allowed = ", ".join(sorted(properties))
            yield Problem(
                f"{prefix}{_visible(str(name)[:63])}", "an unknown field", allowed, "Remove it, or correct it."
            )
    for name in schema.get("required", ()):
        if name not in value:
            yield Problem(f"{prefix}{name}", "nothing", "a value (required)", f"Add {prefix}{name}.")
    for name, item in properties.items():
        if name in value:
            yield from _problems(value[name], item, f"{prefix}{name}")


def _labels(value: Mapping[Any, Any], schema: Schema, prefix: str) -> Iterator[Problem]:
    if len(value) > schema["maxProperties"]:
        at = prefix.rstrip(".")
        yield Problem(at, f"{len(value)} keys", f"at most {schema['maxProperties']}", "Remove some.")
        return
    for key, item in value.items():
        at = f"{prefix}{_visible(str(key)[:63])}"
        yield from _problems(key, schema["propertyNames"], at)
        yield from _problems(item, schema["additionalProperties"], at)


def shown(value: object, at: str = "") -> str:
    """A wrong value, shortened; of a prompt, a list or an object what it is, of an address no user and no query."""
    match value:
        case str() if at in SECRET:
            return f"text of {len(value):,} characters"
        case list() | tuple():
            return f"a list of {len(value):,}"
        case Mapping():
            return "an object"
        case _:
            bare = _ADDRESS.sub(_without_secrets, value) if isinstance(value, str) else value
            text = json.dumps(bare, ensure_ascii=False, default=str)
            return text if len(text) <= FOUND_LIMIT else f"{text[:FOUND_LIMIT]}…"


_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20}://)([^\s\"'<>\\]*)")


def _without_secrets(match: re.Match[str]) -> str:
    """Scheme, host and path: user, password, query and fragment may be secrets."""
    place = re.split(r"[?#]", match[2], maxsplit=1)[0]
    _, at, host = place.rpartition("@")
    return f"{match[1]}{'…@' if at else ''}{host}{'' if place == match[2] else match[2][len(place)] + '…'}"


_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f\ud800-\udfff]"
)
"""Characters that steer a terminal or end a line: control, formatting, surrogates, line and paragraph separators."""


def _visible(text: str) -> str:
    """`text` with escapes in their place, as the worker writes them."""
    return _STEERING.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
