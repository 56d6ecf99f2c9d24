"""Every place of an answer where a picture may stand, in the order of the answer, in whichever form. Pure.

One reader for interactions, generateContent and the OpenAI forms, since relays mix them: a part is known by its
members, not by the shape around it, and one that is of another type than documented is passed over, with its
neighbours still read. The JSON is decoded as views of one buffer, so that a picture of 20 MB exists as its
base64 once.

Sources: https://github.com/BerriAI/litellm/issues/16227 (message.images), https://github.com/BerriAI/litellm/pull/13983
(message.image), https://github.com/defog-ai/defog/pull/288 (outputs), https://github.com/nyroway/nyro/pull/205 (uri).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct

from shared.adapters.payloads.json_member import NONE, decoded, first_byte, is_true, text_of
from shared.adapters.payloads.text_images import addresses_in, apart
from shared.adapters.payloads.unnamed_images import THOUGHTS, begins_like_one, encoded_in, texts_in, values_in

DEEPEST = 12
ADDRESS_LETTERS = 2_000
"""Longer ones are ignored: they are kept in documents."""


class Part(Struct, frozen=True):
    """One picture, or the address of one; neither if its member is empty."""

    encoded: Raw | str = ""
    """Base64, also as a data URL."""
    address: str = ""
    is_thought: bool = False
    """An intermediate picture of the model; not the one that was ordered."""
    in_text: bool = False


class _Thing(msgspec.Struct):
    """Any object of an answer: the members that lead to a picture or are one, of any type."""

    type: Raw = NONE
    role: Raw = NONE
    thought: Raw = NONE
    mime_type: Raw = NONE
    mimeType: Raw = NONE
    response: Raw = NONE
    interaction: Raw = NONE
    candidates: Raw = NONE
    choices: Raw = NONE
    predictions: Raw = NONE
    step: Raw = NONE
    steps: Raw = NONE
    outputs: Raw = NONE
    output: Raw = NONE
    message: Raw = NONE
    delta: Raw = NONE
    summary: Raw = NONE
    content: Raw = NONE
    parts: Raw = NONE
    text: Raw = NONE
    images: Raw = NONE
    image: Raw = NONE
    inlineData: Raw = NONE
    inline_data: Raw = NONE
    fileData: Raw = NONE
    file_data: Raw = NONE
    source: Raw = NONE
    image_url: Raw = NONE
    imageUrl: Raw = NONE
    url: Raw = NONE
    uri: Raw = NONE
    fileUri: Raw = NONE
    file_uri: Raw = NONE
    data: Raw = NONE
    result: Raw = NONE
    b64_json: Raw = NONE
    base64: Raw = NONE
    image_base64: Raw = NONE
    bytesBase64Encoded: Raw = NONE


LEADING = (
    "response", "interaction", "candidates", "choices", "predictions", "step", "steps", "outputs", "output", "message",
    "delta", "parts",
)  # fmt: skip
"""Members whose value is searched, and is never a picture itself."""
ADDRESSED = ("image_url", "imageUrl", "url", "uri", "fileUri", "file_uri")
"""Members whose text usually is an address; a data URL among them is a picture."""
HOLDING = (
    "images", "image", "inlineData", "inline_data", "fileData", "file_data", "source", "data", "result", "b64_json",
    "base64", "image_base64", "bytesBase64Encoded",
)  # fmt: skip
"""Members whose text usually is base64, and whose objects hold one of these in turn."""

Texts: TypeAlias = bool
"""Whether addresses in the model's text are pictures too, as in the chat form."""


def parts_of(answer: Raw, *, texts: Texts = False) -> list[Part]:
    """In the order of the answer. If no known member holds something that begins like a picture or is an address,
    pictures from anywhere else come first: they only count if nothing else does."""
    parts = list(_walk(answer, texts, thought=False, depth=0))
    if any(part.address or begins_like_one(part.encoded) for part in parts if not part.is_thought):
        return parts
    return [*_anywhere(answer, texts), *parts]


def _anywhere(answer: Raw, texts: Texts) -> Iterator[Part]:
    for value in values_in(answer) if texts else ():
        yield from _walk(value, texts, thought=False, depth=1)
        yield from (Part(encoded=encoded) for encoded in encoded_in(value))
    for text, named in texts_in(answer):
        yield from in_text(text, texts=texts and named)
    for encoded in encoded_in(answer):
        yield Part(encoded=encoded)


