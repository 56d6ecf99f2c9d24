"""What a worker saw of the provider's limits, in a document of its own: the pump sums, no worker writes a calendar."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from shared.core import signals
from shared.core.calendar import bucket_of
from shared.core.documents import Increment
from shared.core.failure import Failure, FailureKind
from shared.core.report import NOTHING_SEEN, Named, Seen, Sign
from shared.core.testimony import closing, named_limit, sign
from shared.flows.server_time import ServerTime
from shared.ports import Ports

SPACING = timedelta(seconds=2)
"""At most one write in this time from one process."""
KEEP_FOR = timedelta(days=2)
"""A report says nothing after the longest closing, which is a day."""
DRIFT_WORTH_A_WRITE = 2_000
"""Input tokens that estimates were wrong by."""


class Evidence:
    """One per process."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._seen: dict[str, Seen] = {}
        self._drift: dict[str, int] = {}
        """Not reported yet, by model."""
        self._written_at = float("-inf")
        self._unwritten = False
        self._writing = asyncio.Lock()

    async def failed(self, model: str, failure: Failure, slot_at: datetime, time: ServerTime) -> None:
        """Report a failure that says something about `model`'s limits; returns when it is on record.

        It counts at the slot of its start, where the calendar counts the start itself.
        """
        now = time.now()
        seen, sort, closes, named = self._of(model), sign(failure), closing(failure, now), named_limit(failure)
        if sort is None and closes is None:
            return
        if sort is not None:
            seen = seen.with_sign(sort, slot_at, now)
        if closes is not None:
            seen = seen.with_closing(closes, now)
        if named is not None:
            seen = replace(seen, named={**seen.named, named[0]: Named(named[1], now)})
        if failure.kind is FailureKind.BALANCE and not _is_closed_for_balance(self._of(model), now):
            what = f"{model}: no balance, no billing or a limit of 0"
            self._ports.signals.emit(signals.ESCALATION, what=what, request_id=None, runbook="no-balance")
        self._seen[model] = seen
        await self._report(time)

    async def late(self, model: str, sort: Sign, slot_at: datetime, time: ServerTime) -> None:
        """Report a release that became no call in time."""
        self._seen[model] = self._of(model).with_sign(sort, slot_at, time.now())
        await self._report(time)

    async def answered(self, model: str, slot_at: datetime, drift: int, time: ServerTime) -> None:
        """Note how many more input tokens an answer took than estimated; reported when it adds up."""
        self._seen[model] = self._of(model).with_drift(bucket_of(slot_at), drift)
        self._drift[model] = self._drift.get(model, 0) + drift
        if abs(self._drift[model]) >= DRIFT_WORTH_A_WRITE:
            await self._report(time)

    def _of(self, model: str) -> Seen:
        return self._seen.get(model, NOTHING_SEEN)

    async def _report(self, time: ServerTime) -> None:
        self._unwritten = True
        async with self._writing:
            if not self._unwritten:
                return  # whoever wrote meanwhile took ours along
            since = self._ports.clock.monotonic() - self._written_at
            if since < SPACING.total_seconds():
                await self._ports.clock.sleep(SPACING.total_seconds() - since)
            self._unwritten = False
            self._written_at = self._ports.clock.monotonic()
            now = time.now()
            self._drift = {}
            models = {model: seen.to_json() for model, seen in self._seen.items()}
            also = {"updated_at": now, "models": models, "expire_at": now + KEEP_FOR}
            await self._ports.store.commit(Increment(f"evidence/{self._ports.boot}", {"reports": 1}, also=also))


def _is_closed_for_balance(seen: Seen, now: datetime) -> bool:
    """Somebody has been told: each closing is escalated once."""
    closes = seen.closing
    return closes is not None and closes.why == FailureKind.BALANCE.value and closes.until > now
