"""The store on Firestore, or on its emulator where FIRESTORE_EMULATOR_HOST says so.

Batched writes with preconditions only: a read-write transaction on a shared document stalls the emulator for seconds
and queues in production. Two of Firestore's habits shape this file:
- An update that changes nothing keeps its version. So every write carries a fresh `write_id`, never shown to readers.
- A commit whose answer was lost may have happened, and the second try then fails its own precondition. So after a
  failed precondition the documents are read again: our `write_id` means that we won.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

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
from google.cloud.firestore import AsyncClient, AsyncQuery, DocumentSnapshot, FieldFilter

from shared.adapters.google_cloud import emulator_host
from shared.adapters.google_cloud.firestore_wire import Wire, fields_of, moment_of, quoted, version_of
from shared.adapters.port_limits.store_limits import HIDDEN_FIELD, check_path, check_query, check_writes
from shared.core.values import documents
from shared.core.values.documents import (
    Absent,
    Committed,
    Conflict,
    Create,
    Delete,
    Document,
    InvalidDocument,
    Query,
    Update,
    Write,
)
from shared.ports.store import StoreUnavailable

T = TypeVar("T")
Snapshot: TypeAlias = DocumentSnapshot[Any]

CALL_TIMEOUT = timedelta(seconds=10)
PATIENCE = CALL_TIMEOUT + timedelta(seconds=2)
"""How long a call is retried while Firestore is unreachable or contended; a call without an answer once more."""
RECOGNISED_PATHS = 10
"""How many documents of a refused commit are checked for our own `write_id`."""

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
        self._wired: Wire | None = None
        self._closed = False

    async def get(self, path: str) -> Document | Absent:
        (document,) = await self.get_all([path])
        return document

    async def get_all(self, paths: Sequence[str]) -> list[Document | Absent]:
        for path in paths:
            check_path(path)
        if not paths:
            return []
        answers = await self._read(paths)
        return [_read_document(path, answers[path]) for path in paths]

    async def query(self, query: Query) -> list[Document]:
        check_query(query)

        async def find() -> dict[str, Any]:
            return await self._wire().query(self._query(query), CALL_TIMEOUT)

        answers = await self._call("query", find, self._retry(*_NOTHING_KNOWN))
        return [_document(path, answer.document, answer.read_time) for path, answer in answers.items()]

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
            response = await self._wire().commit(writes, write_id, CALL_TIMEOUT)
            pairs = zip(writes, response.write_results, strict=True)
            versions = tuple(
                "" if isinstance(write, Delete) else version_of(result.update_time) for write, result in pairs
            )
            return Committed(versions, moment_of(response.commit_time))

        # If the lost answer was a success, an increment would count twice; a precondition cannot hold twice.
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
            await self._connected._firestore_api.transport.close()  # the async client cannot be closed itself

    def _client(self) -> AsyncClient:
        if self._connected is None:
            emulator_host.settled("FIRESTORE_EMULATOR_HOST")
            self._connected = AsyncClient(project=self._project, database=self._database)
        return self._connected

    def _wire(self) -> Wire:
        if self._wired is None:
            self._wired = Wire(self._client())
        return self._wired

    async def _read(self, paths: Sequence[str]) -> dict[str, Any]:
        """A BatchGetDocumentsResponse for each."""

        async def read() -> dict[str, Any]:
            return await self._wire().read(paths, CALL_TIMEOUT)

        return await self._call("read", read, self._retry(*_NOTHING_KNOWN))

    async def _recognised(self, writes: Sequence[Write], write_id: str) -> Committed | None:
        """Our own commit, if it happened before its answer was lost. All its documents got one version."""
        paths = [write.path for write in writes if isinstance(write, (Create, Update))][:RECOGNISED_PATHS]
        for answer in (await self._read(paths)).values() if paths else []:
            if answer.found.fields[HIDDEN_FIELD].string_value == write_id:
                version = version_of(answer.found.update_time)
                versions = tuple("" if isinstance(write, Delete) else version for write in writes)
                return Committed(versions, moment_of(answer.found.update_time))
        return None

    def _query(self, query: Query) -> AsyncQuery:
        built = self._client().collection(query.collection).limit(query.limit)
        for name, value in query.equal:
            built = built.where(filter=FieldFilter(quoted(name), "==", value))
        for bound in query.bounds:
            built = built.where(filter=FieldFilter(quoted(bound.field), bound.operator, bound.value))
        for name in query.order_by:
            direction = AsyncQuery.DESCENDING if name.startswith("-") else AsyncQuery.ASCENDING
            built = built.order_by(quoted(name.removeprefix("-")), direction=direction)
        if query.after:
            built = built.start_after(list(query.after))
        if query.fields:
            built = built.select([quoted(name) for name in query.fields])
        return built

    def _retry(self, *causes: type[Exception]) -> AsyncRetry:
        """Exponential: each wait is drawn at random between zero and its maximum."""
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


def _document(path: str, document: Any, read_time: Any) -> Document:
    return Document(path, fields_of(document.fields), version_of(document.update_time), moment_of(read_time))


def _read_document(path: str, answer: Any) -> Document | Absent:
    if answer.missing:
        return Absent(path, moment_of(answer.read_time))
    return _document(path, answer.found, answer.read_time)
