"""The store on one SQLite file: one table of JSON documents with a version column.

JSON is what the standard library writes, but for two things: a datetime is `{"$at": "2026-11-22T13:00:00.000000Z"}`
(fixed width, so text order is time order), and a key that begins with `$` gets one more `$`. Versions count the commits
of the whole file, so a document that was deleted and made again never has an old version.
Queries read the same as Firestore's: an equal or bounded field matches its own type only, a document without an order
field is not found, and ties are ordered by id.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from shared.adapters.port_limits.store_limits import check_path, check_query, check_writes
from shared.adapters.sqlite.connection import SqliteThread, Transaction
from shared.adapters.sqlite.file_format import check_format, is_of_this_format
from shared.adapters.sqlite.query_sql import order_sql, path_expression, where_sql
from shared.adapters.sqlite.reading import Readable
from shared.core.values.documents import (
    Absent,
    Committed,
    Conflict,
    Create,
    Delete,
    Document,
    Fields,
    Increment,
    InvalidDocument,
    Query,
    UnreadableDocument,
    UnreadableFields,
    Update,
    Value,
    Write,
)
from shared.ports.clock import Clock
from shared.ports.store import StoreUnavailable

MOMENT_LENGTH = len("2026-11-22T13:00:00.000000Z")
DOCUMENT_LIMIT_BYTES = 1_048_576
"""Firestore's limit, as far as it can be computed from the JSON."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS documents (
        path TEXT PRIMARY KEY, collection TEXT NOT NULL, version INTEGER NOT NULL, data TEXT NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS documents_by_collection ON documents (collection, path)",
    "CREATE TABLE IF NOT EXISTS commits (last INTEGER NOT NULL)",
    "INSERT INTO commits SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM commits)",
)

Index = tuple[str, tuple[str, ...]]
"""Collection and fields in order; a leading `-` means descending."""


class SqliteStore:
    """See shared.ports.store.Store. Beside `StoreUnavailable` only InvalidDocument, for what no store accepts, and
    InvalidSetting for a file that another version wrote.
    """

    def __init__(self, path: Path | str, clock: Clock, indexes: Sequence[Index] = ()) -> None:
        self._clock = clock
        self._indexed = frozenset(collection for collection, _ in indexes)
        prepare = partial(_prepare, path, tuple(indexes))
        self._writer = SqliteThread(path, "store-writer", StoreUnavailable, prepare)
        may_read = partial(_may_read, path, tuple(indexes))
        self._reader = SqliteThread(path, "store-reader", StoreUnavailable, prepare, may_read=may_read)

    async def get(self, path: str) -> Document | Absent:
        (document,) = await self.get_all([path])
        return document

    async def get_all(self, paths: Sequence[str]) -> list[Document | Absent]:
        for path in paths:
            check_path(path)
        if not paths:
            return []
        return await self._reader.run(partial(self._read, paths))

    async def query(self, query: Query) -> list[Document]:
        check_query(query)
        return await self._reader.run(partial(self._find, query))

    async def count(self, query: Query) -> int:
        check_query(query)
        where, values = where_sql(query, self._indexed, encoded)
        sql = f"SELECT count(*) FROM (SELECT 1 FROM documents WHERE {where} LIMIT ?)"
        return await self._reader.run(lambda reading: int(_one(reading, sql, [*values, query.limit])))

    async def commit(self, *writes: Write) -> Committed | Conflict:
        check_writes(writes)
        ready = [(write, _encode_write(write)) for write in writes]
        return await self._writer.run(partial(self._commit, ready))

    async def explain(self, query: Query) -> str:
        """SQLite's plan for a query, for the tests that demand an index."""
        sql, values = self._select(query)
        rows = await self._reader.run(
            lambda reading: reading.connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
        )
        return "\n".join(row[3] for row in rows)

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()  # last: a connection that only reads leaves the log beside the file

    def _read(self, paths: Sequence[str], reading: Transaction) -> list[Document | Absent]:
        read_at = self._now()
        rows = reading.connection.execute(
            "SELECT path, version, data FROM documents WHERE path IN (SELECT value FROM json_each(?))",
            [json.dumps(list(paths))],
        )
        documents = {path: Document(path, _fields(path, data), str(version), read_at) for path, version, data in rows}
        return [documents.get(path) or Absent(path, read_at) for path in paths]

    def _select(self, query: Query) -> tuple[str, list[Any]]:
        where, values = where_sql(query, self._indexed, encoded)
        order = order_sql(query)
        sql = f"SELECT path, version, data FROM documents WHERE {where} ORDER BY {order} LIMIT ?"
        return sql, [*values, query.limit]

    def _find(self, query: Query, reading: Transaction) -> list[Document]:
        sql, values = self._select(query)
        read_at = self._now()
        return [
            Document(path, _fields(path, data, query.fields), str(version), read_at)
            for path, version, data in reading.connection.execute(sql, values)
        ]

    def _commit(self, ready: list[tuple[Write, str]], writing: Transaction) -> Committed | Conflict:
        writing.begin()
        connection = writing.connection
        before = [_before(connection, write) for write, _ in ready]
        if not all(_holds(write, row) for (write, _), row in zip(ready, before, strict=True)):
            return Conflict()
        connection.execute("UPDATE commits SET last = last + 1")
        version = int(_one(writing, "SELECT last FROM commits"))
        for (write, text), row in zip(ready, before, strict=True):
            _apply(connection, write, text, row[1] if row else None, version)
        versions = tuple("" if isinstance(write, Delete) else str(version) for write, _ in ready)
        return Committed(versions, self._now())

    def _now(self) -> datetime:
        return self._clock.now().astimezone(UTC)


