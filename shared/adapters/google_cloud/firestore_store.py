"""The store on Firestore, or on its emulator where FIRESTORE_EMULATOR_HOST says so.

Batched writes with preconditions only: a read-write transaction on a shared document stalls the emulator for seconds
and queues in production. Two of Firestore's habits shape this file:
- An update that changes nothing keeps its version. So every write carries a fresh `write_id`, never shown to readers.
- A commit whose answer was lost may have happened, and the second try then fails its own precondition. So after a
  failed precondition the documents are read again: our `write_id` means that we won.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar, assert_never

from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.api_core.exceptions import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    GoogleAPIError,
    InternalServerError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    RetryError,
    ServiceUnavailable,
)
from google.api_core.retry import AsyncRetry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore import AsyncClient, AsyncQuery, AsyncWriteBatch, DocumentSnapshot, FieldFilter, Increment
from google.cloud.firestore_v1.field_path import FieldPath

from shared.adapters.google_cloud import emulator_host
from shared.adapters.port_limits.store_limits import HIDDEN_FIELD, check_path, check_query, check_writes
from shared.core.values import documents
from shared.core.values.documents import (
    Absent,
    Committed,
    Conflict,
    Create,
    Delete,
    Document,
    Fields,
    InvalidDocument,
    Query,
    Update,
    Value,
    Write,
)
from shared.ports.store import StoreUnavailable

T = TypeVar("T")
Snapshot: TypeAlias = DocumentSnapshot[Any]

CALL_TIMEOUT = timedelta(seconds=10)
PATIENCE = CALL_TIMEOUT + timedelta(seconds=2)
"""How long a call is tried again while Firestore cannot be reached or is contended; one without answer once more."""
RECOGNISED_PATHS = 10
"""How many documents of a refused commit are looked at for our own `write_id`."""

_NOTHING_WRITTEN = (Aborted, ResourceExhausted)
_NOTHING_KNOWN = (ServiceUnavailable, DeadlineExceeded, InternalServerError, Cancelled)
_REFUSED = (FailedPrecondition, AlreadyExists, NotFound)


class FirestoreStore:
    """See shared.ports.store.Store. Beside `StoreUnavailable` only InvalidDocument, for what no store accepts."""

    def __init__(self, project: str, database: str | None = None, patience: timedelta = PATIENCE) -> None:
        """Connects at the first call, inside the loop that makes it."""
        self._project = project
        self._database = database
        self._patience = patience
        self._connected: AsyncClient | None = None
        self._closed = False

    async def get(self, path: str) -> Document | Absent:
        (document,) = await self.get_all([path])
        return document

    async def get_all(self, paths: Sequence[str]) -> list[Document | Absent]:
        for path in paths:
            check_path(path)
        if not paths:
            return []
        snapshots = {snapshot.reference.path: snapshot for snapshot in await self._snapshots(paths)}
        return [_document(snapshots[path]) if snapshots[path].exists else _absent(snapshots[path]) for path in paths]

    async def query(self, query: Query) -> list[Document]:
        check_query(query)

        async def find() -> list[Snapshot]:
            return [
                document_snapshot
                async for document_snapshot in self._query(query).stream(
                    retry=None, timeout=CALL_TIMEOUT.total_seconds()
                )
            ]

        return [
            _document(document_snapshot)
            for document_snapshot in await self._call("query", find, self._retry(*_NOTHING_KNOWN))
        ]

    async def count(self, query: Query) -> int:
        check_query(query)

        async def count() -> int:
            aggregation: Any = self._query(query).count()
            answer = await aggregation.get(retry=None, timeout=CALL_TIMEOUT.total_seconds())
            return int(answer[0][0].value)

        return await self._call("count", count, self._retry(*_NOTHING_KNOWN))

    async def commit(self, *writes: Write) -> Committed | Conflict:
        check_writes(writes)
        if not writes:
            return Committed((), datetime.now(UTC))
        write_id = uuid.uuid4().hex

        async def commit() -> Committed:
            batch = self._batch(writes, write_id)
            results = await batch.commit(retry=None, timeout=CALL_TIMEOUT.total_seconds())
            pairs = zip(writes, results, strict=True)
            versions = tuple(
                "" if isinstance(write, Delete) else _version(result.update_time) for write, result in pairs
            )
            commit_time: Any = batch.commit_time
            return Committed(versions, _moment(commit_time))

        # An increment counts twice where the lost answer was a success; a precondition cannot hold twice.
        is_repeatable = any(not isinstance(write, documents.Increment) for write in writes)
        causes = _NOTHING_WRITTEN + (_NOTHING_KNOWN if is_repeatable else ())
        try:
            return await self._call("commit", commit, self._retry(*causes))
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, _REFUSED):
                raise
        return await self._recognised(writes, write_id) or Conflict()

    async def close(self) -> None:
        self._closed = True
        if self._connected is not None:
            await self._connected._firestore_api.transport.close()  # the async client has no close of its own

    def _client(self) -> AsyncClient:
        if self._connected is None:
            emulator_host.settled("FIRESTORE_EMULATOR_HOST")
            self._connected = AsyncClient(project=self._project, database=self._database)
        return self._connected

    async def _snapshots(self, paths: Sequence[str]) -> list[Snapshot]:
        async def read() -> list[Snapshot]:
            client = self._client()
            references = [client.document(path) for path in paths]
            answers = client.get_all(references, retry=None, timeout=CALL_TIMEOUT.total_seconds())
            return [answer async for answer in answers]

        return await self._call("read", read, self._retry(*_NOTHING_KNOWN))

    async def _recognised(self, writes: Sequence[Write], write_id: str) -> Committed | None:
        """Our own commit, where it did happen before its answer was lost. All its documents got one version."""
        paths = [write.path for write in writes if isinstance(write, (Create, Update))][:RECOGNISED_PATHS]
        for snapshot in await self._snapshots(paths) if paths else []:
            if snapshot.exists and snapshot.get(HIDDEN_FIELD) == write_id:
                version = _version(snapshot.update_time)
                versions = tuple("" if isinstance(write, Delete) else version for write in writes)
                return Committed(versions, _moment(snapshot.update_time))
        return None

    def _batch(self, writes: Sequence[Write], write_id: str) -> AsyncWriteBatch:
        client = self._client()
        batch = client.batch()
        mine = {HIDDEN_FIELD: write_id}
        for write in writes:
            document = client.document(write.path)
            match write:
                case Create(data=data):
                    batch.create(document, {**data, **mine})
                case Update(changes=changes, version=version):
                    batch.update(document, _quoted({**changes, **mine}), option=_if_still(client, version))
                case Delete(version=version):
                    batch.delete(document, option=_if_still(client, version))
                case documents.Increment(amounts=amounts, also=also):
                    data = {**{name: Increment(amount) for name, amount in amounts.items()}, **also, **mine}
                    batch.set(document, data, merge=[FieldPath(name).to_api_repr() for name in data])
                case _:
                    assert_never(write)
        return batch

    def _query(self, query: Query) -> AsyncQuery:
        built = self._client().collection(query.collection).limit(query.limit)
        for name, value in query.equal:
            built = built.where(filter=FieldFilter(_quote(name), "==", value))
        for bound in query.bounds:
            built = built.where(filter=FieldFilter(_quote(bound.field), bound.operator, bound.value))
        for name in query.order_by:
            direction = AsyncQuery.DESCENDING if name.startswith("-") else AsyncQuery.ASCENDING
            built = built.order_by(_quote(name.removeprefix("-")), direction=direction)
        if query.after:
            built = built.start_after(list(query.after))
        if query.fields:
            built = built.select([_quote(name) for name in query.fields])
        return built

    def _retry(self, *causes: type[Exception]) -> AsyncRetry:
        """Exponential, each wait drawn at random between nothing and its turn's most."""
        return AsyncRetry(
            predicate=if_exception_type(*causes), initial=0.05, maximum=1.0, timeout=self._patience.total_seconds()
        )

    async def _call(self, what: str, call: Callable[[], Awaitable[T]], retry: AsyncRetry) -> T:
        if self._closed:
            raise StoreUnavailable(f"{what}: the store was closed")
        try:
            answer: T = await retry(call)()
        except InvalidArgument as error:
            raise InvalidDocument(f"Firestore refuses the {what}: {error}") from error
        except (GoogleAPIError, GoogleAuthError) as error:
            cause = error.cause if isinstance(error, RetryError) else error
            raise StoreUnavailable(f"Firestore of project {self._project}, {what}: {cause}") from cause
        return answer


