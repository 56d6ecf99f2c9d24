"""One tick of the pump: see, decide in the core, write what was decided, hand out the releases."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.core import queries, record, signals, spans
from shared.core.admission import Candidate
from shared.core.board import FlagRefused
from shared.core.breaker import judge
from shared.core.calendar import Full, Weight
from shared.core.documents import Committed, Document, Update
from shared.core.fairness import queue_name
from shared.core.flag import BREAKER
from shared.core.ladder import Planned
from shared.core.outcome import EXPIRED, Outcome, cannot_begin_in_time
from shared.core.record import Head
from shared.core.request import PRIORITIES
from shared.core.routing import Routing
from shared.core.tick import LostSlot, Memory, Sight, Ticked, tick
from shared.flows import flags, traced
from shared.flows.announce import ended
from shared.flows.batch_collect import Collecting
from shared.flows.budgets import Budgets
from shared.flows.expire import expire_due_before, expire_overdue
from shared.flows.head_pages import HeadPages
from shared.flows.planning import Planner, Planning, denials, outlook
from shared.flows.pump_documents import PumpDocuments
from shared.flows.pump_sight import PumpSight
from shared.flows.release import Turn, release, take_back_unclaimed
from shared.flows.sleepers import Sleepers
from shared.ports import Ports

WORTH_WAITING = timedelta(minutes=1)
"""What opens later than this is left to the next kick of the schedule."""
SWEEP_EVERY = timedelta(seconds=5)
"""Between two looks for deadlines that passed and releases that nobody took up."""


class Granting:
    """The ticks of one lead."""

    def __init__(self, ports: Ports, documents: PumpDocuments) -> None:
        self._ports = ports
        self._documents = documents
        self._pages = HeadPages(ports)
        self._sight = PumpSight(ports)
        self._planner = Planner(ports)
        self._sleepers = Sleepers(ports, self._pages)
        self._collecting = Collecting(ports)
        self._budgets = Budgets(ports, documents, self._planner, self._sleepers)
        self._lost: list[LostSlot] = []
        self._held_back: Mapping[str, Full] = {}
        """By model, as of the last tick."""
        self._swept_at = documents.time.now() - timedelta(days=1)
        self._ticked_at = ports.clock.monotonic()
        self._stuck: frozenset[str] = frozenset()
        """Models whose requests had no route left at the last tick, breakers and all."""
        self.crowded = False
        """The last tick left requests waiting for attempts in flight to end."""

    def kicked(self, queues: Collection[str]) -> None:
        """These queues have something new; none named = any may, and the flags too."""
        self._pages.kicked(queues)
        if not queues:
            self._sight.flags_changed()

    async def tick(self) -> bool:
        """Grant what can be granted now. True while there is work that the pump should stay for.

        Calendars are written before releases are handed out: a pump that dies between wastes slots and overruns
        nothing. Raises LeadLost.
        """
        documents = self._documents
        began_at = documents.time.now()
        await self._sweep()
        await self._sleepers.wake(documents.memory.epoch, documents.time.now())
        heads = await self._pages.read(documents.time.now())
        if self._pages.read_at is not None:
            documents.time.observe(self._pages.read_at)
        await asyncio.gather(self._look(heads), self._budgets.look(heads, documents.time.now()))
        routing = await self._judge()
        planning = await self._plan(heads, routing)
        judged = await self._budgets.judge(planning.candidates, documents.time.now())
        for head in judged.stale:
            self._pages.gone([head.request_id])
            self._pages.left(head)
        for head, outcome in judged.refused:
            await self._end(head, "failed", outcome)
        leaving = self._budgets.take([each for each in judged.candidates if _goes_by_batch(each)])
        routing = self._bent(routing.batched([each.planned for each in leaving]), leaving)
        ticked = await self._decide([each for each in judged.candidates if not _goes_by_batch(each)])
        granted = [grant.candidate for grant in ticked.grants]
        self._pages.gone(each.head.request_id for each in granted)
        self._report_changes(documents.memory, ticked.memory)
        held = self._held(ticked, planning)
        accounts = self._budgets.reserve(ticked.grants)
        counted = self._counted(routing, ticked)
        await documents.write(ticked.memory, counted, held=held, waiting=self._pages.waiting, accounts=accounts)
        self._sight.granted([each.model for each in granted])
        await self._release(ticked, began_at, len(heads))
        await self._put_aside(leaving)
        await self._end_missed(ticked)
        await self._rest(ticked, heads, planning)
        return bool(leaving) or await self._expects_work(ticked, planning)

    async def _release(self, ticked: Ticked, began_at: datetime, heads: int) -> None:
        """Hand the slots out; what nobody took is kept for the next tick to give back. A tick that grants is traced."""
        ports, time, grants = self._ports, self._documents.time, ticked.grants
        if not grants:
            self._lost = []
            return
        turn = Turn(traced.begun(ports), began_at, time)
        reserved = [self._budgets.reservation(grant.candidate) for grant in grants]
        released = await asyncio.gather(
            *(release(ports, grant, turn, held) for grant, held in zip(grants, reserved, strict=True))
        )
        pairs = zip(grants, released, strict=True)
        self._budgets.handed_out([grant.candidate for grant, found in pairs if found is None])
        self._lost = [found for found in released if isinstance(found, LostSlot)]
        traced.write(
            ports, spans.TICK, turn.place, None, began_at, time.now(), heads=heads, grants=len(grants),
            holder=ports.boot,
        )  # fmt: skip

    async def _look(self, heads: Sequence[Head]) -> None:
        """At reports, flags, limits and what is in flight."""
        documents, sight = self._documents, self._sight
        known = {each.model for each in heads} | set(documents.memory.standings) | set(documents.memory.limits)
        await sight.look(
            sorted(known),
            documents.time.now(),
            crowded=self.crowded,
            air=bool(heads) or documents.memory.fleet.in_air > 0,
        )
        for model in sight.late:
            self._pages.kicked([queue_name(model, priority) for priority in PRIORITIES])

    async def _judge(self) -> Routing:
        """Trip and reset breakers, learn what providers lack, and plan under what is in force from here on."""
        documents, sight, now = self._documents, self._sight, self._documents.time.now()
        routing = documents.routing.learned(sight.health, now)
        for name in routing.lacks.keys() - documents.routing.lacks.keys():
            self._ports.signals.emit(signals.ROUTE_LACKING, what=routing.lacking[name])
        judged = judge(
            routing.circuits, sight.health, sight.board.in_force(now), sight.board.overruled, self._ports.catalogue, now
        )
        routing = replace(routing, circuits=judged.circuits)
        for flag in judged.trips:
            with contextlib.suppress(FlagRefused):
                await flags.trip(self._ports.store, self._ports.signals, flag)
        for flag in judged.resets:
            with contextlib.suppress(FlagRefused):
                await flags.reset(self._ports.store, self._ports.signals, flag.id, BREAKER, "its probes went well")
        if judged.trips or judged.resets:
            await sight.read_flags()
        in_force = sight.board.in_force(now)
        ids = tuple(sorted(f"{each.id}@{each.expires_at.isoformat()}" for each in in_force))
        if ids != routing.in_force or sight.gateways_changed:  # whoever sleeps may have a route now
            documents.memory = replace(documents.memory, epoch=documents.memory.epoch + 1)
        opens = outlook(documents.memory.standings, sight.reports, self._held_back, now)
        denied = denials(documents.memory.standings, sight.reports, now)
        self._planner.under(in_force, opens, routing, now, sight.gateways_off, denied)
        return routing.under(ids, tuple(sight.board.flags))

    async def _put_aside(self, leaving: Sequence[Candidate]) -> None:
        """What goes by batch takes no slot: it leaves its queue now. A slot that it had not used is given back."""
        batched = await self._collecting.put(leaving, self._documents.time.now(), self._budgets.reservation)
        self._pages.gone(each.head.request_id for each in leaving)
        unsure = self._collecting.unsure
        self._budgets.handed_out([each for each in batched if each.head.request_id not in unsure])
        self._lost += [
            LostSlot(f"{each.head.request_id}:{slot.release}", slot.model, slot.slot_at, Weight(tokens=slot.tokens))
            for each in batched
            if (slot := each.head.unused_slot) is not None
        ]

    async def _decide(self, candidates: Sequence[Candidate]) -> Ticked:
        documents, sight = self._documents, self._sight
        models = {each.model for each in candidates} | {
            each.head.unused_slot.model for each in candidates if each.head.unused_slot is not None
        }
        known = models | set(documents.memory.standings) | set(documents.memory.limits)
        await documents.read_standings(known | set(sight.reports))
        return tick(
            documents.memory,
            Sight(
                now=documents.time.now(),
                candidates=candidates,
                configured=self._ports.quota,
                capacity=self._ports.capacity,
                reports=sight.reports,
                live=sight.live,
                running=sight.running,
                in_air=sight.in_air,
                drift=sight.drift(),
                lost=self._lost,
                purses=self._budgets.purses,
                since_last=self._since_last(),
            ),
        )

    def _since_last(self) -> timedelta:
        before, self._ticked_at = self._ticked_at, self._ports.clock.monotonic()
        return timedelta(seconds=min(self._ticked_at - before, 60.0))

    async def _plan(self, heads: Sequence[Head], routing: Routing) -> Planning:
        """The route of every head; one that no route can take any more ends with the reason."""
        now = self._documents.time.now()
        overdue = [head for head in heads if head.deadline is not None and head.deadline <= now]
        for head in overdue:
            await self._end(head, "expired", EXPIRED)
        planning = self._planner.plan_all(
            [head for head in heads if head not in overdue], routing, self._sight.health, now
        )
        for head, unroutable in planning.unroutable:
            problem = unroutable.problem
            code = "cost_cap" if problem.field == "max_cost_usd" else "unroutable"
            await self._end(head, "failed", Outcome(code, str(problem), problem.remedy))
        self._escalate(planning)
        return planning

    def _escalate(self, planning: Planning) -> None:
        """Once, when the last route of a queue is closed by anything but on-call's own `pause`."""
        stuck = {head.model: waits.reason for head, waits in planning.waiting if not waits.paused}
        for model in stuck.keys() - self._stuck:
            what = f"{model}: every route is out, requests wait: {stuck[model]}"
            self._ports.signals.emit(signals.ESCALATION, what=what, request_id=None, runbook="no-route")
        self._stuck = frozenset(stuck)

    def _counted(self, routing: Routing, ticked: Ticked) -> Routing:
        """With the starts, the probes and what flags changed among the grants."""
        for grant in ticked.grants:
            planned = grant.candidate.planned
            if planned.probe is not None:
                self._ports.signals.emit(
                    signals.BREAKER_PROBED, circuit=planned.probe, request_id=grant.candidate.head.request_id,
                    slot_at=grant.slot_at,
                )  # fmt: skip
        routing = self._bent(routing, [grant.candidate for grant in ticked.grants])
        return routing.granted(ticked.grants)

    def _bent(self, routing: Routing, candidates: Sequence[Candidate]) -> Routing:
        """With what the flags in shadow would have changed among these."""
        for candidate in candidates:
            for flag_id, saved in self._planner.saved_by_shadows(candidate):
                routing = routing.shadowed(flag_id, saved)
        return routing

    def _held(self, ticked: Ticked, planning: Planning) -> dict[str, Any]:
        """Why each model's queue waits, for whoever looks at it."""
        waiting = {
            head.model: {"reason": "paused" if waits.paused else "no route", "until": None, "why": waits.reason}
            for head, waits in planning.waiting
        }
        return waiting | {
            model: {
                "reason": full.reason,
                "until": full.until,
                "why": ticked.memory.standings[model].calendar.closed_why,
            }
            for model, full in ticked.held.items()
        }

    def _report_changes(self, before: Memory, after: Memory) -> None:
        """Say what closed and what was learned."""
        emit = self._ports.signals.emit
        for model, standing in after.standings.items():
            was = before.standings[model]
            closed = standing.calendar
            if closed.closed_until is not None and closed.closed_until != was.calendar.closed_until:
                emit(signals.CALENDAR_CLOSED, model=model, until=closed.closed_until, why=closed.closed_why)
            for dimension, learned in standing.learned.items():
                known = was.learned.get(dimension)
                if known is None or known.value != learned.value:
                    emit(signals.LIMIT_LEARNED, model=model, dimension=dimension, value=learned.value)
        for model, numbers in after.limits.items():
            gone = [each for each, limit in numbers.items() if limit == 0 != before.limits.get(model, {}).get(each)]
            if gone:
                what = f"{model}: a limit of 0 ({', '.join(gone)}); nothing of it starts"
                emit(signals.ESCALATION, what=what, request_id=None, runbook="no-balance")

    async def _end_missed(self, ticked: Ticked) -> None:
        """Heads whose deadline cannot be kept any more: at once, with the reason, and those behind them."""
        known = self._planner.terms.opens if self._planner.terms is not None else {}
        for candidate, full in ticked.missed:
            if candidate.model in known:  # else the next tick plans another route, where there is one
                await self._end(candidate.head, "expired", _too_late(candidate.model, full))
        new = {model: full for model, full in ticked.held.items() if model not in self._held_back}
        await self._expire_behind(new, self._documents.time.now())

    async def _rest(self, ticked: Ticked, heads: Sequence[Head], planning: Planning) -> None:
        """Sleepers in and out, after the slots are given."""
        now = self._documents.time.now()
        granted = {grant.candidate.head.request_id for grant in ticked.grants}
        woken = [head for head in heads if head.sleeps and head.request_id not in granted]
        await self._sleepers.settle(woken, now)
        await self._sleepers.put(ticked.held, ticked.memory.epoch, now)
        await self._sleepers.put_aside(planning.waiting, ticked.memory.epoch, now)
        self._held_back = ticked.held
        self.crowded = ticked.crowded

    async def _sweep(self) -> None:
        """Lost releases and passed deadlines."""
        now = self._documents.time.now()
        if now - self._swept_at < SWEEP_EVERY:
            return
        self._swept_at = now
        for head in await take_back_unclaimed(self._ports, self._documents.time):
            self._pages.left(head)
        await expire_overdue(self._ports, now)
        await self._expire_behind(self._held_back, now)

    async def _expire_behind(self, held: Mapping[str, Full], now: datetime) -> None:
        """End those behind the heads that are due before their model opens."""
        for model, full in held.items():
            if full.reason in ("closed", "day") and full.until is not None and full.until > now + WORTH_WAITING:
                stay = await expire_due_before(
                    self._ports, model, full.until, _too_late(model, full), now, unless=self._has_another_route
                )
                self._pages.ahead(stay)

    def _has_another_route(self, head: Head, model: str) -> bool:
        if self._planner.terms is None or model not in self._planner.terms.opens:
            return True  # the next tick knows
        plan = self._planner.plan(head)
        return isinstance(plan, Planned) and (plan.route.pool != model or plan.route.lane == "batch")

    async def _end(self, head: Head, status: str, outcome: Outcome) -> None:
        changes = record.finished(status, outcome, self._documents.time.now())
        self._pages.gone([head.request_id])
        committed = await self._ports.store.commit(Update(record.path(head.request_id), changes, head.version))
        if isinstance(committed, Committed):
            request = await self._ports.store.get(record.path(head.request_id))
            assert isinstance(request, Document)
            await ended(self._ports, request, was="queued")

    async def _expects_work(self, ticked: Ticked, planning: Planning) -> bool:
        """Something opens soon, is in the air, is to be probed, or a sleeper wakes before the next scheduled kick."""
        now = self._documents.time.now()
        soon = now + WORTH_WAITING
        if any(_opens(full, soon) for full in ticked.held.values()) or ticked.grants or self._lost:
            return True
        if self._sight.in_air or any(not waits.paused for _, waits in planning.waiting):
            return True
        if self._pages.waiting and not ticked.held and not planning.waiting:
            return True
        sleeping = await self._ports.store.query(queries.sleeping(now, 1))
        return bool(sleeping) and sleeping[0].data["wake_at"] < soon


def _goes_by_batch(candidate: Candidate) -> bool:
    return candidate.planned.route.lane == "batch"


def _opens(full: Full, soon: datetime) -> bool:
    return full.reason != "zero" and (full.until is None or full.until < soon)


def _too_late(model: str, full: Full) -> Outcome:
    assert full.until is not None
    return cannot_begin_in_time(model, full.reason, full.until)
