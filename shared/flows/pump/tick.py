"""One tick of the pump: see, decide in the core, write what was decided, hand out the releases."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from shared.core.admission.allocation import Candidate
from shared.core.admission.fair_queueing import queue_name
from shared.core.admission.route_memory import Routing
from shared.core.admission.slot_calendar import Blocked, Weight
from shared.core.admission.tick import LostSlot, Observation, TickResult, is_counted, tick
from shared.core.lifecycle import queries
from shared.core.lifecycle.request_record import Head
from shared.core.messages.render_request import PRIORITIES
from shared.core.observability import spans
from shared.core.provider.outcome import EXPIRED, Outcome
from shared.core.provider.outcome_code import PlainEnd
from shared.core.records.request import SleepingRow
from shared.core.values.lanes import BATCH
from shared.flows import tracing
from shared.flows.batch.collect import Collecting
from shared.flows.collect.net import Net
from shared.flows.pump import open_slots, reporting
from shared.flows.pump.breakers import Breakers
from shared.flows.pump.budgets import Budgets
from shared.flows.pump.deadlines import WORTH_WAITING, Overdue
from shared.flows.pump.dormant import Dormant
from shared.flows.pump.led_away import LedAway
from shared.flows.pump.observations import PumpSight
from shared.flows.pump.planner import Planner, Planning
from shared.flows.pump.queue_fronts import QueueFronts
from shared.flows.pump.release import Turn, release
from shared.flows.pump.state import PumpDocuments
from shared.flows.pump.ways import FOREGROUND, Ways
from shared.ports import Ports


class TickRunner:
    """The ticks of one lead."""

    def __init__(self, ports: Ports, documents: PumpDocuments) -> None:
        self._ports = ports
        self._documents = documents
        self._pages = QueueFronts(ports)
        self._sight = PumpSight(ports)
        self._planner = Planner(ports)
        self._dormant = Dormant(ports, self._pages)
        self._judging = Breakers(ports, documents, self._sight, self._planner)
        self._led_away = LedAway(ports, self._planner)
        self._overdue = Overdue(ports, documents, self._pages, self._planner)
        self._collecting = Collecting(ports)
        self._net = Net(ports)
        self._ways = Ways(ports)
        self._budgets = Budgets(ports, documents, self._planner, self._dormant)
        self._lost: list[LostSlot] = []
        self._held_back: Mapping[str, Blocked] = {}
        """By model, as of the last tick."""
        self._ticked_at = ports.clock.monotonic()
        self._stuck: frozenset[str] = frozenset()
        """Models whose requests had no route left at the last tick, breakers and all."""
        self.ticks = 0
        """That went well."""
        self.crowded = False
        """The last tick left requests waiting for attempts in flight to end."""
        self._recounts = False

    def next_at(self, usual: float) -> float:
        """When the next tick is due, by the monotonic clock: as usual, or earlier where a breaker's probes want it."""
        now = self._documents.time.now()
        wanted = self._judging.next_tick(now)
        return usual if wanted is None else min(usual, self._ports.clock.monotonic() + (wanted - now).total_seconds())

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
        await self._overdue.sweep(self._held_back)
        await self._dormant.wake(documents.memory.epoch, documents.time.now())
        heads = await self._pages.read(documents.time.now())
        if self._pages.read_at is not None:
            documents.time.observe(self._pages.read_at)
        await asyncio.gather(self._look(heads), self._budgets.look(heads, documents.time.now()))
        await self._count_starts()
        routing = await self._judging.judge(self._held_back)
        heads = await self._with_led_away(heads)
        planning = await self._plan(heads, routing)
        judged = await self._budgets.judge(planning.candidates, documents.time.now())
        for head in judged.stale:
            self._pages.gone([head.request_id])
            self._pages.left(head)
        for head, outcome in judged.refused:
            await self._overdue.end(head, "failed", outcome)
        leaving = self._budgets.take([candidate for candidate in judged.candidates if _goes_by_batch(candidate)])
        routing = self._judging.bent(routing.batched([candidate.planned for candidate in leaving]), leaving)
        ticked = await self._decide(
            [candidate for candidate in judged.candidates if not _goes_by_batch(candidate)], routing
        )
        granted = [grant.candidate for grant in ticked.grants]
        self._pages.gone(candidate.head.request_id for candidate in granted)
        reporting.tell_changes(self._ports.signals, documents.memory, ticked.memory)
        blocked = reporting.wait_reasons(ticked, planning)
        accounts = self._budgets.reserve(ticked.grants)
        routing = self._judging.granted(routing, ticked.grants)
        done = [document for document in self._sight.taken if document.id in ticked.done]
        await documents.write(
            ticked.memory, routing, blocked=blocked, waiting=self._pages.waiting, accounts=accounts, done=done
        )
        self._sight.granted([*(candidate.model for candidate in granted), *(slot.pool for slot in ticked.started)])
        await open_slots.withdraw(self._ports, ticked.withdrawn, documents.time.now())
        await self._release(ticked, began_at, len(heads))
        await self._put_aside(leaving)
        await self._overdue.end_missed(ticked, self._held_back)
        await self._rest(ticked, heads, planning)
        await self._net.tend(documents.time.now())
        return bool(leaving) or bool(ticked.started) or self._net.holds or await self._expects_work(ticked, planning)

    async def _release(self, ticked: TickResult, began_at: datetime, heads: int) -> None:
        """Hand the slots out; what nobody took is kept for the next tick to give back. A tick that grants is traced."""
        ports, time, grants = self._ports, self._documents.time, ticked.grants
        if not grants:
            self._lost = []
            return
        turn = Turn(tracing.begun(ports), began_at, time)
        reserved = [self._budgets.reservation(grant.candidate) for grant in grants]
        ways = await self._ways.choose(grants, time.now())
        chosen = [ways.get(grant.candidate.head.request_id, FOREGROUND) for grant in grants]
        released = await asyncio.gather(
            *(
                release(ports, grant, turn, reservation, by)
                for grant, reservation, by in zip(grants, reserved, chosen, strict=True)
            )
        )
        pairs = zip(grants, released, strict=True)
        self._budgets.handed_out([grant.candidate for grant, failure in pairs if failure is None])
        self._lost = [lost_slot for lost_slot in released if isinstance(lost_slot, LostSlot)]
        tracing.write(
            ports, spans.TICK, turn.place, None, began_at, time.now(), heads=heads, grants=len(grants),
            holder=ports.boot,
        )  # fmt: skip

    async def _count_starts(self) -> None:
        """Breakers are judged with the starts in open slots that the look has found."""
        documents = self._documents
        taken = open_slots.taken(self._ports, self._sight.taken)
        await documents.read_standings({slot.pool for slot in taken})
        new = [slot for slot in taken if not is_counted(documents.memory.standings, slot)]
        documents.routing = documents.routing.started(new)

    async def _look(self, heads: Sequence[Head]) -> None:
        """At reports, flags, limits and what is in flight."""
        documents, sight = self._documents, self._sight
        models = {head.model for head in heads} | set(documents.memory.standings) | set(documents.memory.limits)
        await sight.look(
            sorted(models),
            documents.time.now(),
            recounts=self._recounts,
            air=bool(heads) or documents.memory.fleet.in_air > 0,
        )
        for model in sight.late:
            self._pages.kicked([queue_name(model, priority) for priority in PRIORITIES])

    async def _with_led_away(self, heads: list[Head]) -> list[Head]:
        """Those that breakers have led away from what they wait out need not wait for it."""
        now = self._documents.time.now()
        freed = await self._led_away.look(self._sight.board.in_force(now), self._sight.health, now)
        return list({head.request_id: head for head in [*heads, *freed]}.values())

    async def _put_aside(self, leaving: Sequence[Candidate]) -> None:
        """What goes by batch takes no slot: it leaves its queue now. A slot that it had not used is given back."""
        batched = await self._collecting.put(leaving, self._documents.time.now(), self._budgets.reservation)
        self._pages.gone(candidate.head.request_id for candidate in leaving)
        unsure = self._collecting.unsure
        self._budgets.handed_out([candidate for candidate in batched if candidate.head.request_id not in unsure])
        self._lost += [
            LostSlot(
                f"{candidate.head.request_id}:{slot.release}", slot.model, slot.slot_at, Weight(tokens=slot.tokens)
            )
            for candidate in batched
            if (slot := candidate.head.unused_slot) is not None
        ]

    async def _decide(self, candidates: Sequence[Candidate], routing: Routing) -> TickResult:
        documents, sight = self._documents, self._sight
        taken = open_slots.taken(self._ports, sight.taken)
        models = (
            {candidate.model for candidate in candidates}
            | {slot.pool for slot in taken}
            | {slot.model for candidate in candidates if (slot := candidate.head.unused_slot) is not None}
        )
        relevant = models | set(documents.memory.standings) | set(documents.memory.limits)
        concluded = routing.conclusions.closings()
        await documents.read_standings(relevant | set(sight.reports) | set(concluded))
        return tick(
            documents.memory,
            Observation(
                now=documents.time.now(),
                candidates=candidates,
                configured=self._ports.quota,
                capacity=self._ports.capacity,
                reports=sight.reports,
                live=sight.live,
                running=sight.running,
                in_air=sight.in_air,
                concluded=concluded,
                day_goes_on=routing.conclusions.day_goes_on,
                drift=sight.drift(),
                lost=self._lost,
                purses=self._budgets.purses,
                since_last=self._since_last(),
                taken=taken,
                taken_from=sight.taken_from,
                open_terms=await open_slots.terms(
                    self._ports, self._ways, sight, routing, candidates, relevant, documents.time.now()
                ),
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
            await self._overdue.end(head, "expired", EXPIRED)
        planning = self._planner.plan_all(
            [head for head in heads if head not in overdue], routing, self._sight.health, now
        )
        for head, unroutable in planning.unroutable:
            problem = unroutable.problem
            code = PlainEnd.COST_CAP if problem.field == "max_cost_usd" else PlainEnd.UNROUTABLE
            await self._overdue.end(head, "failed", Outcome.of(code, str(problem), problem.remedy))
        self._stuck = reporting.tell_stuck(self._ports.signals, planning, self._stuck)
        return planning

    async def _rest(self, ticked: TickResult, heads: Sequence[Head], planning: Planning) -> None:
        """Sleepers in and out, after the slots are given."""
        now = self._documents.time.now()
        granted = {grant.candidate.head.request_id for grant in ticked.grants}
        woken = [head for head in heads if head.sleeps and head.request_id not in granted]
        await self._dormant.settle(woken, now)
        await self._dormant.put(ticked.blocked, ticked.memory.epoch, now)
        await self._dormant.put_aside(planning.waiting, ticked.memory.epoch, now)
        self._held_back = ticked.blocked
        self.crowded, self._recounts = ticked.crowded, ticked.recounts

    async def _expects_work(self, ticked: TickResult, planning: Planning) -> bool:
        """Something opens soon, is in the air, is to be probed, or a sleeper wakes before the next scheduled kick."""
        now = self._documents.time.now()
        soon = now + WORTH_WAITING
        if any(_opens(full, soon) for full in ticked.blocked.values()) or ticked.grants or self._lost:
            return True
        if self._sight.in_air or any(not waits.paused for _, waits in planning.waiting):
            return True
        if self._pages.waiting and not ticked.blocked and not planning.waiting:
            return True
        sleeping = await self._ports.store.query(queries.sleeping(now, 1))
        return bool(sleeping) and SleepingRow.from_json(sleeping[0].data).wake_at < soon


def _goes_by_batch(candidate: Candidate) -> bool:
    return candidate.planned.route.lane == BATCH


def _opens(full: Blocked, soon: datetime) -> bool:
    return full.reason != "zero" and (full.until is None or full.until < soon)
