"""The server in virtual time: accepts or rejects a call at the instant of its arrival, and answers later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random

from msgspec import Struct

from scripts.simulator.provider.quota_windows import NEVER, Dimension, ModelQuota, QuotaRejection, WindowMoment
from scripts.virtual_time.engine import Engine
from scripts.virtual_time.models.latency import BoundedLatency
from scripts.virtual_time.models.provider_limits import OVERLOAD_DEPTH, SHARED_DEPTH, Narrow, ProviderTerms, Throttle
from scripts.virtual_time.models.provider_reply import (
    IMAGE,
    OVERLOADED,
    UNEXPLAINED,
    Answer,
    DayFull,
    ImageReply,
    MinuteFull,
    Overloaded,
    Rejection,
    Unexplained,
)
from scripts.virtual_time.request import PublishedRequest
from shared.core.limits.quota import Limits

REJECTED_AFTER = (0.15, 0.25)
"""Seconds to a 429."""
OVERLOADED_AFTER = (0.3, 2.0)
"""Seconds to a 503."""
DAY_RETRY_DELAY = 0.856
"""Seconds that one real body named beside a daily quota."""
QUOTA_IDS: Mapping[Dimension, str] = {
    "rpm": "GenerateRequestsPerMinutePerProjectPerModel",
    "ipm": "GenerateImagesPerMinutePerProjectPerModel",
    "tpm": "GenerateContentInputTokensPerModelPerMinute",
    "rpd": "GenerateRequestsPerDayPerProjectPerModel",
}
"""Limits that a 429 names; other dimensions are rejected without details, as the simulator does."""


class ModelledCall(Struct, frozen=True):
    """One call as the provider saw it arrive."""

    at: float
    request_id: str
    model: str
    answer: Answer


class Provider:
    """One project; `calls` grows in the order of arrival."""

    def __init__(self, engine: Engine, terms: Mapping[str, ProviderTerms], chance: Random) -> None:
        self.calls: list[ModelledCall] = []
        self._engine = engine
        self._chance = chance
        self._models = {model: _Model(provider_terms) for model, provider_terms in terms.items()}

    def limits(self, model: str) -> Limits:
        """As they can be read at this instant."""
        return self._models[model].terms.limits_at(self._engine.now)

    def call(self, arrival: PublishedRequest, then: Callable[[Answer], None]) -> Answer:
        """Judges the call now and hands the answer to `then` when it arrives; returns it for the record."""
        model = self._models[arrival.model]
        answer = model.judge(WindowMoment(self._engine.wall(), self._engine.now), arrival.tokens)
        self.calls.append(ModelledCall(self._engine.now, arrival.request_id, arrival.model, answer))
        self._engine.after(
            self._seconds(arrival.latency or model.terms.latency, answer), partial(self._end, model, answer, then)
        )
        return answer

    def _seconds(self, latency: BoundedLatency, answer: Answer) -> float:
        match answer:
            case ImageReply():
                return latency.draw(self._chance)
            case MinuteFull() | DayFull() | Unexplained():
                return self._chance.uniform(*REJECTED_AFTER)
            case Overloaded():
                return self._chance.uniform(*OVERLOADED_AFTER)

    def _end(self, model: _Model, answer: Answer, then: Callable[[Answer], None]) -> None:
        if isinstance(answer, ImageReply | Overloaded):
            model.leave(WindowMoment(self._engine.wall(), self._engine.now))
        then(answer)


class _Model:
    """One model's windows."""

    def __init__(self, terms: ProviderTerms) -> None:
        self.terms = terms
        self._quota = ModelQuota(terms.window)
        self._shared = Throttle(SHARED_DEPTH)
        self._overload = Throttle(OVERLOAD_DEPTH)

    def judge(self, moment: WindowMoment, tokens: int) -> Answer:
        if not _passes(self._shared, self.terms.shared, moment.seconds):
            return UNEXPLAINED
        limits = self.terms.limits_at(moment.seconds)
        admitted = self._quota.admit(limits, moment, images=1, input_tokens=tokens)
        if isinstance(admitted, QuotaRejection):
            return _rejection(admitted)
        return IMAGE if _passes(self._overload, self.terms.overloads, moment.seconds) else OVERLOADED

    def leave(self, moment: WindowMoment) -> None:
        self._quota.leave(moment, spent_micros=0)


def _passes(throttle: Throttle, spans: Sequence[Narrow], now: float) -> bool:
    return all(throttle.passes(now, span.per_minute) for span in spans if span.begins <= now < span.ends)


def _rejection(rejected: QuotaRejection) -> Rejection:
    named = [violation for violation in rejected.violations if violation.dimension in QUOTA_IDS]
    for violation in named:
        if violation.dimension == "rpd":
            return DayFull(QUOTA_IDS["rpd"], violation.limit, DAY_RETRY_DELAY)
    if not named:
        return UNEXPLAINED
    longest = max(named, key=lambda violation: violation.wait)
    wait = None if longest.wait == NEVER else longest.wait
    return MinuteFull(QUOTA_IDS[longest.dimension], longest.limit, wait)
