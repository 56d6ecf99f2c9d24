"""Scripted faults: which calls they meet and what they do to them. Validated when set, counted while they run."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Struct

from scripts.simulator.provider.accepted_request import Headline
from scripts.simulator.provider.bill import Api
from scripts.simulator.provider.problems import ErrorForm
from scripts.simulator.provider.quota_problems import Variant

GateKind = Literal["credential", "permission", "payment", "balance", "gone", "quota", "rejected", "tier_unsupported"]
"""Answered at the door: before quota is used, at once. `payment` is a 402, `balance` a gateway's own word for it."""
SickKind = Literal["overload", "shed", "internal", "deadline", "hang", "reset", "proxy_timeout"]
"""The call counts against quota and no picture comes. `shed` meets only flex; `deadline` and `proxy_timeout` take the
usual time; `proxy_timeout` is answered by a page of a proxy in front of the API (524)."""
BentKind = Literal[
    "refusal",
    "no_image",
    "cut",
    "malformed",
    "other_shape",
    "corrupt_image",
    "wrong_size",
    "wrong_ratio",
    "other_tokens",
    "served_by",
    "tier_downgraded",
    "requires_continuation",
]
"""The model worked, for the usual time, and its answer is not what was asked for. What has other pixels, tokens, model
or tier is charged as it was made."""
SlowKind = Literal["slow"]
"""Extra seconds, added to every other fault of the call."""
BatchKind = Literal["stuck", "batch_failed", "batch_expired"]
"""The end of a whole batch, decided when it is created: none at all, or without any answer."""
LineKind = Literal["missing_key", "duplicate_key", "strange_key"]
"""What comes back for one line of a batch: nothing, `copies` answers, or one under another key. All are charged."""
BackgroundKind = Literal["background_unsupported", "never", "ended", "answer_late", "cancel_billed"]
"""Meets background calls alone: a model that takes none (400); one that never ends; one that ends with `status` and
without a picture; one whose create is answered only after it has ended and its webhooks were delivered; one whose
picture is charged though it is cancelled."""
LookKind = Literal["missing"]
"""The answer to GET, cancel or DELETE of an interaction, named by `api`: a 404."""
WebhookKind = Literal["webhook_lost", "webhook_late", "webhook_repeated", "webhook_forged", "webhook_stale"]
"""Of one event: never sent; sent `seconds` later; delivered `copies` times; preceded by one that somebody else signed,
with an id of their own; preceded by itself with a timestamp of ten minutes ago."""
Kind = Literal[GateKind, SickKind, BentKind, SlowKind, BatchKind, LineKind, BackgroundKind, LookKind, WebhookKind]
EndStatus = Literal["failed", "cancelled", "requires_action", "incomplete", "budget_exceeded"]
"""How an interaction can end without a picture."""

NoImageForm = Literal[
    "http_400", "failed", "step_error", "text_only", "empty_steps", "incomplete", "prompt_blocked", "finish_reason"
]
"""Where an answer without a picture says so. The last two are native to :generateContent, the first works on both, and
each of the others has its nearest kin on the API that lacks it."""

KINDS: tuple[str, ...] = get_args(Kind)
GATE_KINDS: tuple[str, ...] = get_args(GateKind)
SICK_KINDS: tuple[str, ...] = get_args(SickKind)
BATCH_KINDS: tuple[str, ...] = get_args(BatchKind)
LINE_KINDS: tuple[str, ...] = get_args(LineKind)
BACKGROUND_KINDS: tuple[str, ...] = get_args(BackgroundKind)
WEBHOOK_KINDS: tuple[str, ...] = get_args(WebhookKind)

PICTURING: tuple[Api, ...] = ("interactions", "generate_content", "batch", "chat", "images", "vertex")
"""What a fault meets that names no API."""
STORED: tuple[Api, ...] = ("interaction_get", "interaction_cancel", "interaction_delete")
"""What is asked of an interaction that there is."""
REFUSE_MARK = "[refuse]"
"""A prompt with this in it is refused for safety, without any script."""


