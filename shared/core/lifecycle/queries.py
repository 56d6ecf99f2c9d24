"""Every query the flows make, and the index each needs: SQLite and Terraform build theirs from INDEXES."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from shared.core.accounting.ledger import SPENT_FIELDS
from shared.core.lifecycle.request_record import attempts
from shared.core.records.request import (
    AWAITING_FIELDS,
    COLLECTED_FIELDS,
    ENDED_FIELDS,
    HEAD_FIELDS,
    RUNNING_FIELDS,
    SLEEPING_FIELDS,
    WAITING_FIELDS,
)  # fmt: skip
from shared.core.values.documents import Query, Range

EXPIRING = (
    "requests", "accepted", "rejected", "cancels", "evidence", "flag_history", "budgets", "budget_shards", "batches",
    "webhook_deliveries", "provider_webhooks", "workers",
)  # fmt: skip
"""Collections whose documents have an `expire_at`."""

INDEXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("requests", ("status", "wake_at", "model", "priority", "fair_tag")),
    ("requests", ("status", "wake_at")),
    ("requests", ("status", "asleep_epoch")),
    ("requests", ("status", "tenant", "model", "priority")),
    ("requests", ("status", "deadline")),
    ("requests", ("status", "priority", "queued_at")),
    ("requests", ("status", "model", "priority", "tenant", "queued_at")),
    ("requests", ("status", "-finished_at")),
    ("requests", ("status", "model", "deadline")),
    ("requests", ("status", "slot_at")),
    ("requests", ("status", "lease_until")),
    ("requests", ("status", "model")),
    ("requests", ("status", "batch", "batched_at")),
    ("requests", ("status", "collect_at")),
    ("requests", ("interaction_id",)),
    ("requests", ("leftovers_at",)),
    ("batches", ("name",)),
    ("requests", ("announce", "updated_at")),
    ("requests", ("-created_at",)),
    ("requests", ("request_id",)),
    ("requests", ("tenant", "-created_at")),
    ("requests", ("tenant", "status", "-created_at")),
    ("requests", ("tenant", "priority", "-created_at")),
    ("rejected", ("request_id",)),
    ("rejected", ("tenant", "request_id", "-created_at")),
    ("rejected", ("tenant", "-created_at")),
    ("rejected", ("-created_at",)),
    ("requests", ("status", "-created_at")),
    ("evidence", ("updated_at",)),
    ("taken_slots", ("taken_at",)),
    ("flag_history", ("-at",)),
    ("provider_webhooks", ("-received_at",)),
    ("batches", ("due_at",)),
    ("tenants", ("-updated_at",)),
    ("ledger", ("day", "name")),
    ("ledger", ("tenant", "day", "name")),
    ("ledger", ("day", "updated_at")),
    ("workers", ("-seen_at",)),
    ("requests", ("status", "tenant", "reason", "fair_tag")),
    ("webhook_endpoints", ("tenant", "created_at")),
    ("webhook_deliveries", ("due_at",)),
    ("webhook_deliveries", ("tenant", "-created_at")),
    ("webhook_deliveries", ("tenant", "state", "-created_at")),
    *((collection, ("expire_at",)) for collection in EXPIRING),
)
"""Collection and fields, equalities first, then the ordered field; a leading `-` means descending."""


LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(9000, 1, 1, tzinfo=UTC)
"""Before and after any time that is stored."""


def heads(model: str, priority: str, limit: int) -> Query:
    """The queue of one model and priority, in its order, without sleeping requests."""
    return Query(
        "requests",
        equal=(("status", "queued"), ("wake_at", None), ("model", model), ("priority", priority)),
        order_by=("fair_tag",),
        limit=limit,
        fields=HEAD_FIELDS,
    )


def woken(now: datetime, limit: int) -> Query:
    """Queued requests whose `wake_at` has come, longest waiting first."""
    return Query(
        "requests",
        equal=(("status", "queued"),),
        bounds=(Range("wake_at", "<=", now),),
        order_by=("wake_at",),
        limit=limit,
        fields=HEAD_FIELDS,
    )


def asleep_before(epoch: int, limit: int) -> Query:
    """Queued requests that were put to sleep before the limits changed last."""
    return Query(
        "requests",
        equal=(("status", "queued"),),
        bounds=(Range("asleep_epoch", "<", epoch),),
        order_by=("asleep_epoch",),
        limit=limit,
        fields=HEAD_FIELDS,
    )


def waiting_of(tenant: str, model: str, priority: str) -> Query:
    """For counting what one tenant has in one queue."""
    return Query(
        "requests",
        equal=(("status", "queued"), ("tenant", tenant), ("model", model), ("priority", priority)),
        limit=100_000,
        fields=("status",),
    )


def interactive_since(tenant: str, since: datetime, limit: int) -> Query:
    """For counting what one tenant had accepted with that priority, `since` included."""
    return Query(
        "requests",
        equal=(("tenant", tenant), ("priority", "interactive")),
        bounds=(Range("created_at", ">=", since),),
        order_by=("-created_at",),
        limit=limit,
        fields=("status",),
    )


def longest_queued(priority: str, limit: int) -> Query:
    """All that wait with this priority, including sleeping ones, the longest waiting first."""
    return Query(
        "requests",
        equal=(("status", "queued"), ("priority", priority)),
        order_by=("queued_at",),
        limit=limit,
        fields=WAITING_FIELDS,
    )


def due_before(model: str, moment: datetime, limit: int) -> Query:
    """One model's queued requests whose deadline comes before `moment`."""
    return Query(
        "requests",
        equal=(("status", "queued"), ("model", model)),
        bounds=(Range("deadline", "<=", moment),),
        order_by=("deadline",),
        limit=limit,
    )


