"""What leaves for Firestore is what google-cloud-firestore's own batch would send, and reads as it reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from google.cloud.firestore_v1 import types
from google.cloud.firestore_v1._helpers import decode_value
from google.cloud.firestore_v1.field_path import FieldPath
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

from shared.adapters.google_cloud.firestore_wire import Wire, plain, value_of, version_of, write_of
from shared.core.values.documents import Create, Delete, Increment, Update, Write

AT = datetime(2026, 11, 22, 12, 30, 1, 123456, tzinfo=UTC)
DATA: dict[str, Any] = {
    "text": "très ✓", "empty": "", "yes": True, "no": False, "zero": 0, "most": 2**63 - 1, "least": -(2**63),
    "half": 0.5, "whole": 2.0, "none": None, "at": AT, "bytes": b"\x00\xff", "list": [1, "a", None, {"b": [True]}],
    "nothing": [], "map": {"a.b": {"c": AT}}, "no members": {}, "with.dot": 1, "`tick`": "x",
}  # fmt: skip
VERSION = "2026-11-22T12:30:01.123456Z"
WRITES: list[Write] = [
    Create("things/a", DATA),
    Update("things/a/parts/1", DATA, VERSION),
    Update("things/a", {"with.dot": 2}, VERSION),
    Delete("things/a", VERSION),
    Increment("things/a", {"count": 3, "with.dot": -1}, {"also": {"x": 1}, "a.b": "y"}),
    Increment("things/a", {"count": 1}),
]


def _by_library(write: Write) -> Any:
    """The Write of google-cloud-firestore's batch."""
    client = firestore.AsyncClient(project="p", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    batch = client.batch()
    document, mine = client.document(write.path), {"write_id": "w-1"}
    option = None
    if isinstance(write, (Update, Delete)):
        option = client.write_option(
            last_update_time=DatetimeWithNanoseconds.from_rfc3339(write.version)  # type: ignore[no-untyped-call]
        )
    match write:
        case Create(data=data):
            batch.create(document, {**data, **mine})
        case Update(changes=changes):
            named = {FieldPath(name).to_api_repr(): value for name, value in {**changes, **mine}.items()}
            batch.update(document, named, option=option)
        case Delete():
            batch.delete(document, option=option)
        case Increment(amounts=amounts, also=also):
            merged = {**{name: firestore.Increment(amount) for name, amount in amounts.items()}, **also, **mine}
            batch.set(document, merged, merge=[FieldPath(name).to_api_repr() for name in merged])
    (message,) = batch._write_pbs
    return types.Write.pb(message)


def _sorted(message: Any) -> Any:
    paths = sorted(message.update_mask.field_paths)
    if paths:
        del message.update_mask.field_paths[:]
        message.update_mask.field_paths.extend(paths)
    transforms = sorted(message.update_transforms, key=lambda item: str(item.field_path))
    del message.update_transforms[:]
    message.update_transforms.extend(transforms)
    return message


@pytest.mark.parametrize("write", WRITES, ids=lambda write: type(write).__name__)
def test_a_write_is_the_one_that_the_library_would_send(write: Write) -> None:
    ours = write_of(write, "w-1", "projects/p/databases/(default)/documents/")
    assert _sorted(ours) == _sorted(_by_library(write))


def test_what_was_written_is_read_as_it_was_and_as_the_library_reads_it() -> None:
    for name, value in DATA.items():
        message = value_of(value)
        assert plain(message) == value, name
        assert type(plain(message)) is type(value), name
        assert decode_value(types.Value.wrap(message), None) == value, name


@pytest.mark.parametrize("value", [2**63, {1, 2}, object()])
def test_what_firestore_has_no_form_of_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        value_of(value)


@pytest.mark.parametrize("nanos", [0, 1, 120_000_000, 123_456_000, 123_456_789, 999_999_999])
def test_a_version_has_the_form_that_queries_give_it(nanos: int) -> None:
    time = Timestamp(seconds=1_795_350_601, nanos=nanos)
    by_library = DatetimeWithNanoseconds.from_timestamp_pb(time).rfc3339()  # type: ignore[no-untyped-call]
    assert version_of(time) == by_library
    back = Timestamp()
    back.FromJsonString(version_of(time))
    assert back == time


@pytest.mark.parametrize("collection", ["things", "things/a/parts"])
async def test_a_query_is_the_one_that_the_library_would_send_and_its_answers_come_by_path(collection: str) -> None:
    client = firestore.AsyncClient(project="p", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    wire, sent = Wire(client), list[tuple[Any, Any]]()
    query = client.collection(collection).order_by("at", direction="DESCENDING").select(["at"]).limit(2)
    name = f"projects/p/databases/(default)/documents/{collection}/x"
    document = types.Document.pb()(name=name, fields={"at": value_of(AT)})
    answers = [types.RunQueryResponse.pb()(document=document), types.RunQueryResponse.pb()()]

    async def run(request: Any, *, timeout: float, metadata: Any) -> AsyncIterator[Any]:
        sent.append((request, metadata))
        for answer in answers:
            yield answer

    wire._run_query = run
    by_path = await wire.query(query, timedelta(seconds=1))
    assert list(by_path) == [f"{collection}/x"]
    assert plain(by_path[f"{collection}/x"].document.fields["at"]) == AT
    by_library, _, _ = query._prep_stream()
    ((request, metadata),) = sent
    assert request == types.RunQueryRequest.pb(types.RunQueryRequest(by_library))
    assert dict(metadata)["x-goog-request-params"] == f"parent={request.parent}".replace("(", "%28").replace(")", "%29")
