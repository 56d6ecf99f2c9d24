"""When requests would begin if rates and the day's quota were all that counts: what no worker can beat."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.core.limits.quota import Limits
from shared.core.times.pacific import next_pacific_midnight, pacific_day

MINUTE = 60.0


def last_start(arrivals: Iterable[tuple[float, int]], limits: Limits, start: datetime) -> float:
    """Seconds after `start` at which the last one begins. `arrivals`: seconds and input tokens, by time."""
    rates = [number for number in (limits.rpm, limits.ipm) if number is not None]
    most = min(rates, default=None)
    window: deque[tuple[float, int]] = deque()
    used = 0
    """Tokens in the window."""
    day, today = pacific_day(start), 0
    at = 0.0
    for published, tokens in arrivals:
        tokens = tokens if limits.tpm is None else min(tokens, limits.tpm)
        at = max(at, published)
        while True:
            while window and window[0][0] + MINUTE <= at:
                used -= window.popleft()[1]
            over = (most is not None and len(window) >= most) or (limits.tpm is not None and used + tokens > limits.tpm)
            if not over:
                break
            at = window[0][0] + MINUTE
        if (now := pacific_day(start + timedelta(seconds=at))) != day:
            day, today = now, 0
        if limits.rpd is not None and today >= limits.rpd:
            at = (next_pacific_midnight(start + timedelta(seconds=at)) - start).total_seconds()
            day, today = pacific_day(start + timedelta(seconds=at)), 0
            window.clear()
            used = 0
        today += 1
        window.append((at, tokens))
        used += tokens
    return at
