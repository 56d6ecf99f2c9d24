"""Every event the worker reports, declared once: name, severity and fields. No prompt, no key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

Severity: TypeAlias = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class Signal(Struct, frozen=True):
    """`may_carry`: fields that are left out if they are unknown."""

    name: str
    severity: Severity
    fields: tuple[str, ...]
    may_carry: tuple[str, ...] = ()

    def declares(self, fields: Iterable[str]) -> bool:
        """Whether these are its fields: all mandatory ones, and none that is not declared."""
        given = set(fields)
        return set(self.fields) <= given <= {*self.fields, *self.may_carry}


ACCEPTED = Signal("request_accepted", "INFO", ("request_id", "tenant", "route", "trace_id"))
REJECTED = Signal("request_rejected", "WARNING", ("request_id", "message_id", "fields", "trace_id"))
REPEATED = Signal("request_repeated", "INFO", ("request_id", "status", "trace_id"))
CANCELLED = Signal("request_cancelled", "INFO", ("request_id", "effect", "trace_id"))
REVIVED = Signal("request_revived", "INFO", ("request_id", "revived_as", "actor", "notes", "trace_id"))
RELEASED = Signal("request_released", "DEBUG", ("request_id", "release", "route", "slot_at", "trace_id"))
REQUEUED = Signal("request_requeued", "INFO", ("request_id", "reason", "trace_id"))
ATTEMPT_ENDED = Signal(
    "attempt_ended",
    "INFO",
    (
        "request_id",
        "attempt",
        "route",
        "outcome",
        "http_status",
        "latency_ms",
        "effect",
        "provider_request_id",
        "trace_id",
    ),
)
FINISHED = Signal("request_finished", "INFO", ("request_id", "status", "outcome", "cost_micros", "trace_id"))
RECOVERED = Signal("attempt_recovered", "WARNING", ("request_id", "attempt", "effect", "trace_id"))
INTERACTION_STARTED = Signal(
    "interaction_started", "DEBUG", ("request_id", "attempt", "route", "interaction_id", "way", "trace_id")
)
INTERACTION_STOPPED = Signal(
    "interaction_stopped", "INFO", ("request_id", "attempt", "interaction_id", "why", "trace_id")
)
INTERACTION_UNREAD = Signal(
    "interaction_unread", "WARNING", ("request_id", "attempt", "interaction_id", "kind", "reason", "trace_id")
)
ARRIVAL_UNKNOWN = Signal("arrival_unknown", "INFO", ("interaction_id", "message_id"))
BACKGROUND_PROVEN = Signal("background_proven", "INFO", ("circuit", "request_id", "seconds"), may_carry=("trace_id",))
BACKGROUND_REFUSED = Signal(
    "background_refused", "WARNING", ("circuit", "request_id", "why", "probe_at"), may_carry=("trace_id",)
)
LEAD_TAKEN = Signal("pump_lead_taken", "INFO", ("holder",), may_carry=("release",))
LEAD_LEFT = Signal("pump_lead_left", "INFO", ("holder", "why"))
FLAG_CHANGED = Signal(
    "flag_changed",
    "WARNING",
    ("flag", "action", "name", "scope", "actor", "reason", "expires_at", "shadow"),
)
BATCH_CLOSED = Signal("batch_closed", "INFO", ("batch", "model", "image_size", "requests"))
BATCH_SUBMITTED = Signal("batch_submitted", "INFO", ("batch", "name", "found_again"))
BATCH_DELAYED = Signal("batch_delayed", "WARNING", ("batch", "step", "kind", "reason", "until"))
BATCH_ENDED = Signal(
    "batch_ended", "INFO", ("batch", "name", "state", "requests", "images", "extra_answers", "unknown_keys")
)
BREAKER_PROBED = Signal("breaker_probed", "INFO", ("circuit", "request_id", "slot_at", "trace_id"))
CONCLUDED = Signal("conclusion_reached", "WARNING", ("conclusion", "why", "requests", "next_probe_at"))
CONCLUSION_CLEARED = Signal("conclusion_cleared", "INFO", ("conclusion", "since", "probes"))
ROUTE_LACKING = Signal("route_lacking", "WARNING", ("what",))
COST_OVER_ESTIMATE = Signal(
    "cost_over_estimate", "WARNING", ("request_id", "attempt", "route", "cost_micros", "estimate_micros", "trace_id")
)
BUDGET_USED_UP = Signal("budget_used_up", "WARNING", ("tenant", "period", "limit_micros", "spent_micros", "over"))
MONTHLY_CAP_NEAR = Signal(
    "monthly_cap_near", "WARNING", ("month", "percent", "spent_micros", "cap_micros", "reached_on")
)
CALENDAR_CLOSED = Signal("calendar_closed", "WARNING", ("model", "until", "why"))
LIMIT_LEARNED = Signal("limit_learned", "WARNING", ("model", "dimension", "value"))
QUOTA_UNREADABLE = Signal("live_quota_unreadable", "WARNING", ("what", "code", "reason", "remedy"))
QUOTA_READABLE = Signal("live_quota_readable", "INFO", ("what", "failed_since"))
LIMIT_CHANGED = Signal("live_limit_changed", "INFO", ("model", "dimension", "old", "new"))
WEBHOOK_TAKEN = Signal("webhook_taken", "INFO", ("event", "about", "way", "effect", "message_id"))
WEBHOOK_REFUSED = Signal("webhook_refused", "WARNING", ("why", "detail", "more"))
WEBHOOK_UNVERIFIED = Signal("webhook_unverified", "WARNING", ("reason",))
BAD_MESSAGE = Signal("bad_message", "ERROR", ("function", "message_id", "reason"))
DELIVERY_DEFERRED = Signal(
    "delivery_deferred",
    "WARNING",
    ("function", "message_id", "delivery_attempt", "http_status", "cause"),
    may_carry=("trace_id",),
)
DELIVERY_CRASHED = Signal(
    "delivery_crashed",
    "ERROR",
    ("function", "message_id", "delivery_attempt", "http_status", "cause", "stack_trace"),
    may_carry=("trace_id",),
)
DOCUMENT_SKIPPED = Signal("document_skipped", "ERROR", ("document", "doing", "reason"))
CLOCK_SET_BACK = Signal("clock_set_back", "WARNING", ("seconds",))
TICK_FAILED = Signal("pump_tick_failed", "ERROR", ("reason",))
PROBE_ENDED = Signal("probe_ended", "INFO", ("request_id", "status", "outcome", "seconds"), may_carry=("trace_id",))
PROBE_FAILED = Signal("probe_failed", "ERROR", ("request_id", "status", "outcome", "seconds"), may_carry=("trace_id",))
FLAG_ILL_FORMED = Signal("flag_ill_formed", "WARNING", ("flag", "found", "allowed"))
WEBHOOK_FAILED = Signal(
    "webhook_failed",
    "WARNING",
    ("request_id", "tenant", "endpoint", "delivery", "attempt", "http_status", "reason", "effect", "trace_id"),
)
WEBHOOK_ENDPOINT_DISABLED = Signal("webhook_endpoint_disabled", "WARNING", ("tenant", "endpoint", "reason"))
WATCHED = Signal("watched", "DEBUG", ("lapsed", "overdue", "announced", "forgotten"))
OPERATED = Signal("operated", "INFO", ("action", "request_id", "actor", "trace_id"), may_carry=("detail",))
DISK_HAS_ROOM = Signal("disk_has_room", "INFO", ("places",))
ESCALATION = Signal("escalation", "ERROR", ("what", "request_id", "runbook"), may_carry=("trace_id",))

ALL = {signal.name: signal for signal in tuple(globals().values()) if isinstance(signal, Signal)}
