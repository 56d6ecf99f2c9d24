"""What the Batch API says of a batch, read from the raw answer. Pure.

{"name": "batches/abc", "done": true,
 "metadata": {"state": "BATCH_STATE_SUCCEEDED", "displayName": "...", "createTime": "...",
              "batchStats": {"requestCount": "2", "successfulRequestCount": "1", "failedRequestCount": "1"},
              "output": {"responsesFile": "files/batch-abc"}},
 "response": {"responsesFile": "files/batch-abc"}, "error": {"code": 13, "message": "..."}}
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from shared.adapters import gemini_errors
from shared.adapters.redaction import redacted
from shared.core.batch import Progress, ProviderState
from shared.core.failure import Failure, FailureKind

STATES: dict[str, ProviderState] = {
    "PENDING": "pending",
    "QUEUED": "pending",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "PARTIALLY_SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "EXPIRED": "expired",
}
"""By the word behind BATCH_STATE_ or JOB_STATE_."""


class _Output(msgspec.Struct):
    responsesFile: str | None = None


class _Stats(msgspec.Struct):
    successfulRequestCount: int | str = 0
    failedRequestCount: int | str = 0


class Metadata(msgspec.Struct):
    state: str = ""
    displayName: str = ""
    createTime: str = ""
    batchStats: _Stats | None = None
    output: _Output | None = None


class Operation(msgspec.Struct):
    """One batch."""

    name: str = ""
    done: bool = False
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    response: Raw = Raw(b"null")
    error: Raw = Raw(b"null")


class Page(msgspec.Struct):
    """Of the list of batches."""

    operations: list[Operation] = []
    nextPageToken: str = ""


def progress_of(found: Operation, now: datetime) -> Progress:
    said = found.metadata
    state = STATES.get(said.state.rpartition("_STATE_")[2], "unknown")
    failure = _failure(found, now)
    if state == "unknown" and found.done:
        state = "failed" if failure is not None else "succeeded"
    output = said.output or gemini_errors.decoded(found.response, _Output)
    done = 0
    if said.batchStats is not None:
        done = _number(said.batchStats.successfulRequestCount) + _number(said.batchStats.failedRequestCount)
    return Progress(state, done, output.responsesFile if output is not None else None, failure)


def created_at(found: Operation) -> datetime:
    """The far future where it is not said: such a one ends no search."""
    try:
        return datetime.fromisoformat(found.metadata.createTime).astimezone(UTC)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


def _failure(found: Operation, now: datetime) -> Failure | None:
    if bytes(found.error) == b"null":
        return None
    problem = gemini_errors.read_inner_problem(found.error)
    if problem is None:
        return None
    failure = gemini_errors.judge(problem, 200, {}, now, FailureKind.SERVER_ERROR)
    return replace(failure, message=redacted(failure.message, "", ""), code=redacted(failure.code, "", ""))


def _number(count: int | str) -> int:
    """Counts come as strings."""
    return int(count) if isinstance(count, int) or (count.isascii() and count.isdecimal()) else 0
