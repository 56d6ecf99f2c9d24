"""The members of an error, at any place in a body and beside any other members. Pure, but for SENT.

An error decides whether a request ends, so no odd member may hide what the others say. Shapes seen: an error in a list,
in another error, or as JSON text inside a message (https://github.com/continuedev/continue/issues/10902); details as
one object; words as numbers; and bodies without `error` around it (https://github.com/Tongyi-MAI/Z-Image/issues/44,
https://github.com/Anil-matcha/Open-Generative-AI/issues/72).
"""

from __future__ import annotations

import ast

import msgspec
from msgspec import Raw, Struct

from shared.adapters.payloads.json_member import NONE, Json, decoded, first_byte, text_of
from shared.adapters.payloads.quotation import SENT

DEEPEST = 6


class ErrorMembers(Struct, frozen=True):
    """What one error says."""

    message: str = ""
    code: Raw = NONE
    """A word, or a number, which may come as text."""
    status: str = ""
    type: str = ""
    details: tuple[Raw, ...] = ()
    metadata: Raw = NONE
    innererror: Raw = NONE
    is_bare: bool = False
    """It was not inside an `error` member: it is unknown whose statement it is."""


class _Thing(msgspec.Struct):
    error: Raw = NONE
    errors: Raw = NONE
    message: Raw = NONE
    msg: Raw = NONE
    text: Raw = NONE
    detail: Raw = NONE
    error_message: Raw = NONE
    error_description: Raw = NONE
    code: Raw = NONE
    status: Raw = NONE
    type: Raw = NONE
    details: Raw = NONE
    metadata: Raw = NONE
    innererror: Raw = NONE


def error_in(body: Json) -> ErrorMembers | None:
    """The error that a body names as such; None if it names none."""
    return _read(body, inside=False, bare=False, depth=0)


def bare_error_in(body: Json) -> ErrorMembers | None:
    """As `error_in`, and what a body of HTTP status 400 and above says without naming it."""
    return _read(body, inside=False, bare=True, depth=0)


def members_of(error: Json) -> ErrorMembers | None:
    """For an object that is an error because of its place."""
    return _read(error, inside=True, bare=False, depth=0)


def _read(body: Json, *, inside: bool, bare: bool, depth: int) -> ErrorMembers | None:
    raw = decoded(body, Raw)
    if raw is None or depth > DEEPEST:
        return None
    match first_byte(raw):
        case b"[":
            items = decoded(raw, list[Raw]) or ()
            members = (_read(item, inside=inside, bare=bare, depth=depth + 1) for item in items[:DEEPEST])
            return next((error_members for error_members in members if error_members is not None), None)
        case b"{":
            thing = decoded(raw, _Thing)
            return None if thing is None else _of_thing(thing, inside=inside, bare=bare, depth=depth)
        case b'"' if inside:
            return _unfolded(ErrorMembers(message=text_of(raw)), depth)
        case _:
            return None


def _of_thing(thing: _Thing, *, inside: bool, bare: bool, depth: int) -> ErrorMembers | None:
    text = _message(thing)
    if first_byte(thing.error) == b'"' and text and bare:  # OAuth's form: the word, and its description
        return ErrorMembers(text, thing.error)
    for inner in (thing.error, thing.errors):
        if first_byte(inner) in (b"{", b"[", b'"'):
            error_members = _read(inner, inside=True, bare=False, depth=depth + 1)
            if error_members is not None:
                return error_members
    if not inside and not (bare and text):
        return None
    numbered = first_byte(thing.code) in (b"", b"n") and first_byte(thing.status).isdigit()
    members = ErrorMembers(
        text,
        thing.status if numbered else thing.code,
        _word(thing.status),
        _word(thing.type),
        _details(thing.details),
        thing.metadata,
        thing.innererror,
        is_bare=not inside,
    )
    return _unfolded(members, depth)


def _message(thing: _Thing) -> str:
    """The first text among the members that describe what happened; some are lists of such objects."""
    for raw in (thing.message, thing.error_description, thing.detail, thing.msg, thing.error_message, thing.text):
        text = _text_in(raw)
        if text:
            return text
    return ""


def _text_in(raw: Raw) -> str:
    match first_byte(raw):
        case b'"':
            return text_of(raw)
        case b"{":
            thing = decoded(raw, _Thing)
            inner = (thing.message, thing.msg, thing.text) if thing is not None else ()
            return next(filter(None, map(_word, inner)), "")
        case b"[":
            items = decoded(raw, list[Raw]) or ()
            return next((text for item in items[:DEEPEST] if (text := _text_in_item(item))), "")
        case _:
            return ""


def _text_in_item(raw: Raw) -> str:
    return "" if first_byte(raw) == b"[" else _text_in(raw)


def _unfolded(members: ErrorMembers, depth: int) -> ErrorMembers:
    """The error whose JSON is the message of this one, unless it is a quotation of the request."""
    if members.message.lstrip()[:1] not in ("{", "[") or _was_sent(members.message):
        return members
    text = members.message if decoded(members.message.encode(), Raw) is not None else _as_json(members.message)
    return _read(text.encode(), inside=False, bare=True, depth=depth + 1) or members


def _as_json(message: str) -> str:
    """What Python writes of a dictionary, as LiteLLM puts it into messages: {'error': 'Violated moderation policy'}."""
    try:
        return msgspec.json.encode(ast.literal_eval(message[:10_000].strip())).decode()
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ""


def _was_sent(message: str) -> bool:
    """A prompt that is JSON itself makes no statement when it is quoted."""
    line = _letters(message)
    return any(line in _letters(text) for text in SENT.get().texts)


def _letters(text: str) -> str:
    return "".join(name for name in text.lower() if name.isalnum())


def _word(raw: Raw) -> str:
    return text_of(raw) if first_byte(raw) == b'"' else ""


def _details(raw: Raw) -> tuple[Raw, ...]:
    return (raw,) if first_byte(raw) == b"{" else tuple(decoded(raw, list[Raw]) or ())
