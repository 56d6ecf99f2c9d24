"""What every store accepts, so that one machine refuses what the cloud would refuse.

Limits from Firestore's documentation (quotas; data types). Each check raises InvalidDocument.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from shared.core.values.documents import Create, Delete, Fields, Increment, InvalidDocument, Query, Update, Value, Write

WRITES_LIMIT = 500
ID_LIMIT_BYTES = 1_500
"""Of a document's id, or a collection's."""
HIDDEN_FIELD = "write_id"
"""The Firestore adapter's own: changes with each write, never shown."""
_INT_LIMIT = 2**63


def check_path(path: str) -> None:
    if len(_segments(path)) % 2:
        raise InvalidDocument(f"{path!r} is no document path: collection/id, or collection/id/collection/id")


def check_query(query: Query) -> None:
    if not len(_segments(query.collection)) % 2:
        raise InvalidDocument(f"{query.collection!r} is no collection path: collection, or collection/id/collection")
    order = [name.removeprefix("-") for name in query.order_by]
    for bound in query.bounds:
        if not order or bound.field != order[0]:
            raise InvalidDocument(f"the bounded field {bound.field!r} is not the first of order_by {order}")
        if bound.value is None or isinstance(bound.value, (list, dict)):
            raise InvalidDocument(
                f"the bound on {bound.field!r} is {bound.value!r}: a number, string or datetime is needed"
            )
    if len(query.after) > len(order):
        raise InvalidDocument(f"after has {len(query.after)} values for {len(order)} fields of order_by")
    if query.limit < 1:
        raise InvalidDocument(f"limit is {query.limit}: at least 1 is needed")
    for name in [*order, *query.fields, *(name for name, _ in query.equal)]:
        _check_name(name)
        if '"' in name or "\\" in name:
            raise InvalidDocument(f"field name {name!r} has a quote or backslash: it can be stored, not queried")
    for value in [*(value for _, value in query.equal), *(bound.value for bound in query.bounds), *query.after]:
        check_value(value)


def check_writes(writes: Sequence[Write]) -> None:
    if len(writes) > WRITES_LIMIT:
        raise InvalidDocument(f"{len(writes)} writes in one commit: at most {WRITES_LIMIT} are allowed")
    if len({write.path for write in writes}) != len(writes):
        raise InvalidDocument("two writes of one commit name the same path")
    for write in writes:
        check_path(write.path)
        match write:
            case Create(data=fields) | Update(changes=fields):
                _check_top_level(fields)
            case Increment(amounts=amounts, also=also):
                _check_top_level(also)
                _check_amounts(amounts, also)
            case Delete():
                pass


def check_value(value: Value) -> None:
    match value:
        case None | bool():
            pass
        case int() if not -_INT_LIMIT <= value < _INT_LIMIT:
            raise InvalidDocument(f"{value} does not fit in 64 bits")
        case float() if not math.isfinite(value):
            raise InvalidDocument(f"{value} is no number that can be stored")
        case datetime() if value.tzinfo is None:
            raise InvalidDocument(f"{value!r} has no time zone")
        case datetime() if not _is_in_utc_s_years(value):
            raise InvalidDocument(f"{value!r} lies outside the years 1 to 9999 in UTC")
        case str() if not _is_unicode(value):
            raise InvalidDocument("a string with half a surrogate pair cannot be stored")
        case int() | float() | str() | datetime():
            pass
        case list() | tuple():
            for item in value:
                if isinstance(item, (list, tuple)):
                    raise InvalidDocument("a list directly inside a list cannot be stored: put a map between")
                check_value(item)
        case Mapping():
            _check_fields(value)
        case _:
            raise InvalidDocument(f"a {type(value).__name__} cannot be stored: {value!r}")


def _segments(path: str) -> list[str]:
    segments = path.split("/")
    for segment in segments:
        if segment in ("", ".", "..") or _is_reserved(segment):
            raise InvalidDocument(f"{path!r} has an empty, dotted or __reserved__ segment")
        if not _is_unicode(segment) or len(segment.encode()) > ID_LIMIT_BYTES:
            raise InvalidDocument(f"{path[:80]!r} has a segment of more than {ID_LIMIT_BYTES:,} bytes, or no Unicode")
    return segments


def _is_reserved(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= name <= "\udfff" for name in text)


def _is_in_utc_s_years(moment: datetime) -> bool:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name or _is_reserved(name) or not _is_unicode(name):
        raise InvalidDocument(f"{name!r} is no field name: a string, not empty, not __reserved__")


def _check_top_level(fields: Fields) -> None:
    if HIDDEN_FIELD in fields:
        raise InvalidDocument(f"the field {HIDDEN_FIELD!r} belongs to the store")
    _check_fields(fields)


def _check_fields(fields: Fields) -> None:
    for name, value in fields.items():
        _check_name(name)
        check_value(value)


def _check_amounts(amounts: Mapping[str, int], also: Fields) -> None:
    for name, amount in amounts.items():
        _check_name(name)
        if type(amount) is not int or not -_INT_LIMIT <= amount < _INT_LIMIT:
            raise InvalidDocument(f"the increment of {name!r} is {amount!r}: a whole number of 64 bits is needed")
        if name in also or name == HIDDEN_FIELD:
            raise InvalidDocument(f"the field {name!r} cannot be both incremented and set")
