"""Whether a list of starts keeps the limits, found by looking at every minute and every day there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.core.admission.slot_calendar import Weight
from shared.core.limits.quota import Limits
from shared.core.times.pacific import pacific_day

MINUTE = timedelta(minutes=1)


def keeps(starts: Sequence[tuple[datetime, Weight]], limits: Limits) -> bool:
    """Every minute of any alignment, and every Pacific day. The fullest minutes begin at a start."""
    days: Counter[object] = Counter()
    for at, weight in starts:
        days[pacific_day(at)] += weight.requests
    if limits.rpd is not None and any(count > limits.rpd for count in days.values()):
        return False
    for begins, _ in starts:
        inside = [weight for at, weight in starts if begins <= at <= begins + MINUTE]
        for limit, used in (
            (limits.rpm, sum(weight.requests for weight in inside)),
            (limits.ipm, sum(weight.images for weight in inside)),
            (limits.tpm, sum(weight.tokens for weight in inside)),
        ):
            if limit is not None and used > limit:
                return False
    return True
