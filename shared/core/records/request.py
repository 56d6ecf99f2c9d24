"""One request: `requests/{key}`.

Some of its fields are stored twice, flat ones beside `request` and `ask`: the store can only query flat fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self, TypeAlias

from msgspec import field

from shared.core.accounting.budget import Reservation
from shared.core.catalogue.price import CostBasis
from shared.core.messages.render_request import RenderRequest
from shared.core.provider.outcome import Outcome
from shared.core.records.attempt import with_named_probe
from shared.core.records.receipt import Receipt
from shared.core.routing.background_proof import Way
from shared.core.routing.requirements import Requirements
from shared.core.values.codec import Record, Stored
from shared.core.values.documents import Fields
from shared.core.values.parameters import Thinking
from shared.core.values.route import Route
from shared.core.values.status import FINAL, Status

StopReason: TypeAlias = Literal["time", "caller"]
"""Why it was asked to stop: past the model's time, or cancelled by its caller."""


class UnusedSlot(Stored, frozen=True):
    """A slot that was granted and not used; the pump gives it back to its calendar."""

    model: str
    """The pool whose slot it is."""
    slot_at: datetime
    release: int
    tokens: int


class Stopping(Stored, frozen=True):
    """When the provider was asked to stop."""

    at: datetime
    why: StopReason


class Leftover(Stored, frozen=True):
    """An interaction that is no longer needed and that the provider still keeps."""

    id: str
    attempt: int


class RequestRow(Record, frozen=True, kw_only=True):
    """What routing and lists need of a request: no prompt."""

    ask: Requirements
    tenant: str
    priority: str
    status: Status
    model: str
    """What it queues for: a model id while it is queued, the quota pool of its route from its release on."""
    asked_model: str | None = None
    """The requested model's id, whether named or chosen by purpose."""
    route: Route
    """Of the next attempt, or of the one in flight."""
    flags: tuple[str, ...] = ()
    """Flags without which it would be a different route."""
    created_at: datetime
    queued_at: datetime
    """When its current wait began."""
    finished_at: datetime | None = None
    request_id: str = ""
    group: str | None = None
    deadline: datetime | None = None
    reason: str | None = None
    """Why it waits."""
    wake_at: datetime | None = None
    """It sleeps until then, and is not in its queue."""
    batch: str | None = None
    attempt_count: int = 0
    """Attempt numbers continue through rounds."""
    cost_micros: int = 0
    cost_unknown_attempts: int = 0
    receipt: Receipt | None = None
    image_uri: str | None = None
    outcome: Outcome | None = None
    revived_as: str | None = None
    collect_at: datetime | None = None
    """It waits for its interaction, and is due for a look then."""
    trace_id: str = ""

    @property
    def is_awaiting(self) -> bool:
        """It waits for its interaction; any worker may collect it."""
        return self.status == "rendering" and self.collect_at is not None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def has_begun(self) -> bool:
        """Whether an attempt may be in flight: it is too late for cancellation and deadline."""
        return self.status == "rendering" or (self.status == "batched" and self.batch is not None)

    @property
    def outcome_code(self) -> str | None:
        return None if self.outcome is None else self.outcome.code


ROW_FIELDS = RequestRow.__struct_fields__


class QueuedRow(Record, frozen=True, kw_only=True):
    """What the pump needs of a queued request: no prompt, no references."""

    ask: Requirements
    model: str
    priority: str
    tenant: str
    fair_tag: float
    deadline: datetime | None
    round: int
    release: int
    unused_slot: UnusedSlot | None
    late_count: int
    wake_at: datetime | None
    cost_micros: int
    unknown_estimate_micros: int
    avoided: Mapping[str, str]
    sick_on: Mapping[str, int]
    no_image_count: int
    traceparent: str
    queued_at: datetime
    route: Route
    least_estimate_micros: int = 0


HEAD_FIELDS = QueuedRow.__struct_fields__


class AwaitingRow(Record, frozen=True, kw_only=True):
    """A request that waits for its interaction."""

    status: Status
    collect_at: datetime
    interaction_id: str
    attempt_count: int
    slot_at: datetime | None = None
    usual_ms: int | None = None
    route: Route


AWAITING_FIELDS = AwaitingRow.__struct_fields__


class RunningRow(Record, frozen=True, kw_only=True):
    """A rendering request, as a list shows it."""

    tenant: str
    route: Route
    slot_at: datetime
    lease_until: datetime | None
    collect_at: datetime | None = None
    """It waits for its interaction; any worker may collect it."""


RUNNING_FIELDS = RunningRow.__struct_fields__


class WaitingRow(Record, frozen=True, kw_only=True):
    """The longest waiting request of a queue."""

    tenant: str
    queued_at: datetime


WAITING_FIELDS = WaitingRow.__struct_fields__


class EndedRow(Record, frozen=True, kw_only=True):
    """How and when a request ended, without its content."""

    finished_at: datetime
    outcome: Outcome


ENDED_FIELDS = EndedRow.__struct_fields__