def _walk(raw: Raw, texts: Texts, *, thought: bool, depth: int) -> Iterator[Part]:
    if depth > DEEPEST:
        return
    match first_byte(raw):
        case b"[":
            for thing in _things(raw):
                if isinstance(thing, _Thing):
                    yield from _of_thing(thing, texts, thought=thought, depth=depth + 1)
                else:
                    yield from _walk(thing, texts, thought=thought, depth=depth + 1)
        case b"{":
            nested = decoded(raw, _Thing)
            if nested is not None:
                yield from _of_thing(nested, texts, thought=thought, depth=depth + 1)
        case _:
            pass


def _things(raw: Raw) -> Sequence[_Thing | Raw]:
    return decoded(raw, list[_Thing]) or decoded(raw, list[Raw]) or ()


def _of_thing(thing: _Thing, texts: Texts, *, thought: bool, depth: int) -> Iterator[Part]:
    kind = text_of(thing.type).lower()
    if _is_input(kind, text_of(thing.role).lower()):
        return
    thought = thought or is_true(thing.thought) or kind in THOUGHTS
    for name in LEADING:
        yield from _walk(getattr(thing, name), texts, thought=thought, depth=depth)
    yield from _walk(thing.summary, texts, thought=True, depth=depth)
    for raw in (thing.content, thing.text):
        if first_byte(raw) == b'"':
            yield from _in_text(raw, texts, thought=thought)
        else:
            yield from _walk(raw, texts, thought=thought, depth=depth)
    for name in ADDRESSED if _may_be_fetched(thing) else ():
        yield from _parts_within(getattr(thing, name), texts, thought=thought, depth=depth, is_address=True)
    for name in HOLDING:
        yield from _parts_within(getattr(thing, name), texts, thought=thought, depth=depth, is_address=False)


def _is_input(kind: str, role: str) -> bool:
    """What we sent, and what tools returned: pictures in it are not the answer."""
    own = kind == "image_generation_call"
    return role == "user" or kind.startswith("user") or (kind.endswith(("_call", "_result")) and not own)


def _may_be_fetched(thing: _Thing) -> bool:
    """Bytes tell their own type; of something at an address only this is known."""
    text = text_of(thing.mime_type) or text_of(thing.mimeType)
    return text.lower().partition("/")[0] not in ("text", "audio", "video")


def _parts_within(raw: Raw, texts: Texts, *, thought: bool, depth: int, is_address: bool) -> Iterator[Part]:
    """The value of a member that holds a picture: text, an object, or a list of either."""
    match first_byte(raw):
        case b'"':
            yield from _of_string(raw, thought=thought, is_address=is_address)
        case b"[":
            for inner in decoded(raw, list[Raw]) or ():
                yield from _parts_within(inner, texts, thought=thought, depth=depth + 1, is_address=is_address)
        case b"{":
            yield from _walk(raw, texts, thought=thought, depth=depth)
        case b"" | b"n":
            pass
        case _ if not is_address:  # a number where a picture should be
            yield Part(is_thought=thought)
        case _:
            pass


def _of_string(raw: Raw, *, thought: bool, is_address: bool) -> Iterator[Part]:
    start = bytes(memoryview(raw)[1:64]).lstrip().lower()
    is_data_url = start.startswith(b"data:")
    is_address = not is_data_url and (is_address or bool(re.match(rb"(https?|gs):", start)))
    if not is_address:
        yield Part(encoded=raw if len(memoryview(raw)) > 2 else "", is_thought=thought)
        return
    address = text_of(raw).strip()
    if 0 < len(address) <= ADDRESS_LETTERS:
        yield Part(address=address, is_thought=thought)


def _in_text(raw: Raw, texts: Texts, *, thought: bool) -> Iterator[Part]:
    yield from in_text(text_of(raw), texts=texts, thought=thought)


def in_text(text: str, *, texts: Texts, thought: bool = False) -> Iterator[Part]:
    """Pictures in the model's text: data URLs, and with `texts` also addresses."""
    pieces = apart(text)
    for encoded in pieces.encoded:
        yield Part(encoded=encoded, is_thought=thought, in_text=True)
    for address in addresses_in(pieces.rest) if texts else ():
        if len(address) <= ADDRESS_LETTERS:
            yield Part(address=address, is_thought=thought, in_text=True)
