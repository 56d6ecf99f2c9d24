"""What is sent again after a lost answer, without a server: a pure increment would count twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.exceptions import Aborted, DeadlineExceeded, InternalServerError, ServiceUnavailable
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]

from shared.adapters.google_cloud.firestore_store import FirestoreStore
from shared.core.values.documents import Committed, Create, Increment, Write
from shared.ports.store import StoreUnavailable

AT = Timestamp(seconds=1_795_305_600)
CREATE, COUNT = Create("things/a", {}), Increment("things/b", {"count": 1})
BUSY: Exception = Aborted("busy")  # type: ignore[no-untyped-call]
LOST: list[Exception] = [item("lost") for item in (ServiceUnavailable, DeadlineExceeded, InternalServerError)]


class LosingWire:
    """Loses its first answer."""

    def __init__(self, lost: Exception, count: int) -> None:
        self._lost, self._count = lost, count
        self.sent = 0

    async def commit(self, *_: Any) -> Any:
        self.sent += 1
        if self.sent == 1:
            raise self._lost
        return SimpleNamespace(write_results=[SimpleNamespace(update_time=AT)] * self._count, commit_time=AT)


async def sent(monkeypatch: pytest.MonkeyPatch, lost: Exception, *writes: Write) -> tuple[int, Any]:
    """How often the commit was sent, and its result."""
    wire = LosingWire(lost, len(writes))
    monkeypatch.setattr(FirestoreStore, "_wire", lambda _: wire)
    result: Any
    try:
        result = await FirestoreStore("a-project").commit(*writes)
    except StoreUnavailable as error:
        result = error
    return wire.sent, result


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: type(lost).__name__)
@pytest.mark.parametrize(
    ("writes", "repeated"),
    [((COUNT,), False), ((COUNT, Increment("things/c", {"count": 1})), False), ((COUNT, CREATE), True)],
    ids=["an increment", "two increments", "with a precondition"],
)
async def test_a_commit_without_a_precondition_is_not_sent_again_after_a_lost_answer(
    monkeypatch: pytest.MonkeyPatch, lost: Exception, writes: tuple[Write, ...], repeated: bool
) -> None:
    count, result = await sent(monkeypatch, lost, *writes)
    assert count == (2 if repeated else 1)
    assert isinstance(result, Committed if repeated else StoreUnavailable)


async def test_what_is_known_not_to_be_written_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    count, result = await sent(monkeypatch, BUSY, COUNT)
    assert count == 2
    assert isinstance(result, Committed)
