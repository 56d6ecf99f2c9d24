"""What a plan says of one alternative, as figures. Durations in seconds, money in micro-dollars."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

from scripts.planner import lower_bound
from scripts.planner.alternatives import Alternative, Name
from scripts.planner.forecast import AT_ONCE_EACH, Forecast, ForecastBasis
from scripts.planner.limits import RATES, numbers
from scripts.planner.load import Wanted
from scripts.virtual_time.measures import quantile
from scripts.virtual_time.request import ModelledRequest
from shared.core.admission.fleet_pace import USED_SHARE, most_running
from shared.core.admission.slot_calendar import BlockReason
from shared.core.catalogue.catalogue import Catalogue
from shared.core.lifecycle.retry import MAX_AMBIGUOUS_REPEATS
from shared.core.limits.quota import Limits
from shared.core.messages.render_request import PRIORITIES
from shared.core.times.pacific import pacific_day
from shared.core.values.lanes import BATCH, FLEX

SHARES = (0.5, 0.9, 0.99)
NEARLY = 0.98
LEAST_WAITED = 1.0
"""Seconds: less is the pump's own rhythm."""
PROCESS_BYTES = 160_000_000
"""Of one instance without images: assumed; the worker of the throughput bench peaks at 172 MB with small ones."""
IMAGE_BYTES: Mapping[str, int] = {"512": 600_000, "1K": 2_000_000, "2K": 7_000_000, "4K": 24_000_000}
"""Of one image as PNG, by size: assumed, about two bytes a pixel."""
COPIES = 2.4
"""Of an image in memory while it is stored: as base64 in the answer, and decoded."""


class ModelFigures(Struct, frozen=True):
    requests: int
    binds: str
    """The limit that the best of its queue waited for the longest; empty where nothing ever waited."""
    bound_share: float
    """Of the time until all had begun."""
    idle_share: float | None
    """Of what the rates and the day's quota allowed until all had begun; None where no such limit is known."""
    begun: float
    """When its last request began."""
    by_day: Mapping[str, int]
    """Starts by Pacific day."""


class QueueForecast(Struct, frozen=True):
    """Of what goes through the queue."""

    begun: float
    """When the last request began."""
    ideal: float
    """The same, if rates and the day's quota were all that counts."""
    finished: float
    """When the last image was there."""
    unrendered: int
    """Expired before they began, or not begun when the plan was broken off."""
    waits: Mapping[str, Mapping[str, float]]
    """By priority and percentile (`p50`), from publication to the start; infinite where it never began."""
    most_at_once: int
    """Attempts in flight."""
    instances: int
    memory_bytes: int
    """Of all instances at most, where every image came in at the same moment."""
    capacity_enough: int
    """A RENDERLANE_CAPACITY that is never in the way: a whole minute's starts may fall together."""
    models: Mapping[str, ModelFigures]


class PlannedCost(Struct, frozen=True):
    listed: int
    """One image each at the listed price: no prompt, no thinking."""
    estimate: int
    """One attempt each, on the safe side, as a budget would reserve it."""
    most: int
    """With every repeat of an attempt that may have been billed; no request passes its own cap."""


class PlanFigures(Struct, frozen=True):
    name: Name
    requests: int
    changed: int
    cost: PlannedCost
    batched: int
    """Requests that go by batch: a day at most is aimed at, no wait is known."""
    flexed: int
    """Requests in the flex lane: their latency is not known, nor how many are turned away."""
    course: QueueForecast | None
    """None where nothing goes through the queue, or nothing is known of how it would go."""


def figures(of: Alternative, played: Forecast | None, stage: ForecastBasis, catalogue: Catalogue) -> PlanFigures:
    lanes = Counter(wanted.route.lane for wanted in of.wanted)
    return PlanFigures(
        name=of.name,
        requests=len(of.wanted),
        changed=of.changed,
        cost=cost(of.wanted, catalogue),
        batched=lanes[BATCH],
        flexed=lanes[FLEX],
        course=None if played is None else course(played, stage),
    )


def cost(wanted: Iterable[Wanted], catalogue: Catalogue) -> PlannedCost:
    listed = estimate = most = 0
    for item in wanted:
        one = item.planned.estimate_micros
        rates = catalogue.models[item.route.model].lanes[item.route.lane]
        cap = item.ask.max_cost_micros
        estimate += one
        listed += rates.listed.get(item.route.image_size, one)
        repeated = one * (1 + MAX_AMBIGUOUS_REPEATS)
        most += repeated if cap is None else min(repeated, cap)
    return PlannedCost(listed, estimate, most)


def course(played: Forecast, stage: ForecastBasis) -> QueueForecast:
    requests, wanted = played.rehearsal.requests, played.wanted
    begun = max((request.began_at for request in requests if request.began_at is not None), default=0.0)
    most = most_at_once(requests)
    capacity = math.ceil(most / USED_SHARE)
    instances = max(1, math.ceil(capacity / AT_ONCE_EACH))
    largest = max(IMAGE_BYTES.get(item.route.image_size, IMAGE_BYTES["4K"]) for item in wanted)
    models = dict.fromkeys(item.route.model for item in wanted)
    return QueueForecast(
        begun=begun,
        ideal=max(_ideal(model, wanted, stage) for model in models),
        finished=max(
            (request.ended_at for request in requests if request.accepted and request.ended_at is not None), default=0.0
        ),
        unrendered=sum(request.status != "succeeded" for request in requests),
        waits={priority: waits for priority in PRIORITIES if (waits := _waits(requests, priority))},
        most_at_once=most,
        instances=instances,
        memory_bytes=instances * PROCESS_BYTES + int(most * largest * COPIES),
        capacity_enough=math.ceil(sum(_together(model, wanted, stage) for model in models) / USED_SHARE),
        models={model: _model(model, played, stage) for model in models},
    )


