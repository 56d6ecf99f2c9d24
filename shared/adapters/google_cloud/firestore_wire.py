"""Firestore's commit, batch read and query in its own protocol buffers, on google-cloud-firestore's channel.

The client wraps each value, each field and each answer in proto-plus objects, twice for a commit: half of the processor
time of a call, and most of a query's. So these calls are written with the generated messages below those objects.
Client, channel, credentials and retries stay the library's; it also builds queries, and counts.
Source: https://cloud.google.com/firestore/docs/reference/rpc/google.firestore.v1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, assert_never

from google.api_core.exceptions import from_grpc_error
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.cloud.firestore import AsyncClient, AsyncQuery
from google.cloud.firestore_v1 import types
from google.cloud.firestore_v1.field_path import FieldPath
from google.protobuf.struct_pb2 import NULL_VALUE  # type: ignore[import-untyped]
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]
from grpc import RpcError  # type: ignore[import-untyped]

from shared.adapters.port_limits.store_limits import HIDDEN_FIELD
from shared.core.values.documents import Create, Delete, Fields, Increment, Update, Value, Write

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Value: Any = types.Value.pb()
_Document: Any = types.Document.pb()
_Write: Any = types.Write.pb()
_CommitRequest: Any = types.CommitRequest.pb()
_CommitResponse: Any = types.CommitResponse.pb()
_BatchRequest: Any = types.BatchGetDocumentsRequest.pb()
_BatchResponse: Any = types.BatchGetDocumentsResponse.pb()
_QueryRequest: Any = types.RunQueryRequest.pb()
_QueryResponse: Any = types.RunQueryResponse.pb()


class Wire:
    """The three calls of one client. They raise google.api_core's exceptions, as the client's own methods do."""

    def __init__(self, client: AsyncClient) -> None:
        self._database = client._database_string
        self._documents = f"{self._database}/documents/"
        routed = ("x-goog-request-params", f"database={self._database.replace('/', '%2F')}")
        self._client_metadata = tuple(client._rpc_metadata)
        self._metadata = (*self._client_metadata, routed)
        channel = client._firestore_api.transport.grpc_channel
        service = "/google.firestore.v1.Firestore"
        self._commit = channel.unary_unary(
            f"{service}/Commit",
            request_serializer=_CommitRequest.SerializeToString,
            response_deserializer=_CommitResponse.FromString,
        )
        self._batch_get = channel.unary_stream(
            f"{service}/BatchGetDocuments",
            request_serializer=_BatchRequest.SerializeToString,
            response_deserializer=_BatchResponse.FromString,
        )
        self._run_query = channel.unary_stream(
            f"{service}/RunQuery",
            request_serializer=_QueryRequest.SerializeToString,
            response_deserializer=_QueryResponse.FromString,
        )

    async def commit(self, writes: Sequence[Write], write_id: str, timeout: timedelta) -> Any:
        """A CommitResponse."""
        request = _CommitRequest(
            database=self._database, writes=[write_of(write, write_id, self._documents) for write in writes]
        )
        try:
            return await self._commit(request, timeout=timeout.total_seconds(), metadata=self._metadata)
        except RpcError as error:
            raise from_grpc_error(error) from error  # type: ignore[no-untyped-call]

    async def read(self, paths: Sequence[str], timeout: timedelta) -> dict[str, Any]:
        """A BatchGetDocumentsResponse for each path, with either `found` or `missing`."""
        request = _BatchRequest(database=self._database, documents=[self._documents + path for path in paths])
        answers = await self._all(self._batch_get, request, timeout, self._metadata)
        return {self._path(answer.missing or answer.found.name): answer for answer in answers}

    async def query(self, query: AsyncQuery, timeout: timedelta) -> dict[str, Any]:
        """A RunQueryResponse by path, in the query's order."""
        parent, _ = query._parent._parent_info()
        request = _QueryRequest(parent=parent, structured_query=types.StructuredQuery.pb(query._to_protobuf()))
        metadata = (*self._client_metadata, to_grpc_metadata((("parent", parent),)))  # type: ignore[no-untyped-call]
        answers = await self._all(self._run_query, request, timeout, metadata)
        # The last one may bring nothing but its time.
        return {self._path(answer.document.name): answer for answer in answers if answer.HasField("document")}

    async def _all(self, call: Any, request: Any, timeout: timedelta, metadata: Any) -> list[Any]:
        """What a stream of answers brings."""
        try:
            return [answer async for answer in call(request, timeout=timeout.total_seconds(), metadata=metadata)]
        except RpcError as error:
            raise from_grpc_error(error) from error  # type: ignore[no-untyped-call]

    def _path(self, name: str) -> str:
        """Of a document, below the database."""
        return name[len(self._documents) :]


