"""The few protobuf messages of Terraform's plugin protocol 6 that a provider of schemas speaks, written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

Json: TypeAlias = Any
Values: TypeAlias = dict[str, Any]

NESTING = {"single": 1, "list": 2, "one": 2}
"""`one`: a list of at most one, as the provider's SDK makes of a block that may stand once."""
UNKNOWN = msgspec.msgpack.Ext(0, b"\0")
ERROR = 1


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field: bytes, a string or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def flag(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value) if value else b""


def fields(message: bytes) -> dict[int, bytes]:
    """Every length-delimited field by its number; the last of a number wins."""
    return dict(_read(message))


def values(dynamic: bytes | None) -> Values | None:
    """A DynamicValue as a dictionary; None for null."""
    content = fields(dynamic or b"").get(1)
    decoded: Values | None = msgspec.msgpack.decode(content) if content else None
    return decoded


def dynamic(values: Values | None) -> bytes:
    return field(1, msgspec.msgpack.encode(values))


def error(summary: str, detail: str) -> bytes:
    return flag(1, ERROR) + field(2, summary.encode()) + field(3, detail.encode())


def schema(block: Json) -> bytes:
    return field(2, _block(block))


def _block(block: Json) -> bytes:
    attributes = b"".join(field(2, _attribute(name, attribute)) for name, attribute in block["attributes"].items())
    return attributes + b"".join(field(3, _nested(name, item)) for name, item in block.get("blocks", {}).items())


def _attribute(name: str, json: Json) -> bytes:
    marks = flag(4, json.get("required", False)) + flag(5, json.get("optional", False))
    return field(1, name.encode()) + field(2, msgspec.json.encode(json["type"])) + marks + flag(6, "computed" in json)


def _nested(name: str, json: Json) -> bytes:
    least = flag(4, 1) if json.get("required") else b""
    most = flag(5, 1) if json["nesting"] == "one" else b""
    return field(1, name.encode()) + field(2, _block(json["block"])) + flag(3, NESTING[json["nesting"]]) + least + most


def _read(message: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        if key & 7 == 2:
            length, at = _number(message, at)
            yield key >> 3, message[at : at + length]
            at += length
        else:
            _, at = _number(message, at)


def _number(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
