"""The one codec between values and stored fields: a struct that is stored as it is derives from `Stored`.

Times stay times: the store keeps them. Keys become text (numbers, days, enum members), because the store's maps allow
no others. A struct with `array_like` is stored as a list. A field that an older document lacks takes its default; one
that this release does not know is ignored.

Only the outermost struct's own `to_json` and `from_json` are called: a struct that contains one with a form of its own
has to write and read that one itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self, TypeVar

from msgspec import Struct, ValidationError, convert, to_builtins

from shared.core.values.documents import Document, Fields, UnreadableDocument


class Stored(Struct, frozen=True):
    """A value with a stored form."""

    def to_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = to_builtins(self, str_keys=True, builtin_types=(datetime,))
        return fields

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        """Raises msgspec.ValidationError (a ValueError) that names the field; UnreadableDocument as the fields do.

        The copy is needed: msgspec takes errors of a mapping that is not a dict for an empty one.
        """
        return convert(dict(data), cls, str_keys=True, builtin_types=(datetime,))


Value = TypeVar("Value", bound=Stored)


def stored_in(document: Document, kind: type[Value]) -> Value:
    """The value in the document. Raises UnreadableDocument."""
    try:
        return kind.from_json(document.data)
    except ValidationError as error:
        raise UnreadableDocument(f"{document.path} cannot be read: {error}") from error


def stored_value(value: Any) -> Any:
    """One field as a store returns it: a value with a form of its own writes itself, and tuples become lists."""
    if isinstance(value, Stored):
        return _as_lists(value.to_json())
    return _as_lists(to_builtins(value, str_keys=True, builtin_types=(datetime,)))


def _as_lists(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_as_lists(part) for part in value]
    if isinstance(value, dict):
        return {name: _as_lists(part) for name, part in value.items()}
    return value


class Record(Stored, frozen=True):
    """A whole document, written exactly as it is read back."""

    def to_json(self) -> dict[str, Any]:
        return {name: stored_value(getattr(self, name)) for name in self.__struct_fields__}
