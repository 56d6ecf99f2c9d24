"""Batches: many requests of one model and size in one file, for half the price and up to a day's wait. Pure.

Requests are collected, then their batch is closed: from then on, a document `batches/{id}` says what is in it. That
intent is on record before anything is sent; after a crash in between, the batch is found again by its display name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from shared.core.catalogue.batch_rules import DEFAULT_RULES, BatchRules
from shared.core.lifecycle.request_record import KEEP_FOR
from shared.core.provider.call import Answer
from shared.core.provider.failure import Failure, FailureKind
from shared.core.records.batch import BatchRecord, Item, ProviderState
from shared.core.records.request import CollectedRow
from shared.core.values.documents import Document
from shared.core.values.route import Route

MOST_REFERENCES = 40
"""Per file, of 20 MB at most each: a JSONL file may have 2 GB."""

OVER: tuple[ProviderState, ...] = ("succeeded", "failed", "cancelled", "expired")


class BatchCandidate(Struct, frozen=True):
    """A request that waits for its collection to be closed."""

    request_id: str
    model: str
    image_size: str
    references: int
    batched_at: datetime

    @classmethod
    def of(cls, document: Document) -> BatchCandidate:
        row = CollectedRow.from_json(document.data)
        return cls(document.id, row.route.model, row.route.image_size, row.ask.references, row.batched_at)


class Progress(Struct, frozen=True):
    """What the provider says about one batch."""

    state: ProviderState
    done: int = 0
    """Requests that have ended, successfully or not."""
    results: str | None = None
    """The file of the answers, if there is one."""
    failure: Failure | None = None
    """Why the whole batch failed."""


class Result(Struct, frozen=True):
    """One line of the answers."""

    key: str
    answer: Answer


def path(batch_id: str) -> str:
    return f"batches/{batch_id}"


def display_name(batch_id: str) -> str:
    """The display name under which a batch is found that was created and not recorded."""
    return f"renderlane-{batch_id}"


def due_collections(
    waiting: Iterable[BatchCandidate], now: datetime, rules: BatchRules = DEFAULT_RULES, *, full_only: bool = False
) -> list[list[BatchCandidate]]:
    """The collections to close now: every full one, and unless `full_only` those whose oldest request has waited long
    enough."""
    sets: dict[tuple[str, str], list[BatchCandidate]] = defaultdict(list)
    for item in sorted(waiting, key=lambda element: (element.batched_at, element.request_id)):
        sets[item.model, item.image_size].append(item)
    due: list[list[BatchCandidate]] = []
    for together in sets.values():
        *full, last = _filled(together, rules.most_requests)
        due += full
        is_old = not full_only and now - last[0].batched_at >= rules.collect_for
        if is_old or len(last) >= rules.most_requests or _references(last) >= MOST_REFERENCES:
            due.append(last)
    return due


def _filled(together: Sequence[BatchCandidate], most_requests: int) -> list[list[BatchCandidate]]:
    """In files of at most this many requests and MOST_REFERENCES references, in order; never an empty file."""
    files: list[list[BatchCandidate]] = [[]]
    for item in together:
        file = files[-1]
        if file and (len(file) >= most_requests or _references([*file, item]) > MOST_REFERENCES):
            files.append(file := [])
        file.append(item)
    return files


def _references(waiting: Iterable[BatchCandidate]) -> int:
    return sum(item.references for item in waiting)


def new_record(batch_id: str, route: Route, items: Sequence[Item], now: datetime) -> BatchRecord:
    """A batch when it is closed: nothing is sent yet."""
    return BatchRecord(
        state="collected",
        model=route.model,
        image_size=route.image_size,
        display_name=display_name(batch_id),
        items=tuple(items),
        created_at=now,
        changed_at=now,
        due_at=now,
    )


def family(batch_id: str, batch: BatchRecord) -> str:
    """The id under which its requests are recorded: for a part, that of the batch that was split."""
    return batch.part_of or batch_id


def may_be_split(batch: BatchRecord) -> bool:
    """A batch of more than one request may be split once."""
    return not batch.is_part and len(batch.items) > 1


def halves(items: Sequence[tuple[Item, str]]) -> tuple[list[Item], list[Item]]:
    """Two parts of items that come with their tenants: if there are several tenants, each tenant's items stay
    together."""
    ordered = sorted(items, key=lambda pair: pair[1])
    middle = len(ordered) // 2
    borders = [number for number in range(1, len(ordered)) if ordered[number][1] != ordered[number - 1][1]]
    cut = min(borders, key=lambda border: abs(border - middle), default=max(middle, 1))
    return [item for item, _ in ordered[:cut]], [item for item, _ in ordered[cut:]]


def first_part(batch: BatchRecord, items: Sequence[Item], now: datetime) -> BatchRecord:
    """The rest of a batch that was split: to be sent at once."""
    return replace(batch, items=tuple(items), is_part=True, creating_at=None, due_at=now)


def second_part(batch_id: str, whole_id: str, route: Route, items: Sequence[Item], now: datetime) -> BatchRecord:
    return replace(new_record(batch_id, route, items, now), part_of=whole_id, is_part=True)


def creating(batch: BatchRecord, now: datetime, hold_until: datetime) -> BatchRecord:
    """From here on the provider may have it: it is searched for by its display name before it is created again."""
    return replace(batch, creating_at=now, due_at=hold_until)


def submitted(batch: BatchRecord, name: str, now: datetime) -> BatchRecord:
    return replace(batch, state="submitted", name=name, submitted_at=now, changed_at=now, due_at=now)


def not_created(batch: BatchRecord, now: datetime) -> BatchRecord:
    """The provider certainly does not have it: it is tried again a little later, and later each time."""
    wait = min(timedelta(minutes=1) * 2 ** min(batch.tries, 10), timedelta(minutes=30))
    return replace(batch, creating_at=None, tries=batch.tries + 1, due_at=now + wait)


def after_look(batch: BatchRecord, progress: Progress, now: datetime) -> BatchRecord:
    """After the provider was queried."""
    if (progress.state, progress.done) == (batch.provider_state, batch.done):
        return batch
    return replace(batch, provider_state=progress.state, done=progress.done, changed_at=now)


def ended(batch: BatchRecord, state: ProviderState, now: datetime) -> BatchRecord:
    """Every request in it is settled."""
    return replace(
        batch, state="ended", provider_state=state, due_at=None, ended_at=now, expire_at=now + KEEP_FOR
    )  # fmt: skip


def is_surely_refused(failure: Failure) -> bool:
    """Whether a create that failed this way certainly made no batch. After a server error, or silence, it may have."""
    if failure.kind in (FailureKind.CONNECTION, FailureKind.LATE):
        return True
    status = failure.http_status
    return status is not None and 400 <= status < 500 and status not in (408, 409, 499)


def is_worth_another_try(failure: Failure) -> bool:
    """Whether the same file may be accepted later: a full quota, a rejected key, a network failure."""
    return failure.kind not in (
        FailureKind.INVALID_REQUEST,
        FailureKind.LANE_UNSUPPORTED,
        FailureKind.MODEL_GONE,
        FailureKind.REFUSED,
    )


def of_all(failure: Failure, requests: int) -> Failure:
    """What a refusal of the whole file means for each of its requests: the next route, if its own answer decides. A 400
    is not the fault of any single request: each is checked when the batch runs. A safety refusal counts for a request
    only if it is alone in the file."""
    if failure.kind is FailureKind.REFUSED and requests == 1:
        return failure
    if failure.kind not in (FailureKind.INVALID_REQUEST, FailureKind.REFUSED):
        return failure
    return Failure(FailureKind.LANE_UNSUPPORTED, failure.message, failure.code, http_status=failure.http_status)


def without_result(progress: Progress) -> Failure:
    """What became of a request that the answers of an ended batch say nothing about."""
    match progress.state:
        case "failed":
            return progress.failure or Failure(FailureKind.SERVER_ERROR, "The batch failed and gave no reason.")
        case "expired":
            return Failure(
                FailureKind.TIMEOUT, "The batch expired after 48 hours without this result.", code="batch_expired"
            )
        case "cancelled":
            return Failure(
                FailureKind.CONNECTION_LOST, "The batch was cancelled at the provider.", code="batch_cancelled"
            )
        case _:
            return Failure(
                FailureKind.MALFORMED_ANSWER, "The batch's answers hold no line for this request.", code="no_result"
            )


GONE: Mapping[str, str] = {"code": "batch_gone", "message": "The provider no longer knows the batch."}


def gone() -> Failure:
    return Failure(FailureKind.CONNECTION_LOST, GONE["message"], code=GONE["code"])
