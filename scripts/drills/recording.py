"""The recording of a scene: its requests, the provider's record of calls and charges, and the worker's events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

from msgspec import Struct

from scripts.drills.scene import DrillScene
from scripts.drills.traffic import PRIMARY
from scripts.simulator.provider.bill import RecordedCall

IMAGE = "image"
"""How the simulator names a call that was answered with one."""
FLAGGED_AS: Mapping[str, str] = {
    "wrong_size": "image_size",
    "wrong_ratio": "aspect_ratio",
    "other_tokens": "image_tokens",
    "served_by": "model",
    "tier_downgraded": "lane",
}
"""Calls that were answered with another image than was ordered, and the mismatch that this is."""
REJECTED = 429


class EndedRequest(Struct, frozen=True):
    """One request at the end of a scene."""

    request_id: str
    sent_at: datetime
    status: str
    """As in the status document; `no answer` where a plain call was cut off."""
    ended_at: datetime | None
    fields: Mapping[str, Any]
    """What was asked."""
    model: str | None = None
    """Delivered."""
    reasons: Sequence[str] = ()
    """Of its receipt."""
    cost_micros: int = 0
    """As the worker booked it."""
    mismatches: Sequence[str] = ()
    """Of its receipt."""
    announced: Sequence[str] | None = None
    """The mismatches of its result event; None where the scene does not read them."""

    @property
    def seconds(self) -> float | None:
        return None if self.ended_at is None else (self.ended_at - self.sent_at).total_seconds()


class DrillRecording(Struct, frozen=True):
    scene: DrillScene
    requests: tuple[EndedRequest, ...]
    calls: tuple[RecordedCall, ...]
    """All that Google saw, in order of arrival."""
    began_at: datetime
    failed_at: datetime
    """The failure's beginning."""
    ended_at: datetime
    events: tuple[Mapping[str, Any], ...] = ()
    """What the worker reported; nothing of plain calls."""
    gateway_calls: tuple[RecordedCall, ...] = ()
    """All that the provider gateway saw."""
    booked_micros: int | None = None
    """In the ledger at the end; None of plain calls, which have none."""

    @property
    def all_calls(self) -> tuple[RecordedCall, ...]:
        """Of Google and of the gateway."""
        return (*self.calls, *self.gateway_calls)

    @property
    def mended_at(self) -> datetime:
        """The failure's end; the scene's where it stays."""
        return self.failed_at + timedelta(seconds=self.scene.lasts) if self.scene.mends else self.ended_at

    @property
    def delivered(self) -> list[EndedRequest]:
        return [request for request in self.requests if request.status == "succeeded"]

    def statuses(self) -> Counter[str]:
        return Counter(request.status for request in self.requests)

    def primary(self, since: datetime | None = None, until: datetime | None = None) -> list[RecordedCall]:
        """Calls of the primary model that arrived then, at the provider where it fails."""
        return [
            call
            for call in (self.gateway_calls if self.scene.gateway else self.calls)
            if call.model == PRIMARY
            and (since is None or call.received_at >= since)
            and (until is None or call.received_at < until)
        ]

    def failing(self) -> list[RecordedCall]:
        """Primary calls that met the failure: what arrived while it lasted."""
        return self.primary(self.failed_at, self.mended_at)

    def failed(self) -> list[RecordedCall]:
        """Those of them that brought no image."""
        return [call for call in self.failing() if not was_used(call)]

    def of(self, request_id: str) -> list[RecordedCall]:
        return [call for call in self.all_calls if call.marker == request_id]

    @property
    def wasted_micros(self) -> int:
        """What the provider charged beyond one image for each request that has one."""
        useful = 0
        for ended_request in self.delivered:
            images = [call.cost_micros for call in self.of(ended_request.request_id) if was_used(call)]
            useful += images[-1] if images else 0
        return self.charged_micros - useful

    @property
    def charged_micros(self) -> int:
        """By all providers."""
        return sum(call.cost_micros for call in self.all_calls)

    @property
    def paid_images(self) -> int:
        return sum(call.charged and call.usage.image_out > 0 for call in self.all_calls)

    def mean_seconds(self) -> float | None:
        """From sending to the image, of what was delivered."""
        taken = [ended_request.seconds for ended_request in self.delivered if ended_request.seconds is not None]
        return fmean(taken) if taken else None

    def worst_seconds(self) -> float | None:
        return max(
            (ended_request.seconds for ended_request in self.delivered if ended_request.seconds is not None),
            default=None,
        )

    def events_of(self, message: str, **fields: Any) -> list[Mapping[str, Any]]:
        """The worker's events of this name with these fields."""
        return [
            event
            for event in self.events
            if event["message"] == message and all(event.get(name) == value for name, value in fields.items())
        ]

    def tripped_at(self) -> datetime | None:
        """When the primary's breaker tripped first."""
        trips = self.breaker("trip")
        return trips[0] if trips else None

    def breaker(self, action: str) -> list[datetime]:
        """When the primary's breaker did this."""
        changes = self.events_of("flag_changed", actor="breaker", action=action)
        return [datetime.fromisoformat(event["time"]) for event in changes if f"model={PRIMARY} " in event["scope"]]

    def back_after(self) -> float | None:
        """Seconds from the failure's end to the first image of the primary model; None where none came."""
        for call in self.primary(self.mended_at):
            if was_used(call):
                return (call.received_at - self.mended_at).total_seconds()
        return None

    def problems(self) -> list[str]:
        return [problem for hold in self.scene.holds if (problem := hold.check(self)) is not None]


def was_used(call: RecordedCall) -> bool:
    """It ended with an image, perhaps another than ordered."""
    made = call.outcome == IMAGE or call.outcome in FLAGGED_AS
    return call.charged and made and not call.client_disconnected
