"""Writes shared/client-ts/src/types.d.ts, the types of the HTTP API, from the schemas of its OpenAPI description.

`./scripts/client-types` runs it; a test keeps the file current.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from functions.api.openapi import description

FILE = Path("shared/client-ts/src/types.d.ts")
ROOTS = ("RenderRequest", "RequestView", "Estimate")
HEAD = "// Written by ./scripts/client-types from the OpenAPI description of the API.\n"
PRIMITIVES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
SENT = {"RenderRequest": ("request_id",)}
"""Fields that the API fills in where they are missing, and the client always sends."""

Schema = Mapping[str, Any]


def text(schemas: Schema) -> str:
    """An exported interface for each root schema and for each that it refers to."""
    names: list[str] = []
    for root in ROOTS:
        _collect(root, schemas, names)
    return HEAD + "".join(f"\n{_interface(name, schemas[name])}" for name in names)


def _collect(name: str, schemas: Schema, into: list[str]) -> None:
    if name in into:
        return
    into.append(name)
    for other in _references(schemas[name]):
        _collect(other, schemas, into)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, Mapping):
        own = [_referred(schema["$ref"])] if "$ref" in schema else []
        return own + [name for part in schema.values() for name in _references(part)]
    if isinstance(schema, list | tuple):
        return [name for part in schema for name in _references(part)]
    return []


def _referred(reference: str) -> str:
    return reference.rpartition("/")[2]


def _interface(name: str, schema: Schema) -> str:
    about = schema.get("description")
    required = {*schema.get("required", ()), *SENT.get(name, ())}
    return f"{_comment(about, '')}export interface {name} {_object(schema, '', required)}\n"


def type_of(schema: Schema, indent: str = "") -> str:
    """The TypeScript type of a JSON Schema, as far as the API's schemas go."""
    match schema:
        case {"$ref": reference}:
            return _referred(reference)
        case {"enum": values}:
            return " | ".join(json.dumps(value) for value in values)
        case {"const": value}:
            return json.dumps(value)
        case {"anyOf": choices} | {"oneOf": choices}:
            return " | ".join(dict.fromkeys(type_of(choice, indent) for choice in choices))
        case {"type": list(kinds)}:
            return " | ".join(type_of({**schema, "type": kind}, indent) for kind in kinds)
        case {"type": "array", "items": items}:
            inner = type_of(items, indent)
            return f"({inner})[]" if " | " in inner else f"{inner}[]"
        case {"type": "object", "properties": _}:
            return _object(schema, indent, set(schema.get("required", ())))
        case {"type": "object", "additionalProperties": Mapping() as values}:
            return f"Record<string, {type_of(values, indent)}>"
        case {"type": kind}:
            return PRIMITIVES[kind]
        case _:
            raise NotImplementedError(f"no TypeScript type is known for {schema}")


def _object(schema: Schema, indent: str, required: set[str]) -> str:
    inside = f"{indent}  "
    lines = [
        f"{_comment(field.get('description'), inside)}{inside}{name}{'' if name in required else '?'}: "
        f"{type_of(field, inside)};\n"
        for name, field in schema["properties"].items()
    ]
    return f"{{\n{''.join(lines)}{indent}}}"


def _comment(about: str | None, indent: str) -> str:
    return f"{indent}/** {' '.join(about.split()).replace('*/', '* /')} */\n" if about else ""


def current() -> str:
    return text(description()["components"]["schemas"])


if __name__ == "__main__":
    FILE.write_text(current(), "utf-8")
