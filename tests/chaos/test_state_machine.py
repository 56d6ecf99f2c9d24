"""The states of requests explored with the real core and flows in them: any message, answer, death and change, in any
order, and after each step nothing is lost, paid in silence or begun beyond its quota.

`RENDERLANE_CHAOS=long` explores for much longer, from other beginnings each time.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shared.core.messages.pubsub_messages import Arrival
from shared.core.messages.request_key import key_of
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage
from shared.core.routing.flag import Flag, Scope
from shared.core.routing.flag_board import FlagRefused
from shared.flows.intake.revive import ReviveRefused, revive
from shared.flows.operations import flags, tenants
from tests.chaos.chaos_world import ChaosWorld
from tests.chaos.faults import SkewedClock
from tests.chaos.universe import AWAY, Universe

LONG = os.environ.get("RENDERLANE_CHAOS") == "long"
EXPLORED = settings(
    max_examples=3000 if LONG else 60,
    stateful_step_count=40 if LONG else 20,
    derandomize=not LONG,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
IDS = ("a", "b", "c")
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "urgent": {"priority": "interactive"},
    "of a tenant with a budget": {"tenant": "web", "purpose": "draft"},
    "capped": {"purpose": "final", "max_cost_usd": "0.30", "floor": "exact"},
    "batch": {"lane": "batch", "allow": {"batch": True}},
    "other words": {"prompt": "another picture"},
}


def _refusal(order: Order) -> Failure:
    """Charged, though there is no image."""
    usage = Usage(text_in=10, thought=40)
    return Failure(
        FailureKind.REFUSED, "no", "image_safety", http_status=200, usage=usage, model=order.model, lane=order.lane
    )


ANSWERS: dict[str, Any] = {
    "429 of the minute": FailureKind.QUOTA_MINUTE,
    "503": FailureKind.OVERLOAD,
    "500": FailureKind.SERVER_ERROR,
    "400": FailureKind.INVALID_REQUEST,
    "charged refusal": _refusal,
    "nonsense": FailureKind.MALFORMED_ANSWER,
    "no image": FailureKind.NO_IMAGE,
    "no end": FailureKind.TIMEOUT,
    "connection lost": FailureKind.CONNECTION_LOST,
}


def step(**arguments: Any) -> Callable[[Any], Any]:
    """A rule after which the platform may go on by itself for a while: without that, most stories would end early."""

    def decorate(function: Any) -> Any:
        def then_go_on(self: Any, then: int, **drawn: Any) -> None:
            function(self, **drawn)
            self.go_on(then)

        then_go_on.__name__ = function.__name__
        a_rule: Any = rule(then=st.sampled_from((0, 1, 3, 8)), **arguments)
        return a_rule(then_go_on)

    return decorate


class Requests(RuleBasedStateMachine):
    universe: Universe

    @initialize(
        machines=st.sampled_from((1, 2)),
        quota=st.sampled_from(("", "*=rpm:6", "*=rpm:3,concurrency:2")),
        background=st.sampled_from(("off", "on", "auto")),
        seed=st.integers(0, 99),
        kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3),
    )
    def begin(self, machines: int, quota: str, background: str, seed: int, kinds: list[str]) -> None:
        self.universe = Universe(machines, quota=quota, background=background, seed=seed)
        self.universe.world.batches.takes = timedelta(minutes=2)
        limit = tenants.set_budget(self.universe.world.store, "web", limit_micros=150_000)
        self.universe.run(limit)
        for name, kind in zip(IDS, kinds, strict=False):
            self.universe.run(self.universe.world.submit(name, **KINDS[kind]))

    def machine(self, number: int) -> ChaosWorld:
        """A living one; the first is booted where none lives."""
        universe = self.universe
        alive = [machine for machine in universe.machines if universe.is_alive(machine)]
        if not alive:
            universe.boot(universe.machines[0])
            alive = universe.machines[:1]
        return alive[number % len(alive)]

    def ask(self, command: Callable[[ChaosWorld], Awaitable[Any]], number: int) -> None:
        """An operator's command on a machine, which may die or be cut off under it."""
        machine = self.machine(number)
        try:
            self.universe.run(command(machine))
        except AWAY:
            pass

    # -- callers -----------------------------------------------------------------------------------------------------

    @step(name=st.sampled_from(IDS), kind=st.sampled_from(sorted(KINDS)), deadline=st.sampled_from((None, 5, 60)))
    def publish(self, name: str, kind: str, deadline: int | None) -> None:
        more = {}
        if deadline is not None:
            more["deadline"] = (self.universe.clock.now() + timedelta(seconds=deadline)).isoformat()
        self.universe.run(self.universe.world.submit(name, **KINDS[kind], **more))

    @step(name=st.sampled_from(IDS), tenant=st.sampled_from(("default", "web")))
    def cancel(self, name: str, tenant: str) -> None:
        """Perhaps of a request that has not come."""
        self.universe.run(self.universe.world.publish({"cancel": name, "tenant": tenant}))

    @precondition(lambda self: self.requests())
    @step(data=st.data())
    def cancel_one(self, data: st.DataObject) -> None:
        tenant, name = data.draw(st.sampled_from(self.requests()))
        self.universe.run(self.universe.world.publish({"cancel": name, "tenant": tenant}))

    @precondition(lambda self: self.requests())
    @step(data=st.data(), number=st.integers(0, 1))
    def revive(self, data: st.DataObject, number: int) -> None:
        tenant, name = data.draw(st.sampled_from(self.requests()))

        async def command(machine: ChaosWorld) -> None:
            try:
                await revive(machine.ports, key_of(tenant, name), "ann")
            except ReviveRefused:
                pass

        self.ask(command, number)

    def requests(self) -> list[tuple[str, str]]:
        """On record: tenant and id."""
        return [(one.data["tenant"], one.data["request_id"]) for one in self.universe.world.store.all("requests")]

    # -- the platform ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.universe.waiting())
    @step(data=st.data(), number=st.integers(0, 1), twice=st.booleans())
    def deliver(self, data: st.DataObject, number: int, twice: bool) -> None:
        waiting = self.universe.waiting()
        subscription, at = waiting[data.draw(st.integers(0, len(waiting) - 1))]
        self.universe.deliver(self.machine(number), subscription, at, twice=twice)

    def go_on(self, seconds: int) -> None:
        """Messages arrive, here and there, and what they bring forth."""
        for number in range(2 * seconds):
            self.universe.deliver_all(self.machine(number // 2))
            self.universe.pass_time(0.5)

    @step(seconds=st.sampled_from((5, 15, 40)))
    def nothing(self, seconds: int) -> None:
        self.go_on(seconds)

    @step(seconds=st.sampled_from((0.1, 1.0, 12.0, 61.0)))
    def nobody_delivers(self, seconds: float) -> None:
        self.universe.pass_time(seconds)

    @step(number=st.integers(0, 1))
    def watch(self, number: int) -> None:
        self.universe.watch(self.machine(number))

    @step(number=st.integers(0, 1))
    def another_leads(self, number: int) -> None:
        """The pump is told to leave; the machine that gets its kick leads."""
        machine = self.machine(number)
        machine.pump.end()
        self.universe.pass_time(2)
        self.universe.kill(machine)
        self.universe.boot(machine)

    # -- the provider ------------------------------------------------------------------------------------------------

    @step(answer=st.sampled_from(sorted(ANSWERS)), times=st.integers(1, 2))
    def answers(self, answer: str, times: int) -> None:
        self.universe.world.lane.then(*[ANSWERS[answer]] * times)

    @precondition(lambda self: self.universe.world.interactions.records)
    @step(data=st.data(), named=st.booleans())
    def webhook(self, data: st.DataObject, named: bool) -> None:
        """For any interaction, at any time, also for one that ended long ago."""
        records = self.universe.world.interactions.records
        name = data.draw(st.sampled_from(sorted(records)))
        order = records[name].order
        arrival = Arrival(name, order.key, order.attempt) if named else Arrival(name)
        self.universe.run(self.universe.topics.publish(RENDER_ARRIVALS, arrival.to_bytes()))

    # -- operators ---------------------------------------------------------------------------------------------------

    @step(flag=st.sampled_from(("pause", "use-nano-banana-2", "use-batch")), number=st.integers(0, 1))
    def trip(self, flag: Any, number: int) -> None:
        now = self.universe.clock.now()
        scope = Scope(tenant="web") if flag == "pause" else Scope()
        new = Flag(f"{flag}-{now:%H%M%S}", flag, "ann", "quota is short", now, now + timedelta(minutes=10), scope=scope)

        async def command(machine: ChaosWorld) -> None:
            try:
                await flags.trip(machine.ports.store, machine.signals, new)
            except FlagRefused:
                pass

        self.ask(command, number)

    @step(number=st.integers(0, 1))
    def reset(self, number: int) -> None:
        async def command(machine: ChaosWorld) -> None:
            for flag_id in list((await flags.read_own(machine.ports.store)).flags):
                try:
                    await flags.reset(machine.ports.store, machine.signals, flag_id, "ann", "quota is back")
                except FlagRefused:
                    pass

        self.ask(command, number)

    @step(
        limit=st.sampled_from((0, 60_000, 5_000_000)), over=st.sampled_from(("queue", "step-down", "refuse")),
        number=st.integers(0, 1),
    )  # fmt: skip
    def budget(self, limit: int, over: Any, number: int) -> None:
        async def command(machine: ChaosWorld) -> None:
            await tenants.set_budget(machine.ports.store, "web", limit_micros=limit, over=over)

        self.ask(command, number)

    # -- faults ------------------------------------------------------------------------------------------------------

    @step(number=st.integers(0, 1))
    def kill(self, number: int) -> None:
        self.universe.kill(self.machine(number))

    @step(number=st.integers(0, 1), steps=st.integers(0, 12), after=st.booleans())
    def will_die(self, number: int, steps: int, after: bool) -> None:
        faults = self.machine(number).faults
        faults.killed, faults.after, faults.kill_at = None, after, len(faults.steps) + steps

    @step(number=st.integers(0, 1))
    def boot(self, number: int) -> None:
        machine = self.universe.machines[number % len(self.universe.machines)]
        if not self.universe.is_alive(machine):
            self.universe.boot(machine)

    @step(
        number=st.integers(0, 1), port=st.sampled_from(("store", "topics", "images")), seconds=st.sampled_from((2, 30))
    )
    def away(self, number: int, port: str, seconds: int) -> None:
        self.machine(number).faults.away(port, timedelta(seconds=seconds))

    @step(number=st.integers(0, 1), port=st.sampled_from(("store", "topics", "images")), times=st.integers(1, 3))
    def loses_answers(self, number: int, port: str, times: int) -> None:
        self.machine(number).faults.lost_answers[port] = times

    @step(number=st.integers(0, 1), port=st.sampled_from(("store", "topics")), seconds=st.sampled_from((0.0, 0.4, 3.0)))
    def slow(self, number: int, port: str, seconds: float) -> None:
        self.machine(number).faults.slow[port] = seconds

    @step(number=st.integers(0, 1), minutes=st.sampled_from((-90, -1, 0, 1, 90)))
    def clock_jumps(self, number: int, minutes: int) -> None:
        """Of one machine: the store's time is what counts."""
        clock = self.machine(number).wall_clock
        assert isinstance(clock, SkewedClock)
        clock.skew = timedelta(minutes=minutes)

    # -- what must hold ----------------------------------------------------------------------------------------------

    def check_invariants(self, *args: Any, **more: Any) -> None:
        super().check_invariants(*args, **more)
        if hasattr(self, "universe"):
            self.universe.check()

    def teardown(self) -> None:
        if not hasattr(self, "universe"):
            return
        try:
            self.universe.heal()
        finally:
            self.universe.close()


TestRequests = Requests.TestCase
TestRequests.settings = EXPLORED
