"""A store query as SQL over the `documents` table's JSON, with Firestore's meaning.

`json_extract` gives a map or list as JSON text and true as 1, so a comparison is paired with the JSON type wherever
another type could look the same. Absent and null look the same to `json_extract`, never to `json_type`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from shared.core.values.documents import Query, Range, Value

Encode = Callable[[Value], Any]


def path_expression(field: str, function: str = "json_extract") -> str:
    """The SQL expression of a field (a leading `-` is left out): the same text in indexes and queries."""
    name = field.removeprefix("-")
    name = f"${name}" if name.startswith("$") else name
    label = name.replace("'", "''")
    return f"{function}(data, '$.\"{label}\"')"


def where_sql(query: Query, literal_collections: frozenset[str], encode: Encode) -> tuple[str, list[Any]]:
    """Condition and its values. Collections with indexes of their own are written literally, or SQLite would not use
    them."""
    terms: list[str] = []
    values: list[Any] = []
    if query.collection in literal_collections:
        escaped = query.collection.replace("'", "''")
        terms.append(f"collection = '{escaped}'")
    else:
        terms.append("collection = ?")
        values.append(query.collection)
    for name, value in query.equal:
        _add(terms, values, _equal(name, value, encode))
    for bound in query.bounds:
        _add(terms, values, _bound(bound, encode))
    terms.extend(f"{path_expression(name, 'json_type')} IS NOT NULL" for name in query.order_by)
    if query.after:
        _add(terms, values, _after(query, encode))
    return " AND ".join(terms), values


def order_sql(query: Query) -> str:
    def direction(name: str) -> str:
        return "DESC" if name.startswith("-") else "ASC"

    terms = [f"{path_expression(name)} {direction(name)}" for name in query.order_by]
    return ", ".join([*terms, f"path {direction(query.order_by[-1]) if query.order_by else 'ASC'}"])


def _add(terms: list[str], values: list[Any], part: tuple[str, list[Any]]) -> None:
    terms.append(part[0])
    values.extend(part[1])


def _comparable(value: Value, encode: Encode) -> Any:
    """The value as `json_extract` would return it."""
    if isinstance(value, (datetime, list, tuple, dict)):
        return json.dumps(encode(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return value


def _type_guard(name: str, value: Value) -> str:
    kind = path_expression(name, "json_type")
    match value:
        case None:
            return f" AND {kind} = 'null'"
        case bool():
            return f" AND {kind} IN ('true', 'false')"
        case int() | float():
            return f" AND {kind} IN ('integer', 'real')"
        case list() | tuple():
            return f" AND {kind} = 'array'"
        case str():
            return f" AND {kind} = 'text'"
        case _:
            return f" AND {kind} = 'object'"


def _equal(name: str, value: Value, encode: Encode) -> tuple[str, list[Any]]:
    if isinstance(value, str) and not value.startswith(("{", "[")):  # no other type looks like it
        return f"{path_expression(name)} = ?", [value]
    operator = "IS" if value is None else "="
    return f"{path_expression(name)} {operator} ?{_type_guard(name, value)}", [_comparable(value, encode)]


def _bound(bound: Range, encode: Encode) -> tuple[str, list[Any]]:
    guard = _type_guard(bound.field, bound.value)
    return f"{path_expression(bound.field)} {bound.operator} ?{guard}", [_comparable(bound.value, encode)]


def _after(query: Query, encode: Encode) -> tuple[str, list[Any]]:
    """(a > x) OR (a = x AND b > y) ..., each by its own direction, nulls first in ascending order."""
    cases: list[str] = []
    values: list[Any] = []
    same: list[str] = []
    same_values: list[Any] = []
    for name, value in zip(query.order_by, query.after, strict=False):
        beyond, beyond_values = _beyond(name, _comparable(value, encode))
        cases.append(" AND ".join([*same, beyond]))
        values.extend([*same_values, *beyond_values])
        same.append(f"{path_expression(name)} IS ?")
        same_values.append(_comparable(value, encode))
    everything = " OR ".join(f"({case})" for case in cases)
    first, value = query.order_by[0], _comparable(query.after[0], encode)
    if value is None or first.startswith("-"):
        return f"({everything})", values
    # Said once more in the plain form that lets SQLite begin its walk of the index at the cursor.
    return f"{path_expression(first)} >= ? AND ({everything})", [value, *values]


def _beyond(name: str, value: Any) -> tuple[str, list[Any]]:
    column = path_expression(name)
    match name.startswith("-"), value:
        case True, None:
            return "0", []
        case True, _:
            return f"({column} < ? OR {column} IS NULL)", [value]
        case False, None:
            return f"{column} IS NOT NULL", []
        case _:
            return f"{column} > ?", [value]
