"""Every way an attempt can fail, named for what we do next. The set is closed; the table below is the whole policy."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct, field

from shared.core.values.status import FinalStatus

if TYPE_CHECKING:
    from shared.core.provider.usage import Usage


class FailureKind(StrEnum):
    CREDENTIAL = "credential"
    PERMISSION = "permission"
    QUOTA_MINUTE = "quota_minute"
    QUOTA_DAY = "quota_day"
    QUOTA_SPEND = "quota_spend"
    QUOTA_UNKNOWN = "quota_unknown"
    BALANCE = "balance"
    OVERLOAD = "overload"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    CONNECTION_LOST = "connection_lost"
    REFUSED = "refused"
    NO_IMAGE = "no_image"
    INVALID_REQUEST = "invalid_request"
    MODEL_GONE = "model_gone"
    LANE_UNSUPPORTED = "lane_unsupported"
    MALFORMED_ANSWER = "malformed_answer"
    REFERENCE = "reference"
    IMAGE_STORE = "image_store"
    CRASHED = "crashed"
    LATE = "late"
    NOT_FINISHED = "not_finished"
    """A background call that had not ended in the model's time: it was cancelled, and says so."""
    CANCELLED = "cancelled"
    """A background call that its caller cancelled."""
    BACKGROUND_REFUSED = "background_refused"
    """The model and lane take no background calls: the same call is made in the foreground."""


class Next(StrEnum):
    """What happens to the request next."""

    AGAIN = "again"
    """Another attempt, bounded in count, time and money."""
    WAIT = "wait"
    """Another attempt when the quota allows; not counted against the bound."""
    ELSEWHERE = "elsewhere"
    """The next route of the ladder at once; the end if there is none."""
    END = "end"
    """Another attempt would not help: end with advice."""


class Charge(StrEnum):
    """Whether such a failure is billed, by the provider's own statements."""

    NOTHING = "nothing"
    """Not charged: the call never arrived, the pricing page says so (answers 400 and 500), or a limit rejected the call
    before a model ran (429; Google makes no statement: see decision 0096; `renderlane cost --reconcile` tells)."""
    UNKNOWN = "unknown"
    """No statement: booked as unknown, never as zero, unless the answer carried usage."""


Owner: TypeAlias = Literal["credential", "project", "quota", "capacity", "request", "catalogue", "worker"]
"""Who most likely fixes it; the runbook says where to look first."""


class Exchange(StrEnum):
    """How far the call got."""

    NOT_SENT = "not_sent"
    BROKEN_OFF = "broken_off"
    """It was sent, and no answer came back: it may still be running at the provider."""
    ANSWERED = "answered"


class Rule(Struct, frozen=True):
    next: Next
    charge: Charge
    owner: Owner
    advice: str
    ambiguous: bool = False
    """Money may have been spent with no image to show for it: the estimate is held against the cost cap."""
    exchange: Exchange = Exchange.ANSWERED
    denied: bool = False
    """Key, project or account may not make the call: a person has to correct it."""
    sick_route: bool = False
    """It counts against the route itself. A full quota, a refusal or a bad request says nothing about the route's
    health."""
    lacking: bool = False
    """The provider says that it does not have this model or lane."""
    model_answered: bool = False
    """The model has processed the request: key, project, account, day and model are valid."""
    status: FinalStatus = "failed"
    """The status of a request that ends with it."""
    spoiled: bool = False
    """An answer was paid for, but has no usable image."""
    no_news: bool = False
    """It concerns the request alone, or no call at all: it says nothing about the route."""
    over: bool = False
    """Nothing of the call continues: it does not count as a call that was probably paid."""


