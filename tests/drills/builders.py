"""One played scene, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from scripts.drills.recording import DrillRecording, EndedRequest
from scripts.drills.scene import DrillScene, Hold
from scripts.drills.traffic import PRO, Traffic
from scripts.simulator.provider.bill import RecordedCall
from scripts.simulator.provider.tokens import TokenUsage
from tests.builders import NOW

IMAGE_COSTS = 134_400


def at(seconds: float) -> datetime:
    """So many seconds after the failure's beginning."""
    return NOW + timedelta(seconds=seconds)


def a_call(marker: str = "r-1", seconds: float = 0.0, outcome: str = "image", **changes: Any) -> RecordedCall:
    """One of the primary model; an image is charged."""
    made = outcome == "image"
    call = RecordedCall(
        number=1,
        received_at=at(seconds),
        finished_at=at(seconds),
        api="interactions",
        model=PRO,
        served_model=PRO if made else "",
        outcome=outcome,
        marker=marker,
        charged=made,
        usage=TokenUsage(image_out=1120) if made else TokenUsage(),
        cost_micros=IMAGE_COSTS if made else 0,
    )
    return replace(call, **changes)


def an_end(request_id: str = "r-1", status: str = "succeeded", **changes: Any) -> EndedRequest:
    fields = {"request_id": request_id, "prompt": "a lighthouse", "model": PRO}
    done = status == "succeeded"
    ended = EndedRequest(
        request_id, at(0), status, at(1), fields, model=PRO if done else None, cost_micros=IMAGE_COSTS if done else 0
    )
    return replace(ended, **changes)


def a_trip(seconds: float, action: str = "trip") -> dict[str, Any]:
    return {
        "message": "flag_changed", "time": at(seconds).isoformat(), "actor": "breaker", "action": action,
        "name": "use-nano-banana-2", "scope": f"model={PRO} lane=standard", "reason": "overload",
    }  # fmt: skip


def played(
    requests: Sequence[EndedRequest] = (),
    calls: Sequence[RecordedCall] = (),
    events: Sequence[dict[str, Any]] = (),
    holds: Sequence[Hold] = (),
    lasts: float = 60.0,
) -> DrillRecording:
    scene = DrillScene("hand-made", "nothing real", Traffic(1, 1), tuple(holds), lasts=lasts)
    return DrillRecording(scene, tuple(requests), tuple(calls), at(-2), at(0), at(lasts + 60), tuple(events))
