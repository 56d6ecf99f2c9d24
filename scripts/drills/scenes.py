"""The scenes of `scripts/bench/run conduct`: every way in which the provider fails, each with what must hold then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from scripts.drills import assertions
from scripts.drills.scene import DrillScene
from scripts.drills.traffic import DUE_IN, NB21, PRIMARY, Traffic
from scripts.simulator.provider.faults import BentKind, Fault, NoImageForm

HINT = 6.0
"""Seconds that a 429 asks for."""
RATE = 2.0
CONCLUDED = 12.0
"""Seconds until several requests have said so and their reports are summed, on a busy machine."""
STEADY = Traffic(RATE, 10.0)
WHOLE = (assertions.everybody_has_an_image(), assertions.one_image_each(), assertions.booked_as_charged(),
         assertions.no_downgrade_unexplained())  # fmt: skip
"""What no failure that passes excuses."""

_LOST_ANSWERS = (
    Fault(kind="cut", api="interaction_get", model=PRIMARY, chance=0.7),
    Fault(kind="webhook_lost", model=PRIMARY),
)
_HEADER = Fault(kind="quota", model=PRIMARY, variant="bare", retry_after=f"{HINT:g}")
_RETRY_INFO = Fault(kind="quota", model=PRIMARY, variant="valueless", seconds=HINT, retry_delay=f"{HINT:g}s",
                    message="You exceeded your current quota.")  # fmt: skip
_WORDS = Fault(kind="quota", model=PRIMARY, variant="bare", message=f"Resource exhausted. Please retry in {HINT:g}s.")
_OVERLOAD = Fault(kind="overload", model=PRIMARY)
_MARKED = ({"model": PRIMARY}, {"model": PRIMARY}, {"model": PRIMARY, "mark": " [refuse]"})
_REFUSAL_FORMS = (
    Fault(kind="refusal", prompt="[refuse]", form="http_400", nth=(1,)),
    Fault(kind="refusal", prompt="[refuse]", form="step_error", nth=(1,)),
    Fault(kind="refusal", prompt="[refuse]", form="failed", code="prohibited_content", nth=(1,)),
    Fault(kind="refusal", prompt="[refuse]", form="failed"),
)
_NO_IMAGE: tuple[NoImageForm, ...] = ("text_only", "empty_steps", "failed", "step_error")
_EMPTY = tuple(Fault(kind="no_image", form=form, prompt=f"[{form}]", nth=(1,)) for form in _NO_IMAGE)
_BROKEN: tuple[BentKind, ...] = ("malformed", "other_shape", "corrupt_image", "cut")
_MALFORMED = tuple(Fault(kind=kind, prompt=f"[{kind}]", nth=(1,)) for kind in _BROKEN)


_POISON = (
    Fault(kind="gone", prompt="[poison gone]"),
    Fault(kind="permission", prompt="[poison permission]"),
    Fault(kind="rejected", prompt="[poison rejected]"),
    Fault(kind="proxy_timeout", prompt="[poison proxy_timeout]"),
)
_POISONED = tuple(
    {"model": PRIMARY, "mark": f" {fault.prompt}"} if number == 0 else {"model": PRIMARY}
    for fault in _POISON
    for number in range(20)
)
"""One in twenty, of each kind in turn."""


def _marked(marks: Sequence[str]) -> Traffic:
    """So that each failure meets a request of its own: one that met two would end, as it should."""
    mix = tuple({"model": PRIMARY, "mark": f" [{mark}]"} for mark in marks)
    return replace(STEADY, mix=(*mix, {"model": PRIMARY}))


_OTHERWISE: tuple[BentKind, ...] = ("wrong_size", "wrong_ratio", "other_tokens", "served_by", "tier_downgraded")
_DELIVERED_OTHERWISE = tuple(
    Fault(kind=kind, prompt=f"[{kind}]", served_by=NB21 if kind == "served_by" else None) for kind in _OTHERWISE
)
_ORDERS: tuple[Mapping[str, Any], ...] = (
    {"model": PRIMARY, "mark": " [wrong_size]", "image_size": "4K"},
    {"model": PRIMARY, "mark": " [wrong_ratio]", "aspect_ratio": "16:9"},
    {"model": PRIMARY, "mark": " [other_tokens]"},
    {"model": PRIMARY, "mark": " [served_by]"},
    {"model": PRIMARY, "mark": " [tier_downgraded]", "lane": "priority"},
    {"model": PRIMARY, "aspect_ratio": "16:9"},
)
CONSENTS: Mapping[str, Any] = {"model": PRIMARY, "allow": {"gateway": True}}
NO_BALANCE = 14.0
"""Seconds, the first half of them in the provider's own words, the other as a 402."""
_NO_BALANCE = (
    Fault(kind="balance", until=NO_BALANCE / 2),
    Fault(kind="payment", after=NO_BALANCE / 2, until=NO_BALANCE),
)