def write_of(write: Write, write_id: str, documents: str) -> Any:
    """A Write; `documents` goes before its path."""
    name = documents + write.path
    match write:
        case Create(data=data):
            return _Write(update=_document(name, data, write_id), current_document={"exists": False})
        case Update(changes=changes, version=version):
            return _Write(
                update=_document(name, changes, write_id),
                update_mask={"field_paths": _mask(changes)},
                current_document={"update_time": _time_of(version)},
            )
        case Delete(version=version):
            return _Write(delete=name, current_document={"update_time": _time_of(version)})
        case Increment(amounts=amounts, also=also):
            return _Write(
                update=_document(name, also, write_id),
                update_mask={"field_paths": _mask(also)},
                update_transforms=[
                    {"field_path": quoted(field), "increment": _Value(integer_value=amount)}
                    for field, amount in amounts.items()
                ],
            )
        case _:
            assert_never(write)


@lru_cache(maxsize=4096)
def quoted(name: str) -> str:
    """As a path: a bare name with a dot would mean a field inside a field."""
    path: str = FieldPath(name).to_api_repr()
    return path


def value_of(value: Value) -> Any:
    """A Value. Raises ValueError or TypeError for what Firestore has no form of."""
    match value:
        case str():
            return _Value(string_value=value)
        case bool():
            return _Value(boolean_value=value)
        case int():
            return _Value(integer_value=value)
        case None:
            return _Value(null_value=NULL_VALUE)
        case datetime():
            moment = Timestamp()
            moment.FromDatetime(value)
            return _Value(timestamp_value=moment)
        case float():
            return _Value(double_value=value)
        case Mapping():
            return _Value(map_value={"fields": {name: value_of(item) for name, item in value.items()}})
        case bytes():
            return _Value(bytes_value=value)
        case list() | tuple():
            return _Value(array_value={"values": [value_of(item) for item in value]})
        case _:
            raise TypeError(f"cannot be stored: a {type(value).__name__}")


def plain(value: Any) -> Value:
    """What a Value says. References and places, which nothing here writes, as text and as two numbers."""
    match value.WhichOneof("value_type"):
        case "string_value":
            text: Value = value.string_value
            return text
        case "integer_value":
            return int(value.integer_value)
        case "boolean_value":
            return bool(value.boolean_value)
        case "timestamp_value":
            return moment_of(value.timestamp_value)
        case "double_value":
            return float(value.double_value)
        case "map_value":
            return {name: plain(item) for name, item in value.map_value.fields.items()}
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "bytes_value":
            return bytes(value.bytes_value)
        case "reference_value":
            return str(value.reference_value)
        case "geo_point_value":
            return [value.geo_point_value.latitude, value.geo_point_value.longitude]
        case _:
            return None


def fields_of(fields: Mapping[str, Any]) -> dict[str, Value]:
    """Of a document, without our `write_id`."""
    return {name: plain(value) for name, value in fields.items() if name != HIDDEN_FIELD}


def moment_of(time: Any) -> datetime:
    """Without the nanoseconds, which are not ours to keep."""
    return EPOCH + timedelta(seconds=time.seconds, microseconds=time.nanos // 1000)


def version_of(time: Any) -> str:
    """As google-cloud-firestore writes it (DatetimeWithNanoseconds.rfc3339): queries give it in that form."""
    seconds = (EPOCH + timedelta(seconds=time.seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{time.nanos:09d}".rstrip("0") if time.nanos else "000000"
    return f"{seconds}.{fraction}Z"


def _time_of(version: str) -> Timestamp:
    time = Timestamp()
    time.FromJsonString(version)
    return time


def _document(name: str, data: Fields, write_id: str) -> Any:
    fields = {field: value_of(value) for field, value in data.items()}
    fields[HIDDEN_FIELD] = _Value(string_value=write_id)
    return _Document(name=name, fields=fields)


def _mask(changes: Fields) -> list[str]:
    return [*(quoted(name) for name in changes), quoted(HIDDEN_FIELD)]