RULES: dict[FailureKind, Rule] = {
    FailureKind.CREDENTIAL: Rule(
        Next.WAIT, Charge.NOTHING, "credential", denied=True,
        advice="The key was rejected. Set GEMINI_API_KEY to an auth key, not a standard one.",
    ),
    FailureKind.PERMISSION: Rule(
        Next.WAIT, Charge.NOTHING, "project", denied=True,
        advice="The project may not make this call. Check billing, region, API and policy of the key's project.",
    ),
    FailureKind.QUOTA_MINUTE: Rule(
        Next.WAIT, Charge.NOTHING, "quota",
        advice="The model's per-minute quota is used up. Requests continue automatically.",
    ),
    FailureKind.QUOTA_DAY: Rule(
        Next.WAIT, Charge.NOTHING, "quota",
        advice="The model's daily quota is used up until midnight in Los Angeles.",
    ),
    FailureKind.QUOTA_SPEND: Rule(
        Next.WAIT, Charge.NOTHING, "quota",
        advice="The project's ten-minute spend limit is reached. Requests continue automatically.",
    ),
    FailureKind.QUOTA_UNKNOWN: Rule(
        Next.WAIT, Charge.NOTHING, "quota",
        advice="The provider is out of capacity or quota and gave no reason.",
    ),
    FailureKind.BALANCE: Rule(
        Next.WAIT, Charge.NOTHING, "project", denied=True,
        advice="The account has no balance, no billing or a limit of 0. Retries are automatic.",
    ),
    FailureKind.OVERLOAD: Rule(
        Next.AGAIN, Charge.UNKNOWN, "capacity", sick_route=True, over=True,
        advice="The model is overloaded. Wait, then submit again under a new id; a proxy's 503 may have been billed.",
    ),
    FailureKind.SERVER_ERROR: Rule(
        Next.AGAIN, Charge.NOTHING, "capacity", sick_route=True,
        advice="The provider failed. Wait, then submit again under a new id; a proxy's answer may have been billed.",
    ),
    FailureKind.TIMEOUT: Rule(
        Next.AGAIN, Charge.UNKNOWN, "capacity", ambiguous=True, exchange=Exchange.BROKEN_OFF, sick_route=True,
        advice="No answer in time; the image may have been billed. Check the bill, then submit under a new id.",
    ),
    FailureKind.CONNECTION: Rule(
        Next.AGAIN, Charge.NOTHING, "capacity", exchange=Exchange.NOT_SENT, sick_route=True,
        advice="The provider could not be reached. Check DNS, proxies and the base URL (the gateway's too).",
    ),
    FailureKind.CONNECTION_LOST: Rule(
        Next.AGAIN, Charge.UNKNOWN, "capacity", ambiguous=True, exchange=Exchange.BROKEN_OFF, sick_route=True,
        advice="The connection broke after the call was sent; it may be billed. Check the bill, submit under a new id.",
    ),
    FailureKind.REFUSED: Rule(
        Next.END, Charge.UNKNOWN, "request", model_answered=True, status="refused", no_news=True,
        advice="The model refused for safety or policy. Change the prompt or the references.",
    ),
    FailureKind.NO_IMAGE: Rule(
        Next.AGAIN, Charge.UNKNOWN, "request", ambiguous=True, model_answered=True, spoiled=True,
        advice="The model answered without an image. Ask for an image more explicitly.",
    ),
    FailureKind.INVALID_REQUEST: Rule(
        Next.END, Charge.NOTHING, "request", no_news=True,
        advice="The provider rejected the request. Correct the field it names.",
    ),
    FailureKind.MODEL_GONE: Rule(
        Next.ELSEWHERE, Charge.NOTHING, "catalogue", lacking=True,
        advice="The model is gone. Correct its status and successor in the catalogue.",
    ),
    FailureKind.LANE_UNSUPPORTED: Rule(
        Next.ELSEWHERE, Charge.NOTHING, "catalogue", lacking=True,
        advice="The model does not support this lane. Remove the lane from the catalogue.",
    ),
    FailureKind.MALFORMED_ANSWER: Rule(
        Next.AGAIN, Charge.UNKNOWN, "request", ambiguous=True, spoiled=True,
        advice="The answer could not be read; it may have been billed. Check the API version and the base URL.",
    ),
    FailureKind.REFERENCE: Rule(
        Next.END, Charge.NOTHING, "request", exchange=Exchange.NOT_SENT, no_news=True,
        advice="A reference image cannot be used. Check its address, type, size and access.",
    ),
    FailureKind.IMAGE_STORE: Rule(
        Next.END, Charge.UNKNOWN, "worker", spoiled=True,
        advice="The image is paid for but could not be stored. Fix the image store; the message says where it is.",
    ),
    FailureKind.LATE: Rule(
        Next.WAIT, Charge.NOTHING, "worker", exchange=Exchange.NOT_SENT, no_news=True,
        advice="The call could not be sent within its slot. It gets another slot automatically.",
    ),
    FailureKind.CRASHED: Rule(
        Next.AGAIN, Charge.UNKNOWN, "worker", ambiguous=True, exchange=Exchange.BROKEN_OFF,
        advice="The worker died during the attempt; it may be billed. Check its events, then submit under a new id.",
    ),
    FailureKind.NOT_FINISHED: Rule(
        Next.AGAIN, Charge.UNKNOWN, "capacity", ambiguous=True, sick_route=True, over=True,
        advice="The model did not finish in its time, and the call was cancelled. Wait, then submit under a new id.",
    ),
    FailureKind.CANCELLED: Rule(
        Next.END, Charge.UNKNOWN, "request", ambiguous=True, status="cancelled", over=True,
        advice="The caller cancelled the call while it ran. If the image is still needed, submit under a new id.",
    ),
    FailureKind.BACKGROUND_REFUSED: Rule(
        Next.WAIT, Charge.NOTHING, "catalogue", over=True,
        advice="The model takes no background calls. The call is made in the foreground automatically.",
    ),
}  # fmt: skip
"""The failure table: RUNBOOK.md has a heading for each, with its first check."""
DENIED = frozenset(kind.value for kind, rule in RULES.items() if rule.denied)
"""By code: the reason that a closed quota shows."""
BROKEN_OFF = frozenset(kind.value for kind, rule in RULES.items() if rule.exchange is Exchange.BROKEN_OFF)
"""By code: the answer to such a call may still arrive."""