DUE = ({"model": PRIMARY}, {"model": PRIMARY, DUE_IN: 60.0})


def _hinted(name: str, about: str, fault: Fault) -> DrillScene:
    hint = (assertions.nobody_before_the_hint(HINT), assertions.the_failure_is_met(), assertions.no_breaker())
    promises = (*WHOLE, assertions.nothing_wasted(), *hint)
    return DrillScene(name, about, Traffic(1.0, 14.0), promises, (fault,), lasts=HINT, patience=90.0)


CALM = "calm"
"""The scene without a failure: what the others' times are compared with."""
ALL: tuple[DrillScene, ...] = (
    _hinted("hint-header", "429 with Retry-After", _HEADER),
    _hinted("hint-body", "429 with RetryInfo in its details", _RETRY_INFO),
    _hinted("hint-words", "429 whose hint is in its words only", _WORDS),
    DrillScene(
        "silent",
        "no answer; time-out after 3 s",
        STEADY,
        (*WHOLE, assertions.each_asks_at_most(1, "hang"), assertions.the_failure_is_met()),
        (Fault(kind="hang", model=PRIMARY),),
        timeout=3,
    ),
    DrillScene(
        "slow",
        "3 s slower, within the time-out",
        STEADY,
        (*WHOLE, assertions.nothing_wasted(), assertions.no_breaker(), assertions.failing_calls_at_most(0)),
        (Fault(kind="slow", model=PRIMARY, seconds=3.0),),
        timeout=20,
    ),
    DrillScene(
        "too-slow",
        "slower than the time-out of 3 s; charged",
        STEADY,
        (assertions.everybody_has_an_image(), assertions.each_asks_at_most(1, "image"),
         assertions.no_downgrade_unexplained()),
        (Fault(kind="slow", model=PRIMARY, seconds=5.0),),
        timeout=3,
    ),
    DrillScene(
        "reset",
        "the connection is reset",
        STEADY,
        (*WHOLE, assertions.each_asks_at_most(2, "reset"), assertions.the_failure_is_met()),
        (Fault(kind="reset", model=PRIMARY),),
    ),
    DrillScene(
        "flapping",
        "overload, 6 s on and 6 s off",
        Traffic(RATE, 50.0),
        (*WHOLE, assertions.nothing_wasted(), assertions.each_asks_at_most(2, "service_unavailable"),
         assertions.breaker_trips_at_most(2), assertions.failing_calls_at_most(60)),
        (_OVERLOAD,),
        lasts=48.0,
        every=6.0,
        patience=30.0,
    ),
    DrillScene(
        "outage",
        "overload of 60 s",
        Traffic(RATE, 62.0),
        (*WHOLE, assertions.nothing_wasted(), assertions.each_asks_at_most(2, "service_unavailable"),
         assertions.four_primary_calls_a_minute(), assertions.breaker_trips_at_most(1)),
        (_OVERLOAD,),
        lasts=60.0,
        afterwards=(assertions.back_on_the_primary(),),
        recovery=40.0,
    ),
    DrillScene(
        CALM, "nothing fails", STEADY, (*WHOLE, assertions.nothing_wasted(), assertions.failing_calls_at_most(0))
    ),
    DrillScene(
        "refusal",
        "every third prompt refused, in four forms",
        replace(STEADY, mix=_MARKED),
        (assertions.ends_only_as("succeeded", "refused"), assertions.only_refusals_are_refused(),
         assertions.refused_are_asked_once(),
         assertions.some_end_as("refused", 4), assertions.one_image_each(), assertions.no_breaker()),
        _REFUSAL_FORMS,
        mends=False,
        calm_first=0.0,
    ),
    DrillScene(
        "empty",
        "answers without an image, in four forms",
        _marked(_NO_IMAGE),
        (*WHOLE, assertions.the_failure_is_met(4), assertions.failing_calls_at_most(4), assertions.no_breaker()),
        _EMPTY,
        mends=False,
    ),
    DrillScene(
        "malformed",
        "broken JSON, another shape, no picture, cut",
        _marked(_BROKEN),
        (assertions.everybody_has_an_image(), assertions.one_image_each(), assertions.the_failure_is_met(4),
         assertions.failing_calls_at_most(4), assertions.no_breaker()),
        _MALFORMED,
        mends=False,
    ),
    DrillScene(
        "credential",
        "the key is rejected for 30 s",
        STEADY,
        (assertions.ends_only_as("succeeded", "queued"), assertions.one_image_each(), assertions.booked_as_charged(),
         assertions.nothing_wasted(), assertions.the_route_is_left_within(CONCLUDED),
         assertions.escalated("credential")),
        (Fault(kind="credential"),),
        lasts=30.0,
        patience=120.0,
        afterwards=(*WHOLE, assertions.back_to_images()),
    ),
    DrillScene(
        "gone",
        "404: the model is gone",
        STEADY,
        (*WHOLE, assertions.nothing_wasted(), assertions.the_route_is_left_within(CONCLUDED),
         assertions.warned_of_a_lack()),
        (Fault(kind="gone", model=PRIMARY),),
        mends=False,
    ),
    DrillScene(
        "poison",
        "one request in twenty is always turned away: 404, 403, 400, 524",
        Traffic(5.0, 40.0, _POISONED),
        (assertions.only_the_marked_fail("[poison"), assertions.the_others_wait_at_most(10.0, "[poison"),
         assertions.nothing_is_concluded(), assertions.no_breaker(), assertions.one_image_each(),
         assertions.booked_as_charged(), assertions.nothing_wasted(), assertions.the_failure_is_met(8)),
        _POISON,
        mends=False,
        calm_first=0.0,
        patience=90.0,
    ),
    DrillScene(
        "receipts",
        "other pixels, shape, tokens, model, tier than ordered",
        replace(STEADY, mix=_ORDERS),
        (*WHOLE, assertions.nothing_wasted(), assertions.every_kind_came(*_OTHERWISE),
         assertions.what_came_otherwise_is_flagged(),
         assertions.the_ledger_is_the_bill(), assertions.no_breaker()),
        _DELIVERED_OTHERWISE,
        mends=False,
        calm_first=0.0,
        announced=True,
    ),
    DrillScene(
        "no-balance",
        f"a gateway without balance for {NO_BALANCE:g} s",
        Traffic(RATE, 36.0, (CONSENTS, CONSENTS, {"model": PRIMARY})),
        (*WHOLE, assertions.nothing_wasted(), assertions.only_those_that_consent_leave_google(),
         assertions.failing_calls_at_most(16),
         assertions.the_failure_is_met(2), assertions.the_gateway_is_closed_by_name(),
         assertions.google_is_not_blamed(),
         assertions.those_turned_away_go_elsewhere_within(8.0), assertions.escalated("no-balance", most=6),
         assertions.the_ledger_is_the_bill(), assertions.back_to_images()),
        _NO_BALANCE,
        lasts=NO_BALANCE,
        gateway=True,
    ),
    DrillScene(
        "lost-answer",
        "answers about background calls are lost: most looks are cut, no webhook comes",
        STEADY,
        (*WHOLE, assertions.nothing_wasted(), assertions.looks_failed(1), assertions.failing_calls_at_most(0),
         assertions.no_breaker(), assertions.the_ledger_is_the_bill()),
        _LOST_ANSWERS,
        patience=90.0,
        background="on",
    ),
    DrillScene(
        "day",
        "the day's quota is gone (and a hint of 0.9 s)",
        replace(STEADY, mix=DUE),
        (assertions.ends_only_as("succeeded", "queued"), assertions.due_ones_have_images(),
         assertions.some_end_as("queued"),
         assertions.one_image_each(), assertions.nothing_wasted(), assertions.booked_as_charged(),
         assertions.the_route_is_left_within(CONCLUDED), assertions.no_downgrade_unexplained()),
        (Fault(kind="quota", model=PRIMARY, variant="day_short_delay"),),
        mends=False,
        patience=12.0,
    ),
    DrillScene(
        "twice",
        "every request is published twice",
        STEADY,
        (*WHOLE, assertions.nothing_wasted(), assertions.failing_calls_at_most(0)),
        twice=True,
    ),
    DrillScene(
        "deadline",
        "a queue that the deadline overtakes",
        Traffic(0, 0, ({"model": PRIMARY, DUE_IN: 8.0, "floor": "exact"},), at_once=30),
        (assertions.ends_only_as("succeeded", "expired"), assertions.some_end_as("succeeded"),
         assertions.some_end_as("expired"),
         assertions.nobody_begins_after_the_deadline(), assertions.one_image_each(), assertions.nothing_wasted(),
         assertions.booked_as_charged()),
        limits=f"{PRIMARY}=concurrency:2",
        latency="fixed:1",
    ),
)  # fmt: skip