class CalledRow(Record, frozen=True, kw_only=True):
    """How a request ended, for the launch checklist."""

    status: Status
    tenant: str
    finished_at: datetime
    attempt_count: int = 0
    cost_unknown_attempts: int = 0
    way: Way = "foreground"


CALLED_FIELDS = CalledRow.__struct_fields__


class SleepingRow(Record, frozen=True, kw_only=True):
    """A sleeping request."""

    wake_at: datetime
    updated_at: datetime


SLEEPING_FIELDS = SleepingRow.__struct_fields__


class CollectedRow(Record, frozen=True, kw_only=True):
    """A request that waits for its batch to be closed."""

    status: Status
    tenant: str
    batch: str | None
    batched_at: datetime
    route: Route
    ask: Requirements


COLLECTED_FIELDS = CollectedRow.__struct_fields__


class RequestRecord(RequestRow, frozen=True, kw_only=True):
    # the request
    request: Fields
    """The message's content; see `content`."""
    content_hash: str
    updated_at: datetime
    message_id: str = ""
    traceparent: str = ""
    """The position of its root span."""
    caller_span_id: str | None = None
    published_at: datetime | None = None

    # its place in the queue
    fair_tag: float = 0.0
    asleep_epoch: int | None = None
    """The epoch of the limits: it wakes when they change."""
    round: int = 1
    release: int = 0
    slot_at: datetime | None = None
    slot_until: datetime | None = None
    open_slot: str | None = None
    """The open slot that it took on arrival."""
    unused_slot: UnusedSlot | None = None
    lease_holder: str | None = None
    lease_until: datetime | None = None
    batched_at: datetime | None = None

    # its route
    route_reasons: tuple[str, ...] = ()
    thinking: Thinking | None = None
    estimate_micros: int = 0
    input_tokens: int = 0
    next_route: Route | None = None
    """The routes to take when this one fails."""
    least_estimate_micros: int = 0
    last_route: Route | None = None
    avoided: Mapping[str, str] = field(default_factory=dict)
    """Circuits that it does not take again, with the failure that excluded each."""
    sick_on: Mapping[str, int] = field(default_factory=dict)
    denied_at: Mapping[str, datetime] = field(default_factory=dict)
    paid_at: str | None = None
    """The address of an image that an attempt paid for and that could not be fetched."""
    probe: str | None = None
    gateway: str | None = None
    references_as_bytes: bool = False
    """The provider refused the addresses of its references."""

    # its call
    way: Way = "foreground"
    usual_ms: int | None = None
    """How long such a background call usually takes."""
    budget: Reservation | None = None
    interaction_id: str | None = None
    stopping: Stopping | None = None
    leftovers: tuple[Leftover, ...] = ()
    leftovers_at: datetime | None = None

    # counts
    failure_count: int = 0
    """In this round, like the three after it."""
    ambiguous_count: int = 0
    no_image_count: int = 0
    crash_count: int = 0
    late_count: int = 0
    fetch_count: int = 0
    """How often fetching its references began without a call following."""
    unclaimed_count: int = 0
    """How many releases in a row were not taken up."""
    start_count: int = 0
    """How many of them a worker began without reporting again."""
    wait_count: int = 0
    denied_count: int = 0
    probe_count: int = 0
    dead_letters: int = 0

    # its money
    cost_basis: CostBasis | None = None
    unknown_estimate_micros: int = 0

    # its end
    announce: Literal["pending"] | None = None
    """Its result still has to be published."""
    cancel_requested_at: datetime | None = None
    revives: str | None = None
    revived_by: str | None = None
    revived_at: datetime | None = None
    expire_at: datetime | None = None

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        return super().from_json(with_named_probe(data))

    def to_json(self) -> dict[str, Any]:
        """Fields that only some requests have are omitted from the others."""
        fields = super().to_json()
        for name in ("references_as_bytes", "dead_letters", "open_slot"):
            if not fields[name]:
                del fields[name]
        return fields

    @property
    def content(self) -> RenderRequest:
        return RenderRequest.restored(self.request)

    @property
    def prompt(self) -> str:
        text: str = self.request["prompt"]
        return text

    def is_unnamed(self, attempt: int) -> bool:
        """That attempt runs in the background as far as is known, and its id is not on record."""
        is_current = self.status == "rendering" and self.attempt_count == attempt
        return is_current and self.way != "foreground" and self.interaction_id is None

    @property
    def ended_at(self) -> datetime:
        """The end of a request that has ended."""
        assert self.finished_at is not None, "it has ended"
        return self.finished_at

    @property
    def slot_start(self) -> datetime:
        """The slot of a request that has one."""
        assert self.slot_at is not None, "it has a slot"
        return self.slot_at

    @property
    def slot_end(self) -> datetime:
        """Until when its call may leave."""
        assert self.slot_until is not None, "it has a slot"
        return self.slot_until

    @property
    def spent_micros(self) -> int:
        """What its attempts cost, and what those of unknown cost may have cost."""
        return self.cost_micros + self.unknown_estimate_micros

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why its route differs from the requested one: once there is a receipt, its reasons count."""
        return self.route_reasons if self.receipt is None else self.receipt.reasons