def _quote(name: str) -> str:
    quoted: str = FieldPath(name).to_api_repr()
    return quoted


def _quoted(fields: Fields) -> dict[str, Value]:
    """A bare name with a dot would mean a field inside a field."""
    return {_quote(name): value for name, value in fields.items()}


def _if_still(client: AsyncClient, version: str) -> Any:
    last_update_time = DatetimeWithNanoseconds.from_rfc3339(version)  # type: ignore[no-untyped-call]
    return client.write_option(last_update_time=last_update_time)


def _version(update_time: DatetimeWithNanoseconds) -> str:
    version: str = update_time.rfc3339()  # type: ignore[no-untyped-call]
    return version


def _moment(time: datetime) -> datetime:
    """Without the nanoseconds, which are not ours to keep."""
    return datetime(time.year, time.month, time.day, time.hour, time.minute, time.second, time.microsecond, tzinfo=UTC)


def _document(snapshot: Snapshot) -> Document:
    data = {name: _plain(value) for name, value in (snapshot.to_dict() or {}).items() if name != HIDDEN_FIELD}
    return Document(snapshot.reference.path, data, _version(snapshot.update_time), _moment(snapshot.read_time))


def _absent(snapshot: Snapshot) -> Absent:
    return Absent(snapshot.reference.path, _moment(snapshot.read_time))


def _plain(value: Value) -> Value:
    match value:
        case datetime():
            return _moment(value)
        case list():
            return [_plain(item) for item in value]
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
