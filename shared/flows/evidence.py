"""What a worker saw of the provider's limits, in a document of its own: the pump sums, no worker writes a calendar."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from shared.core import signals
from shared.core.calendar import bucket_of
from shared.core.documents import Increment
from shared.core.failure import Failure, FailureKind
from shared.core.health import ALL_WELL, Health
from shared.core.report import NOTHING_SEEN, Named, Seen, Sign
from shared.core.rewind import FELL
from shared.core.route import Route
from shared.core.testimony import closing, named_limit, sign
from shared.flows.claim_times import ClaimTimes
from shared.flows.gather import Gathering
from shared.flows.server_time import Reads, ServerTime
from shared.ports import Ports

SPACING = timedelta(seconds=2)
"""At most one write in this time from one process."""
KEEP_FOR = timedelta(days=2)
"""A report says nothing after the longest closing, which is a day."""
ESCALATED = {
    FailureKind.BALANCE: ("no balance, no billing or a limit of 0", "no-balance"),
    FailureKind.CREDENTIAL: ("the key is rejected", "credential"),
    FailureKind.PERMISSION: ("the project may not make this call", "permission"),
}
"""What somebody has to mend, with its heading in the runbook."""
DRIFT_WORTH_A_WRITE = 2_000
"""Input tokens that estimates were wrong by."""


class Evidence:
    """One per process."""

    def __init__(self, ports: Ports) -> None:
        self.claims = ClaimTimes(ports.clock)
        self.reads = Reads(ports.clock)
        self.gathering = Gathering()
        self._ports = ports
        self._seen: dict[str, Seen] = {}
        self._health: dict[str, Health] = {}
        """By circuit."""
        self._drift: dict[str, int] = {}
        """Not reported yet, by model."""
        self._written_at = float("-inf")
        self._reported_at = _NEVER
        self._unwritten = False
        self._writing = asyncio.Lock()

    async def failed(
        self, route: Route, failure: Failure, slot_at: datetime, time: ServerTime, ask_again: timedelta | None = None
    ) -> None:
        """Report a failure that says something about its model's limits or its route's health; returns when it is on
        record.

        A limit's sign counts at the slot of its start, where the calendar counts the start itself. `ask_again` as for
        `testimony.closing`.
        """
        now = time.now()
        model, before = route.pool, self._health.get(route.circuit, ALL_WELL)
        health = before.with_failure(failure, now)
        seen, sort, closes, named = (
            self._of(model),
            sign(failure),
            closing(failure, now, ask_again),
            named_limit(failure),
        )
        if sort is None and closes is None and health is before:
            return
        self._health[route.circuit] = health
        if sort is not None:
            seen = seen.with_sign(sort, slot_at, now)
        if closes is not None:
            seen = seen.with_closing(closes, now)
        if named is not None:
            seen = replace(seen, named={**seen.named, named[0]: Named(named[1], now)})
        if failure.kind in ESCALATED and not _is_closed_for(failure.kind, self._of(model), now):
            what, runbook = ESCALATED[failure.kind]
            self._ports.signals.emit(signals.ESCALATION, what=f"{model}: {what}", request_id=None, runbook=runbook)
        self._seen[model] = seen
        await self._report(time)

    async def late(self, model: str, sort: Sign, slot_at: datetime, time: ServerTime) -> None:
        """Report a release that became no call in time, or only just."""
        self._seen[model] = self._of(model).with_sign(sort, slot_at, time.now())
        await self._report(time)

    async def probed(self, route: Route, time: ServerTime) -> None:
        """Report that a call through an open breaker went well."""
        self._health[route.circuit] = self._health.get(route.circuit, ALL_WELL).with_probe(time.now())
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
            if self._reported_at - now > FELL:  # what was seen is told by a clock that was set back since
                self._seen, self._health = {}, {}
            self._reported_at = now
            self._drift = {}
            models = {model: seen.to_json() for model, seen in self._seen.items()}
            routes = {circuit: health.to_json() for circuit, health in self._health.items()}
            also = {"updated_at": now, "models": models, "routes": routes, "expire_at": now + KEEP_FOR}
            await self._ports.store.commit(Increment(f"evidence/{self._ports.boot}", {"reports": 1}, also=also))


_NEVER = datetime.min.replace(tzinfo=UTC)


def _is_closed_for(kind: FailureKind, seen: Seen, now: datetime) -> bool:
    """Somebody has been told: each closing is escalated once."""
    closes = seen.closing
    return closes is not None and closes.why == kind.value and closes.until > now
