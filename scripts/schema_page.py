"""The table of request fields in docs/request-fields.md, written from the JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

HEAD = """# Request fields

The data of a message on `render-requests`: UTF-8 JSON of at most 262,144 bytes. `./scripts/schema` writes this page
from the code that parses requests; `shared/request.schema.json` is the same as JSON Schema. An unknown field is refused
by name.

| field | type and limits | default | meaning |
|---|---|---|---|
"""


def page(schema: dict[str, Any]) -> str:
    """Markdown of the whole page, with a row for each field of a request and one for a cancellation."""
    request, cancel = schema["oneOf"]
    sole = {**cancel, "properties": {name: cancel["properties"][name] for name in cancel["required"]}}
    rows = [*_rows(request), *_rows(sole, cancel.get("description", ""))]
    return HEAD + "\n".join(rows) + "\n"


def _rows(shape: dict[str, Any], meaning: str = "") -> Iterator[str]:
    for name, field in shape["properties"].items():
        default = "required" if name in shape.get("required", ()) else _default(field)
        yield f"| `{name}` | {_kind(field)} | {default} | {meaning or field.get('description', '')} |"


def _default(field: dict[str, Any]) -> str:
    return f"`{json.dumps(field['default'])}`" if "default" in field else "none"


def _kind(field: dict[str, Any]) -> str:
    """The type and its limits in words."""
    if "enum" in field:
        return ", ".join(f"`{value if isinstance(value, str) else json.dumps(value)}`" for value in field["enum"])
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "anyOf" in field:
        return " or ".join(_kind(choice) for choice in field["anyOf"])
    match field.get("type"):
        case "string":
            return f"text of {field['minLength']:,} to {field['maxLength']:,} characters"
        case "array":
            return f"up to {field['maxItems']} of: {_kind(field['items'])}"
        case "object" if "properties" in field:
            return "object with " + ", ".join(f"`{name}`" for name in field["properties"])
        case "object":
            key, value = field["propertyNames"], field["additionalProperties"]
            return (
                f"object of up to {field['maxProperties']} keys of at most {key['maxLength']} characters,"
                f" values of at most {value['maxLength']}"
            )
        case kind:
            return {"boolean": "`true` or `false`"}.get(str(kind), str(kind))