def _prepare(path: Path | str, indexes: Sequence[Index], transaction: Transaction) -> None:
    transaction.begin()
    check_format(path, transaction)
    for sql in _TABLES:
        transaction.connection.execute(sql)
    for collection, fields in indexes:
        transaction.connection.execute(_index_sql(collection, fields))


def _may_read(path: Path | str, indexes: Sequence[Index], connection: sqlite3.Connection) -> Readable:
    """Whether everything exists that `_prepare` makes. Raises InvalidSetting for a file of another version."""
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not {"documents", "documents_by_collection", "commits"} <= names or not is_of_this_format(path, connection):
        return "no"
    wanted = {_index_name(collection, fields) for collection, fields in indexes}
    return "ready" if wanted <= names else "without all indexes"


def _index_name(collection: str, fields: Sequence[str]) -> str:
    return "__".join(["documents", collection, *(field.replace("-", "desc_", 1) for field in fields)])


def _index_sql(collection: str, fields: Sequence[str]) -> str:
    name = _index_name(collection, fields)
    columns = ["collection"]  # always the same here, but without it the planner takes documents_by_collection
    columns.extend(path_expression(field) + (" DESC" if field.startswith("-") else "") for field in fields)
    columns.append("path" + (" DESC" if fields and fields[-1].startswith("-") else ""))
    quoted = name.replace('"', '""')
    of_collection = collection.replace("'", "''")
    return (
        f'CREATE INDEX IF NOT EXISTS "{quoted}" ON documents ({", ".join(columns)}) '
        f"WHERE collection = '{of_collection}'"
    )


def _one(transaction: Transaction, sql: str, values: Sequence[Any] = ()) -> Any:
    return transaction.connection.execute(sql, values).fetchone()[0]


_Row = tuple[int, str]
"""Version and JSON text."""


def _before(connection: sqlite3.Connection, write: Write) -> _Row | None:
    row: _Row | None = connection.execute("SELECT version, data FROM documents WHERE path = ?", [write.path]).fetchone()
    return row


def _holds(write: Write, row: _Row | None) -> bool:
    match write:
        case Create():
            return row is None
        case Update(version=version) | Delete(version=version):
            return row is not None and str(row[0]) == version
        case Increment():
            return True
        case _:
            assert_never(write)


def _apply(connection: sqlite3.Connection, write: Write, text: str, before: str | None, version: int) -> None:
    match write:
        case Delete():
            connection.execute("DELETE FROM documents WHERE path = ?", [write.path])
            return
        case Create():
            after = text
        case Update():
            after = _merged(before, json.loads(text))
        case Increment():
            after = _merged(before, json.loads(text), write.amounts)
        case _:
            assert_never(write)
    _check_size(write.path, after)
    connection.execute(
        "INSERT INTO documents (path, collection, version, data) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (path) DO UPDATE SET version = excluded.version, data = excluded.data",
        [write.path, write.path.rpartition("/")[0], version, after],
    )


def _merged(before: str | None, changes: dict[str, Any], amounts: Mapping[str, int] | None = None) -> str:
    """Works on the stored form: unchanged fields are not decoded."""
    try:
        stored: dict[str, Any] = json.loads(before) if before else {}
    except ValueError as error:
        raise UnreadableDocument("the row that is to be changed cannot be read") from error
    stored.update(changes)
    for name, amount in (amounts or {}).items():
        now = stored.get(_key(name))
        if isinstance(now, bool) or not isinstance(now, (int, float)):
            now = 0  # Firestore overwrites a field that is not a number
        stored[_key(name)] = now + amount
    return _dumps(stored)


def _encode_write(write: Write) -> str:
    match write:
        case Create(data=fields) | Update(changes=fields) | Increment(also=fields):
            text = _dumps(encoded(fields))
            _check_size(write.path, text)
            return text
        case Delete():
            return ""
        case _:
            assert_never(write)


def _check_size(path: str, text: str) -> None:
    size = len(text.encode())
    if size > DOCUMENT_LIMIT_BYTES:
        raise InvalidDocument(f"{path} has {size:,} bytes: a document may have {DOCUMENT_LIMIT_BYTES:,}")


def _fields(path: str, text: str, names: Sequence[str] = ()) -> Fields:
    """The fields of a row, only `names` if any are named. A damaged row does not affect others."""
    try:
        data = decode(text)
    except _UNREADABLE as error:
        return _some_fields(path, text, names) if names else UnreadableFields(path, type(error).__name__)
    return {name: data[name] for name in names if name in data} if names else data


_UNREADABLE = (ValueError, TypeError, AttributeError, RecursionError)


def _some_fields(path: str, text: str, names: Sequence[str]) -> Fields:
    """The named fields of a row in which others cannot be read."""
    try:
        stored = json.loads(text)
        return {name: _decode_json(json.dumps(stored[_key(name)])) for name in names if _key(name) in stored}
    except _UNREADABLE as error:
        return UnreadableFields(path, type(error).__name__)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def encoded(value: Value) -> Any:
    """The value in a form that JSON can hold."""
    match value:
        case datetime():
            return {"$at": value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")}
        case list() | tuple():
            return [encoded(item) for item in value]
        case Mapping():
            return {_key(key): encoded(item) for key, item in value.items()}
        case _:
            return value


def _key(key: str) -> str:
    return f"${key}" if key.startswith("$") else key


def _decode_map(value: dict[str, Any]) -> Any:
    if "$at" in value:
        return _moment(value["$at"])
    return {key[1:] if key.startswith("$") else key: item for key, item in value.items()}


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # years before 1000 were written without their leading zeros
        return datetime.fromisoformat(text.zfill(MOMENT_LENGTH))


_decode_json: Callable[[str], Any] = json.JSONDecoder(object_hook=_decode_map).decode


def decode(text: str) -> dict[str, Value]:
    data: Fields = _decode_json(text)
    return dict(data)
