"""What a worker observed of the provider's limits and for or against conclusions, in a document of its own.

The pump adds up and concludes; no worker writes a calendar. A picture is reported only if it contradicts something:
this process's own failures, or a conclusion or breaker of the pump. So a render writes nothing while all is well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.admission.slot_calendar import bucket_of
from shared.core.conclusions.claims import claim_id, contradicted_by
from shared.core.conclusions.conclusion import NO_CASE, Conclusions
from shared.core.conclusions.evidence import NOTHING_HEARD, Heard, Voice, short
from shared.core.conclusions.worker_report import WorkerReport
from shared.core.limits.failure_evidence import closing, named_limit, sign
from shared.core.limits.observations import NOTHING_SEEN, ModelObservations, NamedLimit, StartSignal
from shared.core.provider.circuit_health import ALL_WELL, Health
from shared.core.provider.failure import Failure
from shared.core.records.pump import PumpRecord
from shared.core.routing.breaker import RUN, RUN_LEAST
from shared.core.times.leases import CLOCK_TOLERANCE
from shared.core.values.documents import Increment
from shared.core.values.route import Route
from shared.flows.clock import Reads, ServerTime
from shared.flows.lead_time import ClaimTimes
from shared.flows.pump_status import PumpView
from shared.flows.render.gathering import Gathering
from shared.ports import Ports
from shared.ports.clock import wait_for
from shared.ports.store import StoreUnavailable

SPACING = timedelta(seconds=2)
"""At most one write per this time from one process."""
SPARE, SPARE_SPACING = 5, timedelta(seconds=0.25)
"""Writes before that time that failures and probes can save up: one is added in each SPACING."""
NEWS_EVERY = timedelta(seconds=5)
NO_WAIT = 0.001
"""Seconds: a smaller rest is due to rounding."""
KEEP_FOR = timedelta(days=2)
"""A report means nothing after the failures in it are forgotten; a day more does no harm."""
MOST_REMEMBERED = 300
DRIFT_WORTH_A_WRITE = 2_000
"""Input tokens by which estimates were wrong."""


class Asker(Struct, frozen=True):
    """The request whose call was answered."""

    request_id: str
    tenant: str
    probe: str | None = None
    """The circuit or the conclusion that it probes."""
    avoided: Mapping[str, str] = field(default_factory=dict)
    """The failures it met on circuits that it left, by circuit."""

    def is_witness(self, route: Route, failure: Failure) -> bool:
        """A request that failed the same way on another route carries that along: its failure here says nothing about
        the route. Failures of the route itself do count: a whole provider may be down, and a request that moves from
        route to route must not be overlooked."""
        elsewhere = {kind for circuit, kind in self.avoided.items() if circuit != route.circuit}
        return failure.rule.sick_route or failure.kind.value not in elsewhere


class Evidence:
    """One per process."""

    def __init__(self, ports: Ports, view: PumpView | None = None) -> None:
        self.claims = ClaimTimes(ports.clock)
        self.reads = Reads(ports.clock)
        self.gathering = Gathering()
        self._ports = ports
        self._observations: dict[str, ModelObservations] = {}
        self._view = view or PumpView(ports)
        self._health: dict[str, Health] = {}
        """By circuit."""
        self._heard: dict[str, Heard] = {}
        """By conclusion."""
        self._voices: dict[str, dict[str, None]] = {}
        """Requests that have failed, by conclusion, the newest last."""
        self._drift: dict[str, int] = {}
        """Not reported yet, by model."""
        self._written_at = float("-inf")
        self._reported_at = _NEVER
        self._reports = self._taken_along = 0
        """Counts reports: all so far, and those contained in the last write."""
        self._writing = asyncio.Lock()
        self._hurry = asyncio.Event()
        self._store = 0.0
        """Writes saved up after the last one; see SPARE."""
        self._news_at = float("-inf")
        self._has_news = False

    async def failed(self, route: Route, failure: Failure, slot_at: datetime, time: ServerTime, asker: Asker) -> None:
        """Report a failure that says something about a limit, a route's health or a conclusion; returns when it is
        recorded.

        A limit's signal counts at the slot of its start, where the calendar counts the start itself.
        """
        now, request = time.now(), short(asker.request_id)
        model, before = route.pool, self._health.get(route.circuit, ALL_WELL)
        is_probe, is_witness = asker.probe == route.circuit, asker.is_witness(route, failure)
        health = before.with_failure(failure, now, request, is_probe=is_probe) if is_witness or is_probe else before
        observed, sort, closes, named = self._of(model), sign(failure), closing(failure, now), named_limit(failure)
        claim = claim_id(failure.kind, route)
        claim = claim if is_witness or claim == asker.probe else None
        spoken = self._speak_against(await self._open_among(contradicted_by(route, failure.kind)), slot_at)
        vain = asker.probe if _says_nothing(asker.probe, claim, route) else None
        if sort is None and closes is None and health is before and claim is None and vain is None and not spoken:
            return
        self._health[route.circuit] = health
        if sort is not None:
            observed = observed.with_sign(sort, slot_at, now)
        if closes is not None:
            observed = observed.with_closing(closes, now)
        if named is not None:
            observed = replace(observed, named={**observed.named, named[0]: NamedLimit(named[1], now)})
        if claim is not None:
            voice = Voice(int(slot_at.timestamp()), short(asker.tenant), failure.explicit)
            again = request in (spoken_for := self._voices.setdefault(claim, {}))
            spoken_for[request] = None
            while len(spoken_for) > MOST_REMEMBERED:
                del spoken_for[next(iter(spoken_for))]
            self._heard[claim] = self._heard.get(claim, NOTHING_HEARD).with_failure(request, voice, now, again=again)
        if vain is not None and not spoken:
            self._heard[vain] = self._heard.get(vain, NOTHING_HEARD).with_vain_probe(slot_at)
        self._observations[model] = observed
        if health is not before:
            self._is_news(is_probe or _may_trip(health, now))
        await self._report(time, urgent=health is not before)

    def take_news(self) -> bool:
        """Whether the pump should look early at what this process reported. False when called again."""
        has_news, self._has_news = self._has_news, False
        return has_news

    def _is_news(self, is_news: bool) -> None:
        now = self._ports.clock.monotonic()
        if is_news and now - self._news_at >= NEWS_EVERY.total_seconds():
            self._news_at, self._has_news = now, True

    async def made(self, route: Route, slot_at: datetime, time: ServerTime) -> None:
        """Report that a route brought a picture, if that contradicts something open.

        Beside failures it is counted too, and reported together with the next failure.
        """
        health = self._health.get(route.circuit, ALL_WELL)
        if (after := health.with_picture(time.now(), slot_at)) is not health:
            self._health[route.circuit] = after
        if self._speak_against(await self._open_among(contradicted_by(route)), slot_at):
            await self._report(time)

    def _speak_against(self, conclusions: Collection[str], slot_at: datetime) -> bool:
        for conclusion in conclusions:
            self._heard[conclusion] = self._heard.get(conclusion, NOTHING_HEARD).with_success(slot_at)
        return bool(conclusions)

    async def _open_among(self, conclusions: Collection[str]) -> list[str]:
        """Those that this process or the pump has open."""
        if not conclusions:
            return []
        published = await self._published()
        return [
            conclusion
            for conclusion in conclusions
            if (heard := self._heard.get(conclusion, NOTHING_HEARD)).is_open
            or _is_open(published, conclusion, heard.success)
        ]

    async def _published(self) -> Conclusions:
        """What the pump has open, at most a second old: its document is read after each render anyway."""
        try:
            pump = await self._view.document()
        except StoreUnavailable:
            return Conclusions()
        return Conclusions.from_json(PumpRecord.of(pump).routing.get("conclusions", {}))

    async def is_requests_own(self, route: Route, failure: Failure, met_before: Mapping[str, datetime]) -> bool:
        """Others were served there after this request first failed, and nothing is concluded: it is about the request.

        `met_before`: when a call of this request first failed this way, by conclusion.
        """
        claim = claim_id(failure.kind, route)
        if claim is None or claim not in met_before or not failure.rule.denied:
            return False
        case = (await self._published()).cases.get(claim, NO_CASE)
        success = max(case.success, self._heard.get(claim, NOTHING_HEARD).success)
        return case.conclusion is None and success >= int(met_before[claim].timestamp())

    async def late(self, model: str, sort: StartSignal, slot_at: datetime, time: ServerTime) -> None:
        """Report a release that became no call in time, or only just."""
        self._observations[model] = self._of(model).with_sign(sort, slot_at, time.now())
        await self._report(time)

    async def probed(self, route: Route, time: ServerTime) -> None:
        """Report that a call through an open breaker succeeded."""
        self._health[route.circuit] = self._health.get(route.circuit, ALL_WELL).with_probe(time.now())
        self._has_news = True
        await self._report(time, urgent=True)

    async def answered(self, model: str, slot_at: datetime, drift: int, time: ServerTime) -> None:
        """Note how many more input tokens an answer used than estimated; reported when it adds up."""
        self._observations[model] = self._of(model).with_drift(bucket_of(slot_at), drift)
        self._drift[model] = self._drift.get(model, 0) + drift
        if abs(self._drift[model]) >= DRIFT_WORTH_A_WRITE:
            await self._report(time)

    @property
    def _in_store(self) -> float:
        since = self._ports.clock.monotonic() - self._written_at
        return min(self._store + since / SPACING.total_seconds(), 1.0 + SPARE)

    async def _rest(self) -> None:
        """Returns SPACING after the last write, or earlier if a report is urgent and a write is saved up."""
        clock, spacing = self._ports.clock, SPACING.total_seconds()
        while (left := spacing - (clock.monotonic() - self._written_at)) > NO_WAIT:
            if self._hurry.is_set():
                soonest = max(left - spacing + SPARE_SPACING.total_seconds(), (1 - self._in_store) * spacing)
                if soonest <= NO_WAIT:
                    return
                await clock.sleep(min(left, soonest))
                continue
            await wait_for(clock, left, self._hurry)

    def _of(self, model: str) -> ModelObservations:
        return self._observations.get(model, NOTHING_SEEN)

    async def _report(self, time: ServerTime, *, urgent: bool = False) -> None:
        self._reports += 1
        ours = self._reports
        if urgent:
            self._hurry.set()
        async with self._writing:
            if ours <= self._taken_along:
                return  # a commit meanwhile took ours along
            await self._rest()
            self._taken_along = self._reports
            self._hurry.clear()
            self._store = self._in_store - 1
            self._written_at = self._ports.clock.monotonic()
            now = time.now()
            if self._reported_at - now > CLOCK_TOLERANCE:  # observed by a clock that was set back since
                self._observations, self._health, self._heard = {}, {}, {}
            self._reported_at = now
            self._drift = {}
            report = WorkerReport(now, now + KEEP_FOR, self._observations, self._health, self._heard)
            path = f"evidence/{self._ports.boot}"
            await self._ports.store.commit(Increment(path, {"reports": 1}, also=report.to_json()))


_NEVER = datetime.min.replace(tzinfo=UTC)


def _is_open(published: Conclusions, conclusion: str, reported: int) -> bool:
    """The pump has something open here that our reports do not contradict."""
    case = published.cases.get(conclusion)
    if case is None:
        return False
    return any(item.at > max(reported, case.success) for item in case.voices.values()) or case.conclusion is not None


def _may_trip(health: Health, now: datetime) -> bool:
    """So many requests of this process alone failed that a breaker may trip."""
    since = (now - RUN).timestamp()
    return sum(second >= since for second in health.requests.values()) >= RUN_LEAST


def _says_nothing(probe: str | None, claim: str | None, route: Route) -> bool:
    """A probe for a conclusion ended in a failure of another kind."""
    return probe is not None and probe not in (claim, route.circuit)
