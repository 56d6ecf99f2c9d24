"""Several machines on one store, one set of topics and one provider, moved step by step."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import Awaitable, Collection
from datetime import timedelta
from typing import Any, TypeVar

from shared.core.limits.quota import Quota
from shared.core.messages.topics import RENDER_REQUESTS, SUBSCRIPTIONS, Subscription
from shared.flows.operations import flags, tenants
from shared.flows.upkeep.watch import break_leases, watch
from shared.ports.images import ImagesUnavailable
from shared.ports.messaging import Delivery, TopicsUnavailable
from shared.ports.store import StoreUnavailable
from tests.chaos.chaos_world import ChaosWorld
from tests.chaos.faults import Faults, SkewedClock
from tests.chaos.reader import Reader, most_starts
from tests.fakes.memory import PATIENCE, MemorySpool
from tests.world import Killed

T = TypeVar("T")
AWAY = (StoreUnavailable, TopicsUnavailable, ImagesUnavailable, Killed)
"""What a step may end with: it is taken again, or by somebody else."""
MOMENT = 0.02
"""Seconds that pass with each step."""


class Universe:
    def __init__(self, machines: int = 1, *, quota: str = "", background: Any = "off", seed: int = 1) -> None:
        self.loop = asyncio.new_event_loop()
        first = ChaosWorld(quota, seed, timedelta(seconds=4))
        self.machines = [first]
        while len(self.machines) < machines:
            fellow = copy.copy(first)
            fellow.faults = fellow.guard = Faults(first.clock)
            fellow.spool = MemorySpool()
            fellow.boots = 1000 * len(self.machines)
            self.machines.append(fellow)
        for machine in self.machines:
            machine.background = background
            machine.wall_clock = SkewedClock(first.clock)
            machine.boot()
        self.world = first
        self.is_home = machines == 1
        self.clock = first.clock
        self.topics = first.topics
        self.reader = Reader(first)
        self.rpm = Quota.parse(quota).limits("gemini-nano-banana-2.1").rpm
        self._flying: dict[asyncio.Task[None], tuple[ChaosWorld, str]] = {}
        """With the machine, and the message that it works on."""
        self._names = itertools.count()

    def run(self, story: Awaitable[T]) -> T:
        """One step, beside what is in flight."""

        async def then_a_moment() -> T:
            result = await story
            await self.clock.sleep(MOMENT)
            return result

        result = self.loop.run_until_complete(self.clock.run(then_a_moment()))
        self._bury_the_dead()
        return result

    def pass_time(self, seconds: float) -> None:
        self.run(self.clock.sleep(seconds))

    # -- messages ----------------------------------------------------------------------------------------------------

    def waiting(self) -> list[tuple[Subscription, int]]:
        """Each delivery that waits: its subscription, and its place."""
        return [
            (subscription, at) for subscription in SUBSCRIPTIONS for at in range(self.topics.waiting(subscription.name))
        ]

    def deliver(self, machine: ChaosWorld, subscription: Subscription, at: int, *, twice: bool = False) -> None:
        delivery = self.topics.take_one(subscription.name, at)
        self._begin(machine, subscription, delivery)
        if twice:
            self._begin(machine, subscription, delivery)
        self.pass_time(0)

    def deliver_all(self, machine: ChaosWorld) -> None:
        for subscription in SUBSCRIPTIONS:
            for delivery in self.topics.take(subscription.name):
                self._begin(machine, subscription, delivery)
        self.pass_time(0)

    def watch(self, machine: ChaosWorld) -> None:
        async def look() -> None:
            try:
                await watch(machine.ports, machine.kicks, machine.collector)
            except Exception as error:  # noqa: BLE001  what watch leaves undone is done a minute later
                machine.watch_crashes.append(error)

        self._fly(machine, look(), "watch")
        self.pass_time(0)

    def _begin(self, machine: ChaosWorld, subscription: Subscription, delivery: Delivery) -> None:
        self._fly(machine, machine._deliver(subscription, delivery), delivery.message_id)

    def _fly(self, machine: ChaosWorld, work: Any, name: str) -> None:
        self._flying[self.loop.create_task(work)] = (machine, name)

    # -- life and death ----------------------------------------------------------------------------------------------

    def is_alive(self, machine: ChaosWorld) -> bool:
        return not machine.faults.life.dead

    def kill(self, machine: ChaosWorld) -> None:
        machine.faults.life.dead = True
        self._bury_the_dead()

    def boot(self, machine: ChaosWorld) -> None:
        """On the one-machine home, the new process knows that the old one is gone."""
        machine.faults.kill_at = machine.faults.killed = None
        machine.boot()
        for story in (break_leases(machine.ports), machine.kicks.kick()) if self.is_home else (machine.kicks.kick(),):
            try:
                self.run(story)
            except AWAY:
                pass  # the schedule's kick comes, and `watch` looks after lapsed leases

    def _bury_the_dead(self) -> None:
        dead = []
        for task, (machine, _) in list(self._flying.items()):
            if task.done():
                del self._flying[task]
                error = None if task.cancelled() else task.exception()
                if error is not None and not isinstance(error, Killed):
                    raise error
            elif not self.is_alive(machine):
                task.cancel()
                dead.append(task)
        if dead:
            self._let_end(dead)
            for task in dead:
                self._flying.pop(task, None)

    def _let_end(self, tasks: Collection[asyncio.Task[Any]]) -> None:
        async def until_all_did() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)

        self.loop.run_until_complete(until_all_did())

    # -- what must hold ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        self.reader.now()
        if self.rpm is not None:
            starts = most_starts(self.world)
            assert all(count <= self.rpm for count in starts.values()), f"{starts} starts in a minute of {self.rpm}"
        for machine in self.machines:
            assert not machine.crashes or all(_is_expected(error) for error in machine.crashes), machine.crashes
        self._no_message_is_lost()

    def _no_message_is_lost(self) -> None:
        """What intake acknowledged is on record: the request, the wish to cancel it, or the rejection."""
        open_still = {name for _, name in self._flying.values()}
        for subscription in SUBSCRIPTIONS:
            open_still |= self.topics.ids_waiting(subscription.name)
        requests = {(one.data["tenant"], one.data["request_id"]) for one in self.world.store.all("requests")}
        rejected = {one.id for one in self.world.store.all("rejected")}
        for message in self.topics.on(RENDER_REQUESTS):
            if message.message_id in open_still or message.message_id in rejected:
                continue
            payload = json.loads(message.data)
            name = (payload.get("tenant", "default"), payload.get("request_id"))
            assert "cancel" in payload or name in requests, f"message {message.message_id} of {name} is lost"

    def heal(self) -> None:
        """Everything works again; what was tripped is reset, and money is no question any more."""
        for machine in self.machines:
            self.kill(machine)
            machine.faults.end()
        first = self.machines[0]
        first.boot()
        self.clock.advance(PATIENCE)
        store = self.world.store
        for flag_id in list(self.run(flags.read_own(store)).flags):
            self.run(flags.reset(store, first.signals, flag_id, "ann", "over"))
        self.run(tenants.lift_budget(store, "web"))
        self.run(break_leases(first.ports) if self.is_home else self.clock.sleep(60))
        self.run(first.kicks.kick())
        self.loop.run_until_complete(first.run_until_quiet(timedelta(hours=20)))
        self.loop.run_until_complete(first.run_for(timedelta(minutes=10)))
        self.check()
        self.reader.at_the_end()

    def close(self) -> None:
        for machine in self.machines:
            machine.faults.life.dead = True
        pending = asyncio.all_tasks(self.loop)
        for task in pending:
            task.cancel()
        self._let_end(pending)
        self.loop.close()


def _is_expected(error: Exception) -> bool:
    """A 500 is an answer where a port was away; nothing else may raise."""
    return type(error).__name__ in ("StoreUnavailable", "TopicsUnavailable", "ImagesUnavailable")
