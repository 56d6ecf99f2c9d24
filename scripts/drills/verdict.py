"""The end of a drill: what had to hold and whether it did, and the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from scripts.drills.recording import DrillRecording
from scripts.drills.timeline import TimelineRow


class CheckedPromise(Struct, frozen=True):
    promise: str
    problem: str | None
    """None: it holds."""


def check_promises(played: DrillRecording) -> list[CheckedPromise]:
    return [CheckedPromise(hold.promise, hold.check(played)) for hold in played.scene.holds]


def figures(played: DrillRecording) -> dict[str, Any]:
    """With their units in their names."""
    statuses = played.statuses()
    tripped = played.tripped_at()
    resets = played.breaker("reset")
    return {
        "requests": len(played.requests),
        "images": len(played.delivered),
        "refused": statuses["refused"],
        "waiting": statuses["queued"],
        "failed": statuses["failed"] + statuses["expired"] + statuses["lost"],
        "images_by_model": dict(Counter(str(ended_request.model) for ended_request in played.delivered)),
        "primary_calls_in_the_failure": len(played.failing()),
        "primary_calls_that_failed": len(played.failed()),
        "charged_micros": played.charged_micros,
        "wasted_micros": played.wasted_micros,
        "breaker_tripped_after_seconds": _seconds(played, tripped),
        "breaker_reset_after_mending_seconds": round((resets[-1] - played.mended_at).total_seconds(), 1)
        if resets
        else None,
        "primary_back_after_mending_seconds": _rounded(played.back_after()) if played.scene.mends else None,
        "mean_seconds_to_an_image": _rounded(played.mean_seconds()),
        "worst_seconds_to_an_image": _rounded(played.worst_seconds()),
    }


def to_json(played: DrillRecording, lines: Sequence[TimelineRow]) -> dict[str, Any]:
    checked_promises = check_promises(played)
    return {
        "drill": played.scene.name,
        "about": played.scene.about,
        "failure_seconds": played.scene.lasts if played.scene.mends else None,
        "held": all(checked_promise.problem is None for checked_promise in checked_promises),
        "promises": [
            {
                "promise": checked_promise.promise,
                "held": checked_promise.problem is None,
                "why": checked_promise.problem,
            }
            for checked_promise in checked_promises
        ],
        "figures": figures(played),
        "timeline": [
            {"second": round((line.at - played.began_at).total_seconds(), 1), "who": line.who, "what": line.what}
            for line in lines
        ],
    }


def _seconds(played: DrillRecording, at: Any) -> float | None:
    return None if at is None else round((at - played.failed_at).total_seconds(), 1)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
