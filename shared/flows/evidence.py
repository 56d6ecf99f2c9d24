"""What a worker saw of the provider's limits, in a document of its own: the pump sums, no worker writes a calendar."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from shared.core import signals
from shared.core.calendar import next_pacific_midnight
from shared.core.documents import Increment
from shared.core.failure import Failure, FailureKind
from shared.ports import Ports

SPACING = timedelta(seconds=2)
"""At most one write in this time from one process."""
LONGEST_MINUTE_CLOSING = timedelta(seconds=60)
UNEXPLAINED_CLOSING = timedelta(seconds=1)
KEEP_FOR = timedelta(days=2)
"""A report says nothing after the longest closing, which is a day."""
NO_BALANCE_CLOSING = timedelta(minutes=5)


def closing(failure: Failure, now: datetime) -> datetime | None:
    """Until when this failure closes its model's calendar; None where it says nothing about a limit."""
    match failure.kind:
        case FailureKind.QUOTA_DAY:
            return next_pacific_midnight(now)
        case FailureKind.QUOTA_MINUTE:
            return now + min(failure.retry_after or UNEXPLAINED_CLOSING, LONGEST_MINUTE_CLOSING)
        case FailureKind.QUOTA_SPEND | FailureKind.QUOTA_UNKNOWN:
            return now + UNEXPLAINED_CLOSING
        case FailureKind.BALANCE:
            return now + NO_BALANCE_CLOSING
        case _:
            return None


def _requests_a_minute(failure: Failure) -> int | None:
    """The limit that a 429 names, where it is one of requests (others count tokens or images)."""
    return failure.quota_value if "Request" in (failure.quota_id or "") else None


class Evidence:
    """One per process."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._closed: dict[str, dict[str, Any]] = {}
        self._written_at = float("-inf")
        self._unwritten = False
        self._writing = asyncio.Lock()

    async def note(self, model: str, failure: Failure) -> None:
        """Report a failure that says something about `model`'s limits; returns when it is on record."""
        until = closing(failure, self._ports.clock.now())
        if until is None:
            return
        self._closed[model] = {"until": until, "why": failure.kind.value, "quota_value": _requests_a_minute(failure)}
        if failure.kind is FailureKind.BALANCE:
            what = f"{model}: no balance, no billing or a limit of 0"
            self._ports.signals.emit(signals.ESCALATION, what=what, request_id=None, runbook="no-balance")
        self._unwritten = True
        async with self._writing:
            if not self._unwritten:
                return  # whoever wrote meanwhile took ours along
            since = self._ports.clock.monotonic() - self._written_at
            if since < SPACING.total_seconds():
                await self._ports.clock.sleep(SPACING.total_seconds() - since)
            self._unwritten = False
            self._written_at = self._ports.clock.monotonic()
            now = self._ports.clock.now()
            await self._ports.store.commit(
                Increment(
                    f"evidence/{self._ports.boot}",
                    {"reports": 1},
                    also={"updated_at": now, "closed": dict(self._closed), "expire_at": now + KEEP_FOR},
                )
            )
