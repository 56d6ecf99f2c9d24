"""The values of the store port: versioned documents, writes with preconditions, queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

Value: TypeAlias = Any
"""None, bool, int, float, str, aware datetime (microseconds, UTC), or a list or dict (string keys) of these."""

Fields: TypeAlias = Mapping[str, Value]


class InvalidDocument(ValueError):
    """A path, query or write that no store accepts. The caller, or the content it was given, is wrong."""


class UnreadableDocument(Exception):
    """A stored document cannot be read: its row is damaged, or a release wrote something that none can read."""


class UnreadableFields(Mapping[str, Value]):
    """The fields of an unreadable row. Reading them raises UnreadableDocument: only code that needs them fails."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason

    def __getitem__(self, name: str) -> Value:
        raise UnreadableDocument(f"{self.path} cannot be read: {self.reason}")

    def __iter__(self) -> Iterator[str]:
        raise UnreadableDocument(f"{self.path} cannot be read: {self.reason}")

    def __len__(self) -> int:
        raise UnreadableDocument(f"{self.path} cannot be read: {self.reason}")

    def __repr__(self) -> str:
        return f"UnreadableFields({self.path!r}, {self.reason!r})"


class Document(Struct, frozen=True):
    """One document as it was read. `version` is opaque and changes with every write."""

    path: str
    """`collection/id`, or `collection/id/collection/id` for a sub-collection."""
    data: Fields
    version: str
    read_at: datetime
    """The store's own time of the read."""

    @property
    def id(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def is_readable(self) -> bool:
        return not isinstance(self.data, UnreadableFields)


class Absent(Struct, frozen=True):
    """There was no document at `path` when it was read."""

    path: str
    read_at: datetime


class Create(Struct, frozen=True):
    """Write a whole document; the commit conflicts if one exists."""

    path: str
    data: Fields


class Update(Struct, frozen=True):
    """Replace top-level fields of the document read at `version`; the commit conflicts on any other version."""

    path: str
    changes: Fields
    version: str


class Delete(Struct, frozen=True):
    """Remove the document that was read at `version`."""

    path: str
    version: str


class Increment(Struct, frozen=True):
    """Add whole numbers to top-level fields and set others; creates a missing document. Never conflicts."""

    path: str
    amounts: Mapping[str, int]
    also: Fields = field(default_factory=dict)
    """Plain fields to set beside the increments (labels for queries)."""


Write: TypeAlias = Create | Update | Delete | Increment


class Committed(Struct, frozen=True):
    """All writes happened, together. `versions` in the order of the writes (empty string for a deletion)."""

    versions: tuple[str, ...]
    at: datetime
    """The store's own time of the commit."""


class Conflict(Struct, frozen=True):
    """A precondition did not hold: nothing was written. Read again and decide again."""


class Range(Struct, frozen=True):
    """A bound on one field. The bounded field is the first of `order_by`."""

    field: str
    operator: Literal["<", "<=", ">", ">="]
    value: Value


class Query(Struct, frozen=True):
    """Documents of one collection. Order fields must be present in every document that is to be found. `fields` names
    the fields to read (empty = all): a list of heads must not load prompts."""

    collection: str
    equal: Sequence[tuple[str, Value]] = ()
    bounds: Sequence[Range] = ()
    order_by: Sequence[str] = ()
    """Field names; a leading `-` means descending."""
    limit: int = 100
    after: Sequence[Value] = ()
    """Values of the `order_by` fields of the last document already seen."""
    fields: Sequence[str] = ()