def sleeping(now: datetime, limit: int) -> Query:
    return Query(
        "requests",
        equal=(("status", "queued"),),
        bounds=(Range("wake_at", ">", now),),
        order_by=("wake_at",),
        limit=limit,
        fields=SLEEPING_FIELDS,
    )


def asleep_since(wake_after: datetime, limit: int) -> Query:
    """Sleeping requests, the first to wake first, with the moment at which each was suspended."""
    return sleeping(wake_after, limit)


def overdue(now: datetime, limit: int) -> Query:
    """Queued requests whose deadline has passed."""
    return Query(
        "requests",
        equal=(("status", "queued"),),
        bounds=(Range("deadline", "<=", now),),
        order_by=("deadline",),
        limit=limit,
    )


def unclaimed(slot_before: datetime, limit: int) -> Query:
    """Releases that no worker took up."""
    return Query(
        "requests",
        equal=(("status", "released"),),
        bounds=(Range("slot_at", "<", slot_before),),
        order_by=("slot_at",),
        limit=limit,
    )


def lapsed(now: datetime, limit: int) -> Query:
    """Attempts whose worker has stopped renewing its lease."""
    return Query(
        "requests",
        equal=(("status", "rendering"),),
        bounds=(Range("lease_until", "<", now),),
        order_by=("lease_until",),
        limit=limit,
    )


def rendering(limit: int) -> Query:
    """Every attempt in flight, oldest lease first."""
    return Query("requests", equal=(("status", "rendering"),), order_by=("lease_until",), limit=limit)


def leased(limit: int) -> Query:
    """Every attempt that a worker holds, oldest lease first."""
    return Query(
        "requests",
        equal=(("status", "rendering"),),
        bounds=(Range("lease_until", ">", LONG_AGO),),
        order_by=("lease_until",),
        limit=limit,
    )


def awaiting(until: datetime, limit: int) -> Query:
    """Requests that wait for their interaction and are due for a look by `until`, the first due first."""
    return Query(
        "requests",
        equal=(("status", "rendering"),),
        bounds=(Range("collect_at", "<=", until),),
        order_by=("collect_at",),
        limit=limit,
        fields=AWAITING_FIELDS,
    )


def of_interaction(interaction_id: str) -> Query:
    """The request with that newest background call."""
    return Query("requests", equal=(("interaction_id", interaction_id),), limit=1)


def leftovers(now: datetime, limit: int) -> Query:
    """Requests with interactions that the provider still keeps and that are no longer needed."""
    return Query("requests", bounds=(Range("leftovers_at", "<=", now),), order_by=("leftovers_at",), limit=limit)


