"""The whole worker in virtual time and memory: real core, real flows, fake world. A day takes a second."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from shared.adapters.flag_sources.none import NoFlagSource
from shared.adapters.pictures.pillow_formats import PillowFormats
from shared.adapters.process.byte_room import ByteRoom
from shared.core.accounting import budget
from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.reader import read_catalogue
from shared.core.lifecycle import request_record
from shared.core.limits.quota import Quota
from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.request_key import id_of
from shared.core.messages.topics import RENDER_REQUESTS, RENDER_RESULTS, SUBSCRIPTIONS, Subscription
from shared.core.routing.background_proof import Setting
from shared.core.values.documents import Document
from shared.core.values.status import FINAL
from shared.flows.collect.collect import collect
from shared.flows.collect.look import Collector
from shared.flows.intake.fair_queue import FairTags
from shared.flows.intake.intake import accept_message
from shared.flows.pump.loop import Pump
from shared.flows.pump_status import PumpView
from shared.flows.render.limit_reports import Evidence
from shared.flows.render.render import render
from shared.flows.requests.message import Message
from shared.flows.upkeep.dead_letters import bury
from shared.flows.upkeep.watch import break_leases, watch
from shared.flows.wakeups import Kicks
from shared.flows.webhooks.deliver import deliver
from shared.flows.webhooks.room import DeliveryRoom
from shared.ports import Ports
from shared.ports.clock import Clock
from shared.ports.messaging import Delivery
from tests.fakes.batches import ScriptedBatches
from tests.fakes.google_cloud.live_quota import ScriptedLiveQuota
from tests.fakes.interactions import ScriptedInteractions
from tests.fakes.lane import ScriptedLane
from tests.fakes.memory import (
    PATIENCE,
    MemoryImages,
    MemoryReferences,
    MemorySpool,
    MemoryStore,
    MemoryTopics,
    RecordedSignals,
)
from tests.fakes.virtual_clock import VirtualClock
from tests.fakes.webhooks import ScriptedWebhooks

WATCH_EVERY = timedelta(minutes=1)


class Killed(BaseException):
    """The process dies here: no handler of the product may catch it."""


@cache
def shipped_catalogue() -> Catalogue:
    return read_catalogue(Path("shared/catalogue.toml").read_text("utf-8"))


async def inline(function: Callable[..., Any], *arguments: Any) -> Any:
    """In place of a thread: threads know nothing of virtual time."""
    return function(*arguments)


class World:
    def __init__(
        self,
        quota: str = "",
        seed: int = 1,
        latency: timedelta = timedelta(seconds=1),
        clock: VirtualClock | None = None,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.started = self.clock.now()
        self.store = MemoryStore(self.clock)
        self.topics = MemoryTopics(self.clock)
        self.images = MemoryImages()
        self.spool = MemorySpool()
        self.room_bytes = 1 << 40
        self.default_budget_micros: int | None = None
        self.interactive_per_minute: int | None = None
        self.references = MemoryReferences()
        self.lane = ScriptedLane(self.clock, latency)
        self.interactions = ScriptedInteractions(self.lane)
        self.background: Setting = "off"
        self.webhooks_name_attempts = False
        self.batches = ScriptedBatches(self.clock)
        self.webhooks = ScriptedWebhooks(self.clock)
        self.live_quota = ScriptedLiveQuota(self.clock)
        self.signals = RecordedSignals()
        self.quota = quota
        self.catalogue = shipped_catalogue()
        self.boots = 0
        self.crashes: list[Exception] = []
        """What the functions raised: each was a 500, and its message came again."""
        self.watch_crashes: list[Exception] = []
        self._chance = random.Random(seed)
        self.deliver_twice = False
        self.watch_every = WATCH_EVERY
        self.shuffled = False
        self.wall_clock: Clock | None = None
        """The machine's, where it differs from the store's."""
        self.guard: Callable[[Any, str], Any] = lambda port, _name: port
        """Wraps each port: a test counts calls or kills the process with it."""
        self.boot()

    def boot(self) -> None:
        """A new process on the same store, topics and images."""
        self.boots += 1
        lane = self.guard(self.lane, "lane")
        self.ports = Ports(
            store=self.guard(self.store, "store"),
            topics=self.guard(self.topics, "topics"),
            images=self.guard(self.images, "images"),
            spool=self.guard(self.spool, "spool"),
            references=self.references,
            formats=PillowFormats(run=inline),
            lanes={"standard": lane, "priority": lane, "flex": lane},
            interactions=self.guard(self.interactions, "interactions"),
            background=self.background,
            has_webhooks=self.webhooks_name_attempts,
            webhooks_name_attempts=self.webhooks_name_attempts,
            batches=self.guard(self.batches, "batches"),
            webhooks=self.guard(self.webhooks, "webhooks"),
            live_quota=self.live_quota,
            flag_source=NoFlagSource(),
            signals=self.signals,
            clock=self.wall_clock or self.clock,
            chance=self._chance.random,
            fresh=lambda digits: f"{self._chance.getrandbits(4 * digits):0{digits}x}",
            catalogue=self.catalogue,
            quota=Quota.parse(self.quota),
            capacity=400,
            boot=f"boot-{self.boots}",
            project="test",
            key_kind="auth",
            room=ByteRoom(self.room_bytes),
            interactive_per_minute=self.interactive_per_minute,
            default_budget=budget.default_budget(micros)
            if (micros := self.default_budget_micros) is not None
            else None,
        )
        view = PumpView(self.ports)
        self.kicks = Kicks(self.ports, view)
        self.tags = FairTags(self.ports, view)
        self.evidence = Evidence(self.ports, view)
        self.collector = Collector(self.ports, self.evidence)
        self.pump = Pump(self.ports, self.kicks)
        self.room = DeliveryRoom()

    # -- what a caller does -------------------------------------------------------------------------------------------

    async def publish(self, payload: dict[str, Any] | bytes, **attributes: str) -> str:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return await self.topics.publish(RENDER_REQUESTS, data, attributes)

    async def submit(self, request_id: str = "r-1", **fields: Any) -> str:
        return await self.publish({"request_id": request_id, "prompt": "a lighthouse", **fields})

    def status(self, request_id: str = "r-1") -> dict[str, Any]:
        return dict(self.request(request_id).data)

    def statuses(self) -> dict[str, str]:
        """By id; by key where several tenants use the same id."""
        documents = self.store.all("requests")
        uses = Counter(id_of(document.id) for document in documents)
        return {
            document.id if uses[id_of(document.id)] > 1 else id_of(document.id): document.data["status"]
            for document in documents
        }

    def attempts(self, request_id: str = "r-1") -> list[dict[str, Any]]:
        keys = [row.id for row in self.store.all("requests") if request_id in (row.id, id_of(row.id))]
        key = keys[0] if keys else request_id
        return [dict(document.data) for document in self.store.all(request_record.attempts(key))]

    def results(self, request_id: str | None = None) -> list[dict[str, Any]]:
        events = [json.loads(item.data) for item in self.topics.on(RENDER_RESULTS)]
        return [event for event in events if request_id in (None, event["request_id"])]

    # -- what the platform does ---------------------------------------------------------------------------------------

    def run(self, story: Awaitable[Any]) -> Any:
        """Drive virtual time through a story of the test's own."""
        return self.clock.run(story)

    async def run_until_quiet(self, within: timedelta = timedelta(hours=30)) -> None:
        """Deliver, pump and watch until every request has ended and been announced. AssertionError past `within`."""
        await self.clock.run(self._until_quiet(within))

    async def run_through_a_death(self, within: timedelta = timedelta(hours=30), *, one_machine: bool = True) -> None:
        """Until quiet; a process that the guard kills is followed by a new one."""
        try:
            await self.run_until_quiet(within)
        except Killed:
            await self.restart(one_machine=one_machine)
            await self.run_until_quiet(within)

    async def run_for(self, time: timedelta, *stories: Awaitable[None]) -> None:
        """Deliver, pump and watch for so long, beside stories of the test's own that end within it."""
        begun = [asyncio.ensure_future(awaitable) for awaitable in stories]
        await self.clock.run(self._until_quiet(time, only_for=True))
        for story in begun:
            story.result()

    async def _until_quiet(self, within: timedelta, *, only_for: bool = False) -> None:
        ends = self.clock.monotonic() + within.total_seconds()
        end = asyncio.ensure_future(self.clock.sleep(within.total_seconds()))
        flying: set[asyncio.Task[None]] = set()
        schedule = asyncio.ensure_future(self.clock.sleep(self.watch_every.total_seconds()))
        try:
            while True:
                self.topics.news.clear()
                flying |= {asyncio.ensure_future(delivery) for delivery in self._deliveries()}
                news = asyncio.ensure_future(self.topics.news.wait())
                if end.done() if only_for else not flying and self._all_over():
                    news.cancel()
                    return
                assert only_for or self.clock.monotonic() < ends, f"not quiet in time: {self.statuses()}"
                done, _ = await asyncio.wait({*flying, news, schedule, end}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if schedule in done:
                    flying.add(asyncio.ensure_future(self._watch()))
                    schedule = asyncio.ensure_future(self.clock.sleep(self.watch_every.total_seconds()))
                for task in done & flying:
                    task.result()
                flying -= done
        finally:
            leftovers = {*flying, schedule, end}
            for task in leftovers:
                task.cancel()
            await asyncio.gather(*leftovers, return_exceptions=True)

    def _all_over(self) -> bool:
        return all(
            document.data["status"] in FINAL and document.data["announce"] is None
            for document in self.store.all("requests")
        )

    def _deliveries(self) -> list[Awaitable[None]]:
        subscriptionses: list[tuple[Subscription, Delivery]] = []
        for subscription in SUBSCRIPTIONS:
            subscriptionses += [(subscription, delivery) for delivery in self.topics.take(subscription.name)]
        if self.deliver_twice:
            subscriptionses = subscriptionses * 2
        if self.shuffled:
            self._chance.shuffle(subscriptionses)
        return [self._deliver(subscription, delivery) for subscription, delivery in subscriptionses]

    async def _deliver(self, subscription: Subscription, delivery: Delivery) -> None:
        """One push: an exception is a 500, and the message comes again."""
        message = Message(
            delivery.message_id, delivery.data, delivery.attributes, subscription.name, delivery.published_at
        )
        try:
            match subscription.function:
                case "intake":
                    await accept_message(self.ports, self.kicks, self.tags, message)
                case "pump":
                    await self.pump.kicked(Kick.parse(message.data).queues)
                case "render":
                    await render(self.ports, self.kicks, self.evidence, message)
                case "collect":
                    await collect(self.ports, self.kicks, self.collector, message)
                case "bury":
                    await bury(self.ports, self.kicks, self.tags, self.evidence, self.room, message)
                case "deliver":
                    await deliver(self.ports, self.room, message)
        except Killed:
            self.topics.again(subscription, delivery)
            raise
        except asyncio.CancelledError:
            self.topics.again(subscription, delivery)  # the process died under it
            raise
        except Exception as error:  # noqa: BLE001  every exception of a function is a 500
            self.crashes.append(error)
            await self.clock.sleep(1)
            self.topics.again(subscription, delivery)

    async def _watch(self) -> None:
        try:
            await watch(self.ports, self.kicks, self.collector)
        except Exception as error:  # noqa: BLE001  what watch leaves undone is done a minute later
            self.watch_crashes.append(error)

    async def restart(self, *, one_machine: bool = True) -> None:
        """A new process after a death; the one-machine home breaks the leases of the old one."""
        self.boot()
        self.clock.advance(PATIENCE)
        if one_machine:
            await self.clock.run(break_leases(self.ports))
        await self.clock.run(self.kicks.kick())

    def ledger_micros(self) -> int:
        return sum(document.data["cost_micros"] for document in self.store.all("ledger"))

    def request(self, request_id: str = "r-1") -> Document:
        """By id or key."""
        documents = self.store.all("requests")
        by_key = [document for document in documents if document.id == request_id]
        return next(iter(by_key or [document for document in documents if id_of(document.id) == request_id]))
