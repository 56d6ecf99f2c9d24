"""A document together with its record, and the update that turns one record into another."""

from __future__ import annotations

from typing import Any, Generic, TypeAlias, TypeVar

from shared.core.records.attempt import AttemptRecord
from shared.core.records.batch import BatchRecord
from shared.core.records.note import RejectedRecord
from shared.core.records.request import RequestRecord, RequestRow
from shared.core.values.codec import Record, stored_in, stored_value
from shared.core.values.documents import Committed, Document, Fields, Update

Kind = TypeVar("Kind", bound=Record)


class Versioned(Document, Generic[Kind], frozen=True):
    """`data` are the fields as they were read, including those that this release does not know."""

    record: Kind


Request: TypeAlias = Versioned[RequestRecord]
Row: TypeAlias = Versioned[RequestRow]
Attempt: TypeAlias = Versioned[AttemptRecord]
Batch: TypeAlias = Versioned[BatchRecord]
Rejection: TypeAlias = Versioned[RejectedRecord]


def request_in(document: Document) -> Request:
    """Raises UnreadableDocument."""
    return _read(document, RequestRecord)


def row_in(document: Document) -> Row:
    """Of a document that was read with ROW_FIELDS, or whole. Raises UnreadableDocument."""
    return _read(document, RequestRow)


def attempt_in(document: Document) -> Attempt:
    """Raises UnreadableDocument."""
    return _read(document, AttemptRecord)


def batch_in(document: Document) -> Batch:
    """Raises UnreadableDocument."""
    return _read(document, BatchRecord)


def rejection_in(document: Document) -> Rejection:
    """Raises UnreadableDocument."""
    return _read(document, RejectedRecord)


def _read(document: Document, kind: type[Kind]) -> Versioned[Kind]:
    return Versioned(document.path, document.data, document.version, document.read_at, stored_in(document, kind))


def changes(before: Kind, after: Kind) -> Fields:
    """The fields that differ. What `before` read through a default is not written until it gets another value."""
    return {
        name: stored_value(value)
        for name in before.__struct_fields__
        if (value := getattr(after, name)) != getattr(before, name)
    }


def update(before: Versioned[Kind], after: Kind) -> Update:
    """Fields that no transition changed, or that this release does not know, are not written."""
    return Update(before.path, changes(before.record, after), before.version)


def committed(
    before: Versioned[Kind], after: Kind, write: Update, answer: Committed, place: int = 0
) -> Versioned[Kind]:
    """The document after the commit whose write number `place` was `write`, the update from `before` to `after`."""
    data: dict[str, Any] = {**before.data, **write.changes}
    return Versioned(before.path, data, answer.versions[place], answer.at, after)


def with_record(before: Versioned[Kind], record: Kind) -> Versioned[Kind]:
    """The same document at the same version, with that record instead."""
    return Versioned(before.path, before.data, before.version, before.read_at, record)