class Failure(Struct, frozen=True):
    """One failed call, as the lane understood it. Never carries a prompt or a key."""

    kind: FailureKind
    message: str
    code: str = ""
    """The provider's own word: `quota_exceeded`, `image_safety`, …"""
    http_status: int | None = None
    retry_after: timedelta | None = None
    """The server's hint, from Retry-After or RetryInfo."""
    quota_id: str | None = None
    quota_value: int | None = None
    provider_request_id: str = ""
    usage: Usage | None = field(default=None)
    """Tokens of an answer that was charged although it held no image."""
    model: str = ""
    """The model that served, if the answer named one."""
    lane: str = ""
    explicit: bool = False
    """The provider named the shared thing itself (an ErrorInfo reason, a quotaId, `model_not_found` with the model's
    name): its own statement about a model, lane, key, project, account or limit, not a guess from a status code."""
    may_be_billed: bool = False
    """The answer did not come from the API itself but, for example, from a proxy in front of it: the promise of the
    kind's rule does not hold, and the estimate is held against the cost cap."""

    address: str = ""
    """Where the picture is stored that this answer was charged for and that could not be fetched. It may contain a
    signature: only the attempt's document has it in full."""

    def __post_init__(self) -> None:
        """A crashed worker reports no usage: the attempt is booked as unknown, and later reversed as unknown."""
        if self.kind is FailureKind.CRASHED and self.usage is not None:
            raise ValueError("a crashed attempt has no usage: its worker never read an answer")

    @property
    def rule(self) -> Rule:
        return RULES[self.kind]

    @property
    def charge(self) -> Charge:
        """The price page says that the API's own 400 is not charged, even if it is a refusal."""
        if self.may_be_billed:
            return Charge.UNKNOWN
        refused_at_once = self.http_status == 400 and self.kind is FailureKind.REFUSED
        return Charge.NOTHING if refused_at_once else self.rule.charge

    @property
    def ambiguous(self) -> bool:
        """Money may have been spent with no image to show for it: the estimate is held against the cost cap."""
        return self.may_be_billed or self.rule.ambiguous

    @property
    def limits_repeats(self) -> bool:
        """It counts as a call that was probably paid. A proxy's 503 was most likely never forwarded, and a cancelled
        interaction is over: these only count against the cap."""
        return self.ambiguous and not self.rule.over