QUICK = ("hint-words", "silent", "reset", "outage", CALM, "refusal", "malformed", "credential", "gone", "receipts",
         "day", "twice", "deadline")  # fmt: skip
"""One of each kind."""
BY_NAME: Mapping[str, DrillScene] = {scene.name: scene for scene in ALL}


def scenes(names: tuple[str, ...], *, quick: bool) -> list[DrillScene]:
    """The named ones, or all; quick: shorter, and without waiting for every recovery."""
    chosen = [BY_NAME[name] for name in names] if names else list(ALL)
    return [_shorter(scene) if quick else scene.to_the_end() for scene in chosen]


def _shorter(scene: DrillScene) -> DrillScene:
    match scene.name:
        case "outage":
            return replace(scene, traffic=replace(scene.traffic, seconds=24.0), lasts=20.0, recovery=0.0)
        case "flapping":
            return replace(scene, traffic=replace(scene.traffic, seconds=20.0), lasts=18.0, every=3.0)
        case "deadline":
            return replace(scene, traffic=replace(scene.traffic, mix=_due_in(scene, 4.0)))
        case "no-balance":
            return replace(scene, traffic=replace(scene.traffic, seconds=30.0))
        case "credential":
            return replace(scene, traffic=replace(scene.traffic, seconds=6.0), patience=6.0)
        case _:
            shorter = replace(scene.traffic, seconds=6.0)
            return replace(
                scene,
                traffic=shorter,
                lasts=min(scene.lasts, 4.0),
                recovery=0.0,
            )


def _due_in(scene: DrillScene, seconds: float) -> tuple[Mapping[str, Any], ...]:
    return tuple({**fields, DUE_IN: seconds} for fields in scene.traffic.mix)
