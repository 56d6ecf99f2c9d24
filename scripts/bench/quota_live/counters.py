"""What worker processes asked of their store: operations by flow and collection, writes by purpose and by document."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, assert_never

from msgspec import Struct, convert, field

from shared.core.admission.open_slots import WITHDRAWN, TakenSlot
from shared.core.values.documents import Create, Delete, Fields, Increment, Update, Write
from shared.core.values.status import FINAL

Operation: TypeAlias = Literal["get", "query", "count", "commit", "conflict", "create", "update", "delete", "increment"]
READS: tuple[Operation, ...] = ("get", "query", "count")
WRITES: tuple[Operation, ...] = ("create", "update", "delete", "increment")

Purpose: TypeAlias = Literal[
    "intake", "release", "open slots", "pump", "calendar", "evidence", "given back", "put to sleep",
    "attempt", "lease", "awaiting", "settlement", "announcement", "summary",
    "background proof", "provider webhook", "worker report", "series", "other",
]  # fmt: skip
ADMISSION: tuple[Purpose, ...] = ("release", "open slots", "pump", "calendar", "evidence", "given back", "put to sleep")
"""The writes that exist only because a request has to wait for its slot."""

RARE = 10
"""Documents with fewer writes than this in one process are left out of its report: they cannot be the hottest."""
COUNTED_AT_ONCE = 1000
"""Index entries of a count that Firestore bills as one read (Firestore pricing, aggregation queries)."""


class Heat(Struct, frozen=True):
    """How often one document was written."""

    path: str
    writes: int
    mean: float
    """Writes a second over the whole time looked at."""
    worst: float
    """Writes a second in its busiest ten seconds."""


class Counted(Struct, frozen=True):
    """The report of one process, as JSON has it."""

    operations: Sequence[tuple[str, str, str, int, int]]
    purposes: Mapping[str, int]
    seconds: Mapping[str, Sequence[tuple[int, int]]]


class Counters(Struct):
    """Of one process, or of several added up."""

    calls: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By flow, operation and collection."""
    documents: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Documents read (as Firestore bills them) or written, by the same keys."""
    purposes: Counter[str] = field(default_factory=Counter)
    """Documents written, by what for."""
    seconds: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """Writes of each document in each second since 1970."""

    def note(self, flow: str, operation: Operation, collection: str, documents: int) -> None:
        self.calls[flow, operation, collection] += 1
        self.documents[flow, operation, collection] += documents

    def note_commit(self, flow: str, writes: Sequence[Write], at: datetime) -> None:
        """A commit that happened; a refused one wrote nothing."""
        self.note(flow, "commit", "", 0)
        second = int(at.timestamp())
        for write, purpose in zip(writes, purposes(writes, flow), strict=True):
            self.note(flow, kind(write), collection(write.path), 1)
            self.purposes[purpose] += 1
            self.seconds[write.path][second] += 1

    def add(self, other: Counters) -> None:
        self.calls.update(other.calls)
        self.documents.update(other.documents)
        self.purposes.update(other.purposes)
        for path, seconds in other.seconds.items():
            self.seconds[path].update(seconds)

    def since(self, earlier: Counters) -> Counters:
        """What was counted after `earlier`; writes of documents have their own seconds and stay."""
        return Counters(
            self.calls - earlier.calls,
            self.documents - earlier.documents,
            self.purposes - earlier.purposes,
            self.seconds,
        )

    def of(self, flow: str, operation: Operation) -> int:
        """Documents of one flow's operations, over all collections."""
        return sum(count for key, count in self.documents.items() if key[:2] == (flow, operation))

    def reads(self) -> int:
        return sum(self.of(flow, operation) for flow in self.flows() for operation in READS)

    def writes(self) -> int:
        return sum(self.of(flow, operation) for flow in self.flows() for operation in WRITES)

    def refused(self) -> int:
        """Commits whose precondition did not hold."""
        return sum(calls for (_, operation, _), calls in self.calls.items() if operation == "conflict")

    def admission_writes(self) -> int:
        return sum(self.purposes[purpose] for purpose in ADMISSION)

    def flows(self) -> list[str]:
        return sorted({flow for flow, _, _ in self.calls})

    def hottest(self, since: float, until: float, most: int = 3) -> list[Heat]:
        """The documents written most often between two moments, in seconds since 1970."""
        heats = []
        for path, seconds in self.seconds.items():
            within = {second: count for second, count in seconds.items() if since <= second < until}
            if within:
                writes = sum(within.values())
                heats.append(Heat(path, writes, writes / max(until - since, 1.0), worst_ten_seconds(within)))
        return sorted(heats, key=lambda heat: -heat.writes)[:most]

    def to_json(self) -> dict[str, Any]:
        return {
            "operations": [[*key, calls, self.documents[key]] for key, calls in self.calls.items()],
            "purposes": dict(self.purposes),
            "seconds": {
                path: list(seconds.items())
                for path, seconds in list(self.seconds.items())
                if sum(seconds.values()) >= RARE
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Counters:
        counted = convert(data, Counted)
        counters = cls(purposes=Counter(counted.purposes))
        for flow, operation, name, calls, documents in counted.operations:
            counters.calls[flow, operation, name] = calls
            counters.documents[flow, operation, name] = documents
        for path, seconds in counted.seconds.items():
            counters.seconds[path] = Counter(dict(seconds))
        return counters


def billed_reads(operation: Literal["query", "count"], count: int) -> int:
    """What Firestore charges a read for: each document found, each thousand counted, and at least one."""
    match operation:
        case "query":
            return max(1, count)
        case "count":
            return max(1, math.ceil(count / COUNTED_AT_ONCE))


def worst_ten_seconds(seconds: Mapping[int, int]) -> float:
    """Writes a second in the busiest ten seconds of `seconds` (second -> writes)."""
    return max(sum(seconds.get(second + more, 0) for more in range(10)) for second in seconds) / 10


def collection(path: str) -> str:
    """`requests/a/attempts/1` is of `requests/attempts`."""
    return "/".join(path.split("/")[0::2])


def kind(write: Write) -> Operation:
    match write:
        case Create():
            return "create"
        case Update():
            return "update"
        case Delete():
            return "delete"
        case Increment():
            return "increment"
        case _:
            assert_never(write)


def purposes(commit: Sequence[Write], flow: str) -> list[Purpose]:
    """What each write of one commit is for."""
    if any(_gives_back(write, commit) for write in commit):
        return ["given back"] * len(commit)
    return [_purpose(write, flow) for write in commit]


def _gives_back(write: Write, commit: Sequence[Write]) -> bool:
    """Back to the queue without having begun: the slot is kept, or no attempt ends in the same commit."""
    if not isinstance(write, Update) or write.changes.get("status") != "queued":
        return False
    closes = any(isinstance(update, Update) and collection(update.path) == "requests/attempts" for update in commit)
    return bool(write.changes.get("unused_slot")) or not (closes or write.changes.get("wake_at"))


def _purpose(write: Write, flow: str) -> Purpose:
    match collection(write.path):
        case "pump":
            return "pump"
        case "calendars":
            return "calendar"
        case "evidence":
            return "evidence"
        case "taken_slots":  # of a request that intake releases as it creates it, or what the pump clears up
            is_start = isinstance(write, Create) and TakenSlot.from_json(write.data).request != WITHDRAWN
            return "release" if is_start else "open slots"
        case "requests/attempts":
            return "attempt" if isinstance(write, Create) else "settlement"
        case "ledger":
            return "settlement"
        case "summary":
            return "summary"
        case "background":
            return "background proof"
        case "provider_webhooks":
            return "provider webhook"
        case "workers":
            return "worker report"
        case "series":
            return "series"
        case "requests" if isinstance(write, Create):
            return "intake"
        case "requests" if isinstance(write, Update):
            return _purpose_of_change(write.changes, flow)
        case _:
            return "other"


def _purpose_of_change(changes: Fields, flow: str) -> Purpose:
    match changes.get("status"):
        case "released":
            return "release"
        case "rendering":
            return "attempt"
        case status if status in FINAL:
            return "settlement"
        case "queued":
            return "put to sleep" if flow == "pump" else "settlement"
        case _ if "announce" in changes:
            return "announcement"
        case _ if changes.get("interaction_id") or "stopping" in changes or "leftovers" in changes:
            return "awaiting"  # a call in the background: that it waits, is stopped, or is deleted
        case _ if "lease_until" in changes:
            return "lease"
        case _:
            return "put to sleep" if flow == "pump" else "other"
