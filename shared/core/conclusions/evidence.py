"""What one process has observed for or against a conclusion, and the sum over all processes. Pure.

Times are the seconds in which calls *began*: an answer describes how things were then, however long it took. A request
counts once, at the second of its first failure: its repeated failures prove nothing more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.values.codec import Stored

MOST_VOICES = 8
CALLS_KEPT = timedelta(seconds=90)
VOICES_KEPT = timedelta(minutes=30)
NEVER = -1


class Voice(Struct, frozen=True, array_like=True):
    """One request that failed. Stored as a list."""

    at: int
    """Second since the epoch."""
    tenant: str
    """A short hash."""
    explicit: bool
    """The provider named the shared thing itself."""


class Heard(Stored, frozen=True):
    """Of one conclusion."""

    voices: Mapping[str, Voice] = field(default_factory=dict)
    """By a short hash of the request's id; the newest MOST_VOICES."""
    calls: Mapping[int, int] = field(default_factory=dict)
    """Failed calls by second, including repetitions by the same request."""
    requests: Mapping[int, int] = field(default_factory=dict)
    """Requests by the second of the first call that failed them."""
    success: int = NEVER
    """The second in which the last successful call began."""
    vain: int = NEVER
    """The second in which the last inconclusive probe began."""

    def with_failure(self, request: str, voice: Voice, now: datetime, *, again: bool = False) -> Heard:
        """`request` as `short()` makes it; `again`: this process has already counted it."""
        is_counted = request in self.voices
        requests = self.requests if again or is_counted else _counted(self.requests, voice.at, now)
        voices = self.voices if again and not is_counted else merged(self.voices, {request: voice}, now)
        return replace(self, voices=voices, calls=_counted(self.calls, voice.at, now), requests=requests)

    def with_success(self, began_at: datetime) -> Heard:
        return replace(self, success=max(self.success, int(began_at.timestamp())))

    def with_vain_probe(self, began_at: datetime) -> Heard:
        return replace(self, vain=max(self.vain, int(began_at.timestamp())))

    @property
    def is_open(self) -> bool:
        """There is evidence that no success contradicts."""
        return any(item.at > self.success for item in self.voices.values())


NOTHING_HEARD = Heard()


def short(name: str) -> str:
    """A hash that distinguishes requests or tenants and reveals nothing about them."""
    return hashlib.sha256(name.encode()).hexdigest()[:10]


def merged(one: Mapping[str, Voice], other: Mapping[str, Voice], now: datetime) -> dict[str, Voice]:
    """All requests that failed, each at its first failure; plain if any of its failures was."""
    return _newest(_joined(one, other), now)


def _joined(one: Mapping[str, Voice], other: Mapping[str, Voice]) -> dict[str, Voice]:
    joined = dict(one)
    for request, voice in other.items():
        before = joined.get(request)
        if before is not None:
            at, explicit = min(before.at, voice.at), before.explicit or voice.explicit
            voice = Voice(at, voice.tenant, explicit)
        joined[request] = voice
    return joined


def _newest(voices: Mapping[str, Voice], now: datetime) -> dict[str, Voice]:
    oldest = (now - VOICES_KEPT).timestamp()
    newest = sorted((voice.at, request) for request, voice in voices.items() if voice.at >= oldest)[-MOST_VOICES:]
    return {request: voices[request] for _, request in newest}


def summed(reports: Iterable[Heard], now: datetime) -> Heard:
    """The sum does not depend on the order: requests beyond the limit are cut at the end, when the first failure of
    each is known."""
    voices: dict[str, Voice] = {}
    calls: dict[int, int] = {}
    requests: dict[int, int] = {}
    success = vain = NEVER
    for report in reports:
        voices = _joined(voices, report.voices)
        for total, counts in ((calls, report.calls), (requests, report.requests)):
            for second, count in counts.items():
                total[second] = total.get(second, 0) + count
        success, vain = max(success, report.success), max(vain, report.vain)
    return Heard(_newest(voices, now), calls, requests, success, vain)


def _counted(counts: Mapping[int, int], second: int, now: datetime) -> dict[int, int]:
    oldest = int((now - CALLS_KEPT).timestamp())
    kept = {number: count for number, count in counts.items() if number >= oldest}
    kept[second] = kept.get(second, 0) + 1
    return kept