def batch_named(name: str) -> Query:
    """The batch of that name at the provider."""
    return Query("batches", equal=(("name", name),), limit=1)


def collecting(limit: int) -> Query:
    """Requests that wait for their batch to be closed, longest waiting first."""
    return Query(
        "requests",
        equal=(("status", "batched"), ("batch", None)),
        order_by=("batched_at",),
        limit=limit,
        fields=COLLECTED_FIELDS,
    )


def due_batches(until: datetime, limit: int) -> Query:
    """Batches due for a look by `until`: closed ones have no `due_at`."""
    return Query("batches", bounds=(Range("due_at", "<=", until),), order_by=("due_at",), limit=limit)


def unannounced(updated_before: datetime, limit: int) -> Query:
    return Query(
        "requests",
        equal=(("announce", "pending"),),
        bounds=(Range("updated_at", "<", updated_before),),
        order_by=("updated_at",),
        limit=limit,
    )


def running(limit: int) -> Query:
    """As `rendering`, with the fields that a list shows."""
    return replace(rendering(limit), fields=RUNNING_FIELDS)


def in_status(status: str, limit: int) -> Query:
    """For counting, in any order."""
    return Query("requests", equal=(("status", status),), limit=limit, fields=("status",))


def in_flight(model: str, status: str, limit: int) -> Query:
    """For counting one model's attempts."""
    return Query("requests", equal=(("status", status), ("model", model)), limit=limit)


def first_of_next_tenant(model: str, priority: str, after: str | None) -> Query:
    """The longest waiting request of one queue, of the first tenant after this one by name; None: of the first
    tenant."""
    return Query(
        "requests",
        equal=(("status", "queued"), ("model", model), ("priority", priority)),
        bounds=() if after is None else (Range("tenant", ">", after),),
        order_by=("tenant", "queued_at"),
        limit=1,
        fields=WAITING_FIELDS,
    )


def newest_ended(status: str, limit: int) -> Query:
    """Requests with that end, the latest first, without their content."""
    return Query(
        "requests",
        equal=(("status", status),),
        order_by=("-finished_at",),
        limit=limit,
        fields=ENDED_FIELDS,
    )


def tenants(limit: int) -> Query:
    """Tenants with a weight or a budget of their own, the last changed first."""
    return Query("tenants", order_by=("-updated_at",), limit=limit)


def newest(status: str | None, limit: int) -> Query:
    return Query(
        "requests",
        equal=(("status", status),) if status else (),
        order_by=("-created_at",),
        limit=limit,
    )


def with_id(request_id: str, limit: int) -> Query:
    """Requests of any tenant under one id."""
    return Query("requests", equal=(("request_id", request_id),), limit=limit)


def newest_of(tenant: str, status: str | None, since: datetime | None, until: datetime | None, limit: int) -> Query:
    """One tenant's requests that were accepted from `since` to `until`, both included, newest first."""
    after = () if since is None else (Range("created_at", ">=", since),)
    before = () if until is None else (Range("created_at", "<=", until),)
    return Query(
        "requests",
        equal=(("tenant", tenant), *((("status", status),) if status else ())),
        bounds=(*after, *before),
        order_by=("-created_at",),
        limit=limit,
    )


def rejections_of(tenant: str, request_id: str, limit: int) -> Query:
    """Rejected messages that named that tenant and id, newest first."""
    return Query(
        "rejected", equal=(("tenant", tenant), ("request_id", request_id)), order_by=("-created_at",), limit=limit
    )


def rejections_with_id(request_id: str, limit: int) -> Query:
    """Rejected messages of any tenant that named an id."""
    return Query("rejected", equal=(("request_id", request_id),), limit=limit)


def rejections_of_tenant(tenant: str, since: datetime | None, until: datetime | None, limit: int) -> Query:
    """Rejected messages that named that tenant, from `since` to `until`, both included, newest first."""
    return replace(newest_rejected(since, until, limit), equal=(("tenant", tenant),))


def newest_rejected(since: datetime | None, until: datetime | None, limit: int) -> Query:
    """Rejected messages from `since` to `until`, both included, newest first."""
    after = () if since is None else (Range("created_at", ">=", since),)
    before = () if until is None else (Range("created_at", "<=", until),)
    return Query("rejected", bounds=(*after, *before), order_by=("-created_at",), limit=limit)


