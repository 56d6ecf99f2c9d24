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

from shared.adapters.gemini_errors import answer_errors
from shared.adapters.payloads.json_member import NONE, count_of, decoded, is_true, items_of, text_of
from shared.adapters.payloads.redaction import redacted
from shared.core.lifecycle.batch import Progress
from shared.core.provider.failure import Failure, FailureKind
from shared.core.records.batch import ProviderState

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
    """Where the answers are, in any of the observed spellings and places."""

    responsesFile: Raw = NONE
    responses_file: Raw = NONE
    fileName: Raw = NONE
    inlinedResponses: Raw = NONE
    inlined_responses: Raw = NONE
    output: Raw = NONE
    dest: Raw = NONE


class _Stats(msgspec.Struct):
    successfulRequestCount: Raw = NONE
    failedRequestCount: Raw = NONE


class _Metadata(msgspec.Struct):
    state: Raw = NONE
    displayName: Raw = NONE
    createTime: Raw = NONE
    batchStats: Raw = NONE


class Operation(msgspec.Struct):
    """One batch. Every member as it came: what is not needed may be of any type."""

    name: Raw = NONE
    done: Raw = NONE
    metadata: Raw = NONE
    response: Raw = NONE
    error: Raw = NONE
    state: Raw = NONE
    output: Raw = NONE
    dest: Raw = NONE


class BatchPage(msgspec.Struct):
    """Of the list of batches."""

    operations: Raw = NONE
    nextPageToken: Raw = NONE


def progress_of(operation: Operation, now: datetime) -> Progress:
    """`results` names the file of the answers, or the batch itself if it contains them."""
    metadata = _metadata(operation)
    word = text_of(metadata.state) or text_of(operation.state)
    state = STATES.get(word.rpartition("_STATE_")[2], "unknown")
    failure = _failure(operation, now)
    if state == "unknown" and is_true(operation.done):
        state = "failed" if failure is not None else "succeeded"
    stats = decoded(metadata.batchStats, _Stats) or _Stats()
    done = (count_of(stats.successfulRequestCount) or 0) + (count_of(stats.failedRequestCount) or 0)
    results = results_file(operation) or (name_of(operation) if inlined(operation) else "")
    return Progress(state, done, results or None, failure)


def name_of(operation: Operation) -> str:
    return text_of(operation.name)


def display_name_of(operation: Operation) -> str:
    return text_of(_metadata(operation).displayName)


def operations_of(page: BatchPage) -> list[Operation]:
    return items_of(page.operations, Operation)


def created_at(operation: Operation) -> datetime:
    """The far future if it is missing: such a batch ends no search."""
    try:
        return datetime.fromisoformat(text_of(_metadata(operation).createTime)).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.max.replace(tzinfo=UTC)


def results_file(operation: Operation) -> str:
    """Empty where none is named."""
    outputs = _outputs(operation)
    names = (
        text_of(raw) for output in outputs for raw in (output.responsesFile, output.responses_file, output.fileName)
    )
    return next(filter(None, names), "")


def inlined(operation: Operation) -> list[Raw]:
    """The answers that stand in the batch itself, as small ones have them though they were given as a file:
    https://github.com/maximhq/bifrost/issues/3951. Seen as inlinedResponses.inlinedResponses[] and as a plain list.
    """
    for output in _outputs(operation):
        for raw in (output.inlinedResponses, output.inlined_responses):
            inner = decoded(raw, _Output)
            lists = (raw, inner.inlinedResponses, inner.inlined_responses) if inner is not None else (raw,)
            for listed in lists:
                if items := decoded(listed, list[Raw]):
                    return items
    return []


def _metadata(operation: Operation) -> _Metadata:
    return decoded(operation.metadata, _Metadata) or _Metadata()


def _outputs(operation: Operation) -> list[_Output]:
    """Of the response first, then what the metadata and the batch say; each may lie one level deeper."""
    outer = [
        decoded(raw, _Output) for raw in (operation.response, operation.metadata, operation.output, operation.dest)
    ]
    outputs = [output for output in outer if output is not None]
    inner = (decoded(raw, _Output) for output in outputs for raw in (output.output, output.dest))
    return [*outputs, *(output for output in inner if output is not None)]


def _failure(operation: Operation, now: datetime) -> Failure | None:
    problem = answer_errors.inner_problem(operation.error)
    if problem is None:
        return None
    failure = answer_errors.judge(problem, {}, now, FailureKind.SERVER_ERROR)
    return replace(failure, message=redacted(failure.message, "", ""), code=redacted(failure.code, "", ""))