def _together(model: str, wanted: Sequence[Wanted], stage: ForecastBasis) -> float:
    """How many of a model may be in flight by its limits alone, where no call takes longer than a minute."""
    tokens = [item.planned.input_tokens for item in wanted if item.route.model == model]
    limits = numbers(stage.limits.get(model, {}))
    rate = tightest(limits, sum(tokens) / len(tokens))
    return min(
        len(tokens),
        math.inf if rate is None else rate[1],
        math.inf if limits.concurrency is None else limits.concurrency,
    )


def most_at_once(requests: Iterable[ModelledRequest]) -> int:
    begun = [request for request in requests if request.began_at is not None]
    steps = sorted(
        [(request.began_at or 0.0, 1) for request in begun] + [(request.ended_at or math.inf, -1) for request in begun]
    )
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def _waits(requests: Sequence[ModelledRequest], priority: str) -> Mapping[str, float]:
    waits = [
        math.inf if request.wait is None else max(request.wait, 0.0)
        for request in requests
        if request.arrival.priority == priority
    ]
    return {f"p{share * 100:.0f}": quantile(waits, share) for share in SHARES} if waits else {}


def _ideal(model: str, wanted: Sequence[Wanted], stage: ForecastBasis) -> float:
    arrivals = [(item.at, item.planned.input_tokens) for item in wanted if item.route.model == model]
    return lower_bound.last_start(arrivals, numbers(stage.limits.get(model, {})), stage.start)


def _model(model: str, played: Forecast, stage: ForecastBasis) -> ModelFigures:
    limits = numbers(stage.limits.get(model, {}))
    requests = [request for request in played.rehearsal.requests if request.arrival.model == model]
    starts = sorted(request.began_at for request in requests if request.began_at is not None)
    tokens = sum(request.arrival.tokens for request in requests) / len(requests)
    begins = min(request.arrival.at for request in requests)
    lasts = (starts[-1] if starts else played.rehearsal.ended_at) - begins
    full = most_at_once(played.rehearsal.requests) >= NEARLY * most_running(stage.capacity)
    reason, lasted = _longest(model, played, limits, tokens, "capacity" if full else "deliveries")
    by_day = Counter(pacific_day(stage.start + timedelta(seconds=at)).isoformat() for at in starts)
    return ModelFigures(
        requests=len(requests),
        binds=reason,
        bound_share=min(lasted / lasts, 1.0) if lasts > 0 else 0.0,
        idle_share=_idle(len(starts), lasts, len(by_day), limits, tokens),
        begun=starts[-1] if starts else 0.0,
        by_day=dict(by_day),
    )


def _longest(model: str, played: Forecast, limits: Limits, tokens: float, fleet: str) -> tuple[str, float]:
    """The limit by its word, and for how many seconds the model's best waited for it."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for (of, reason), lasted in played.blocked.items():
        if of == model:
            seconds[_word(reason, limits, tokens, fleet)] += lasted
    longest = max(seconds.items(), key=lambda pair: pair[1], default=("", 0.0))
    return longest if longest[1] >= LEAST_WAITED else ("", 0.0)


def _word(reason: BlockReason, limits: Limits, tokens: float, fleet: str) -> str:
    """`fleet`: `capacity` where it was full at some moment, else `deliveries`: releases nobody had taken up yet."""
    match reason:
        case "minute" | "pace":
            rate = tightest(limits, tokens)
            return rate[0] if rate else "concurrency"
        case "concurrency":
            return "concurrency" if fleet != "capacity" and limits.concurrency is not None else fleet
        case "day":
            return "rpd"
        case "spend":
            return "spend10m_usd"
        case "closed" | "zero" | "paused" | "no route":
            return reason


def tightest(limits: Limits, tokens: float) -> tuple[str, float] | None:
    """The rate that lets the fewest begin in a minute, and how many; `tokens` is the mean of a request."""
    each_takes = {"rpm": 1.0, "ipm": 1.0, "tpm": max(tokens, 1.0)}
    allowed = {rate: value / each_takes[rate] for rate in RATES if (value := getattr(limits, rate)) is not None}
    return min(allowed.items(), key=lambda pair: pair[1]) if allowed else None


def _idle(starts: int, lasts: float, days: int, limits: Limits, tokens: float) -> float | None:
    rate = tightest(limits, tokens)
    by_rate = math.inf if rate is None else rate[1] * (lasts // 60 + 1)
    by_day = math.inf if limits.rpd is None else limits.rpd * max(days, 1)
    allowed = min(by_rate, by_day)
    return None if allowed == math.inf else max(0.0, 1 - starts / allowed)