class InvalidFaults(ValueError):
    """Faults are a JSON list of objects with a `kind`."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    kind: Kind

    # Which calls: every condition given must hold.
    api: Api | None = None
    model: str | None = None
    size: str | None = None
    tier: str | None = None
    prompt: str | None = None
    """A part of the prompt."""
    marker: str | None = None
    """The label `request_id`."""
    after: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Seconds since the fault was set."""
    until: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Seconds since the fault was set."""
    nth: tuple[Annotated[int, msgspec.Meta(ge=1)], ...] = ()
    """Of the calls that meet all of the above, from 1."""
    chance: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Then it is used up."""

    # What it does.
    variant: Variant = "minute"
    """Of `quota`."""
    form: NoImageForm = "failed"
    """Of `refusal` and `no_image`."""
    code: str | None = None
    """Of `refusal` (default image_safety), `no_image` (no_image), `rejected` (invalid_request), `ended` (api_error)."""
    status: EndStatus | None = None
    """Of `ended`."""
    message: str | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Of `slow`: extra time (default 5). Of `webhook_late`: the delay (default 30). Of `quota`: the delay it announces
    (default 45.837906927)."""
    retry_delay: str | None = None
    """Of `quota`: sent as RetryInfo.retryDelay as it is written."""
    retry_after: str | None = None
    """A Retry-After header, on any error."""
    quota_value: Annotated[int, msgspec.Meta(ge=0)] = 60
    quota_suffix: str = ""
    """Ends the quota ids, e.g. -PaidTier1."""
    error_form: ErrorForm | None = None
    usage: bool = True
    """Of `refusal` and `no_image`: the answer carries token usage, and so is charged."""
    charged: bool | None = None
    """Of `hang`, `reset`: a picture (a batch) was made and is charged (default no); a background call then runs on
    behind the lost answer. Of `ended`: a picture was made and is charged (default no). Of bent kinds: default yes."""
    copies: Annotated[int, msgspec.Meta(ge=2)] = 2
    """Of `duplicate_key`: the answers under one key. Of `webhook_repeated`: the deliveries of one event."""
    served_by: str | None = None
    """Of `served_by`: the model that serves instead."""


class FaultVerdict(Struct, frozen=True):
    """What the script has in mind for one call."""

    fault: Fault | None = None
    extra_seconds: float = 0.0


class _Watch(Struct):
    fault: Fault
    since: float
    met: int = 0
    struck: int = 0


class FaultBook:
    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._watches: list[_Watch] = []

    def set(self, faults: Sequence[Fault], *, now: float) -> None:
        """Replaces the script. `now` in monotonic seconds."""
        self._watches = [_Watch(fault, since=now) for fault in faults]

    def judge(self, api: Api, headline: Headline, *, now: float) -> FaultVerdict:
        """The first fault that strikes decides; slowness adds up."""
        decisive: Fault | None = None
        extra = 0.0
        for watch in self._watches:
            fault = watch.fault
            if decisive is not None and fault.kind != "slow":
                continue
            if not self._strikes(watch, api, headline, now):
                continue
            if fault.kind == "slow":
                extra += 5.0 if fault.seconds is None else fault.seconds
            else:
                decisive = fault
        if decisive is None and REFUSE_MARK in headline.prompt:
            decisive = Fault(kind="refusal")
        return FaultVerdict(decisive, extra)

    def _strikes(self, watch: _Watch, api: Api, headline: Headline, now: float) -> bool:
        fault = watch.fault
        if fault.times is not None and watch.struck >= fault.times:
            return False
        if not _concerns(fault, api, headline, now - watch.since):
            return False
        watch.met += 1
        if fault.nth and watch.met not in fault.nth:
            return False
        if fault.chance < 1.0 and self._chance.random() >= fault.chance:
            return False
        watch.struck += 1
        return True

    def report(self) -> list[dict[str, Any]]:
        return [
            {"fault": msgspec.to_builtins(watch.fault), "met": watch.met, "struck": watch.struck}
            for watch in self._watches
        ]


def _is_of(fault: Fault, api: Api) -> bool:
    """Batches' own kinds meet nothing else; what makes no picture is met only by faults that name it."""
    if fault.kind in BATCH_KINDS:
        return api == "batch_create"
    if fault.kind in LINE_KINDS:
        return api == "batch"
    if fault.kind in WEBHOOK_KINDS:
        return api == "webhook"
    if fault.kind in BACKGROUND_KINDS:
        return api == "interactions"
    return fault.api == api or (fault.api is None and api in PICTURING)


def _concerns(fault: Fault, api: Api, headline: Headline, age: float) -> bool:
    return (
        _is_of(fault, api)
        and (fault.model is None or fault.model == headline.model)
        and (fault.size is None or fault.size == headline.size)
        and (fault.tier is None or fault.tier == headline.tier)
        and (fault.kind != "shed" or headline.tier == "flex")
        and (fault.kind not in BACKGROUND_KINDS or headline.background)
        and (fault.prompt is None or fault.prompt in headline.prompt)
        and (fault.marker is None or fault.marker == headline.marker)
        and age >= fault.after
        and (fault.until is None or age < fault.until)
    )


def parse(text: bytes | str) -> tuple[Fault, ...]:
    try:
        faults = msgspec.json.decode(text, type=tuple[Fault, ...])
    except msgspec.DecodeError as cause:  # also a wrong type, an unknown field, a value out of range
        raise InvalidFaults(f"{cause}; kinds: {', '.join(KINDS)}") from cause
    return check(faults)


def check(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """The rules between fields."""
    for number, fault in enumerate(faults):
        if (fault.served_by is not None) != (fault.kind == "served_by"):
            raise InvalidFaults(f"`served_by` goes with kind served_by, and only with it - at `$[{number}]`")
        if (fault.status is not None) != (fault.kind == "ended"):
            raise InvalidFaults(f"`status` goes with kind ended, and only with it - at `$[{number}]`")
        if fault.kind == "missing" and fault.api not in STORED:
            raise InvalidFaults(f"`missing` needs `api`: one of {', '.join(STORED)} - at `$[{number}]`")
        if fault.until is not None and fault.until <= fault.after:
            raise InvalidFaults(f"`until` must lie after `after` - at `$[{number}]`")
    return tuple(faults)