def attempts_of(key: str) -> Query:
    return Query(attempts(key), order_by=("number",), limit=500)


def flag_history_since(moment: datetime, limit: int) -> Query:
    """Changes of flags after `moment`, newest first."""
    return Query("flag_history", bounds=(Range("at", ">", moment),), order_by=("-at",), limit=limit)


def flag_history(limit: int) -> Query:
    """Changes of flags, newest first."""
    return Query("flag_history", order_by=("-at",), limit=limit)


def newest_provider_webhooks(limit: int) -> Query:
    """Webhooks of the provider, the latest first."""
    return Query("provider_webhooks", order_by=("-received_at",), limit=limit)


def outlived(collection: str, now: datetime, limit: int) -> Query:
    """Documents of an expiring collection whose time is over. Firestore's own TTL may be a day late, or may come
    first."""
    return Query(
        collection,
        bounds=(Range("expire_at", "<=", now),),
        order_by=("expire_at",),
        limit=limit,
        fields=("expire_at",),
    )


def ledger(since: str, until: str, limit: int, after: tuple[str, str] | None = None) -> Query:
    """Rows of the ledger from day to day, both included; `after` = day and name of the last one seen."""
    bounds = (Range("day", ">=", since), Range("day", "<=", until))
    return Query("ledger", bounds=bounds, order_by=("day", "name"), limit=limit, after=after or ())


def ledger_since(day: str, moment: datetime, limit: int) -> Query:
    """Rows of one day that were raised at or after `moment`, by the clocks of their writers."""
    return Query(
        "ledger",
        equal=(("day", day),),
        bounds=(Range("updated_at", ">=", moment),),
        order_by=("updated_at",),
        limit=limit,
    )


def ledger_of(tenant: str, since: str, until: str, limit: int, after: tuple[str, str] | None = None) -> Query:
    """One tenant's rows of the ledger from day to day, both included."""
    bounds = (Range("day", ">=", since), Range("day", "<=", until))
    return Query(
        "ledger",
        equal=(("tenant", tenant),),
        bounds=bounds,
        order_by=("day", "name"),
        limit=limit,
        after=after or (),
        fields=SPENT_FIELDS,
    )


def waiting_for(tenant: str, reason: str, limit: int) -> Query:
    """One tenant's queued requests that wait for that reason, in their order."""
    return Query(
        "requests",
        equal=(("status", "queued"), ("tenant", tenant), ("reason", reason)),
        order_by=("fair_tag",),
        limit=limit,
        fields=HEAD_FIELDS,
    )


def workers(limit: int) -> Query:
    """Processes of the worker, the last that worked first."""
    return Query("workers", order_by=("-seen_at",), limit=limit)


def webhook_endpoints(tenant: str, limit: int) -> Query:
    """The oldest first."""
    return Query("webhook_endpoints", equal=(("tenant", tenant),), order_by=("created_at",), limit=limit)


def due_webhook_deliveries(now: datetime, limit: int, after: datetime | None = None) -> Query:
    """Deliveries to attempt, the longest overdue first; `after` = `due_at` of the last one seen."""
    return Query(
        "webhook_deliveries",
        bounds=(Range("due_at", "<=", now),),
        order_by=("due_at",),
        limit=limit,
        after=(after,) if after is not None else (),
        fields=("due_at",),
    )


def webhook_deliveries(tenant: str, state: str | None, limit: int) -> Query:
    """One tenant's deliveries, the newest first."""
    return Query(
        "webhook_deliveries",
        equal=(("tenant", tenant), *((("state", state),) if state else ())),
        order_by=("-created_at",),
        limit=limit,
    )


def taken_slots(limit: int) -> Query:
    """Open slots that were taken or withdrawn, and that the pump has not counted yet."""
    return Query("taken_slots", order_by=("taken_at",), limit=limit)


def evidence_since(moment: datetime) -> Query:
    """Reports written after `moment`, by the clocks of their writers."""
    return Query("evidence", bounds=(Range("updated_at", ">", moment),), order_by=("updated_at",), limit=500)
