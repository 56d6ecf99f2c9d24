"""Instances that take deliveries: N of them, each with room for so many at once, and messages that need a moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Literal, TypeAlias

from msgspec import Struct

from scripts.virtual_time.engine import Engine
from scripts.virtual_time.models.provider_model import Provider
from scripts.virtual_time.models.provider_reply import Answer, ImageReply
from scripts.virtual_time.request import ModelledRequest

DELIVERY = (0.02, 0.15)
"""Seconds from a publication, or from room on an instance, to the push."""
TRAVEL = (0.005, 0.03)
"""Seconds from a worker to the provider."""
ON_RECORD = (0.02, 0.06)
"""Seconds to put an attempt on record, a write of its own document, begun at most ON_RECORD_BEFORE its slot."""
ON_RECORD_BEFORE = 0.25
REDELIVERY = (1.0, 10.0)
"""Seconds until a message is pushed again whose instance died."""
EXCHANGE = (0.1, 0.3)
"""Seconds from a call's arrival until its id in the background is on record."""
RESTART = 4.0
"""Seconds until an instance that died is back."""
FIRST_PUSH_WINDOW = 5
"""Deliveries in the air with which a push subscription begins (Pub/Sub's slow start, single digits)."""


class DeliveryTerms(Struct, frozen=True):
    """How messages reach a fleet (pubsub_model.py)."""

    by: Literal["push", "pull"]
    lasts: Literal["for the call", "for one exchange"]
    """A delivery is acknowledged when its image is stored, or when its call runs in the background."""
    warm_instances: int = 1
    """Of a service that is pushed to; a pull worker runs all of its instances."""
    most_deliveries: int = 20
    shortest_backoff: float = 10.0
    longest_backoff: float = 600.0
    outage: tuple[float, float] | None = None
    """Between these instants the store does not answer, and every delivery ends with 503."""


class FleetSize(Struct, frozen=True):
    instances: int
    """That run."""
    concurrency: int
    """Deliveries that one instance takes at once."""
    most_instances: int
    """That the platform may run: what a static share is divided by."""
    start: float = 0.01
    """Seconds of processor that an instance spends on one call before it leaves: calls of one instant leave in turn."""
    skew: float = 0.0
    """Seconds by which an instance's clock is off at most."""
    push: Literal["ready", "slow_start"] = "ready"
    """A push subscription at its full window, or one that begins to push and doubles with each round of successes."""
    terms: DeliveryTerms | None = None
    """None = every message is delivered as soon as there is room."""
    carries: int | None = None
    """Attempts in flight, where they are not bounded by the room of the instances."""

    @property
    def capacity(self) -> int:
        return self.instances * self.concurrency if self.carries is None else self.carries


class TooLate(Struct, frozen=True):
    """The release arrived in time, but its call could not leave before the slot had passed."""


class DeliveredLate(Struct, frozen=True):
    """The slot had passed when the release was taken up."""


End: TypeAlias = Answer | TooLate | DeliveredLate
"""How a release ended. After the late ones the request may be given another slot: no call was made."""


class Attempt(Struct, frozen=True):
    """How one release ended."""

    request: ModelledRequest
    instance: int
    """Which one took it."""
    slot: float
    """Seconds since the start."""
    end: End


OnAttempt: TypeAlias = Callable[[Attempt], None]


class PushedDelivery:
    """One push of one message. It takes room on its instance until `done`; nothing of it happens on a dead instance."""

    def __init__(self, fleet: FleetModel, request: ModelledRequest, begin: Callable[[PushedDelivery], None]) -> None:
        self.request = request
        self.instance = -1
        """Which one, once it is under way."""
        self.began = False
        """It has been delivered."""
        self.withdrawn = False
        self.alive = False
        """It has room on an instance that lives."""
        self._fleet = fleet
        self._begin = begin

    def withdraw(self) -> bool:
        """Its message is stale: it will be acknowledged and ignored. False where it has been delivered before."""
        self.withdrawn = not self.began
        return self.withdrawn

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._fleet.engine.after(seconds, partial(self.if_alive, callback))

    def call(self, then: Callable[[Answer], None]) -> None:
        """One call to the provider, when the instance gets to it; `then` gets the answer."""
        self._leave(self._fleet.turn(self.instance), then)

    def send(self, then: Callable[[Answer], None]) -> None:
        """One call to the provider, for which the instance has done its work."""
        self._leave(0.0, then)

    def done(self) -> None:
        """Acknowledged: there is room again."""
        self._fleet.leave(self)

    def push(self) -> None:
        """The fleet's: it reaches its instance."""
        if self.withdrawn:
            self.done()
            return
        self.began = True
        self._begin(self)

    def if_alive(self, callback: Callable[[], None]) -> None:
        """Now, unless it is over: acknowledged, or its instance died."""
        if self.alive:
            callback()

    def again(self) -> PushedDelivery:
        """The redelivery of its message."""
        return PushedDelivery(self._fleet, self.request, self._begin)

    def _leave(self, seconds: float, then: Callable[[Answer], None]) -> None:
        self.request.status = "rendering"
        self.after(seconds + self._fleet.chance.uniform(*TRAVEL), partial(self._arrive, then))

    def _arrive(self, then: Callable[[Answer], None]) -> None:
        request, now = self.request, self._fleet.engine.now
        answer = self._fleet.provider.call(request.arrival, partial(self._answered, then))
        if isinstance(answer, ImageReply):
            request.accepted += 1
            request.began_at = now if request.began_at is None else request.began_at
        if self._fleet.in_background:
            self.after(self._fleet.chance.uniform(*EXCHANGE), self.done)

    def _answered(self, then: Callable[[Answer], None], answer: Answer) -> None:
        if self.alive or self._fleet.in_background:
            then(answer)


class FleetModel:
    """Deliveries wait in the order of publication where there is no room."""

    takes_back = False
    """The pump takes back what is not taken up: deliveries may be held back for long."""

    def __init__(self, engine: Engine, provider: Provider, size: FleetSize, chance: Random) -> None:
        self.engine = engine
        self.provider = provider
        self.size = size
        self.chance = chance
        self._waiting: deque[PushedDelivery] = deque()
        self._room = [instance for instance in range(size.instances) for _ in range(size.concurrency)]
        self._leased: list[dict[PushedDelivery, None]] = [{} for _ in range(size.instances)]
        self._skew = [chance.uniform(-size.skew, size.skew) for _ in range(size.instances)]
        self._busy_until = [0.0] * size.instances
        self._in_the_air = 0
        self.in_background = size.terms is not None and size.terms.lasts == "for one exchange"
        self._push_window = size.capacity if size.push == "ready" else FIRST_PUSH_WINDOW

    def deliver(self, request: ModelledRequest, begin: Callable[[PushedDelivery], None]) -> PushedDelivery:
        """Publishes a message about `request`; `begin` is called on each delivery of it."""
        delivery = PushedDelivery(self, request, begin)
        self._waiting.append(delivery)
        self._push()
        return delivery

    def start(
        self,
        request: ModelledRequest,
        at: float,
        good_for: float,
        on_end: OnAttempt,
        on_taken_up: Callable[[], None] = lambda: None,
        on_tight: Callable[[int], None] = lambda instance: None,
    ) -> PushedDelivery:
        """Releases `request` for a slot: one call at `at`, or none where it cannot leave within `good_for` seconds.

        The attempt goes on record first. Half of its processor time is spent on that, the other half on leaving. Room
        is taken from the delivery to the end. The world is not told of an image: `on_end` is to say that the request
        has succeeded. `on_taken_up` is told of each delivery that an instance gets to, also of one too late; `on_tight`
        of the instance whose call leaves with half of its leeway gone.
        """
        request.status = "released"

        def end(delivery: PushedDelivery, end: End) -> None:
            if delivery.alive:
                delivery.done()
            on_end(Attempt(request, delivery.instance, at, end))

        def leave(delivery: PushedDelivery, own_at: float) -> None:
            late = self.engine.now - own_at
            if late > good_for:
                end(delivery, TooLate())
                return
            if late > good_for / 2:
                on_tight(delivery.instance)
            delivery.send(partial(end, delivery))

        def take_up(delivery: PushedDelivery) -> None:
            on_taken_up()
            own_at, now = at + self._skew[delivery.instance], self.engine.now
            if now > own_at + good_for:
                end(delivery, DeliveredLate())
                return
            on_record = max(0.0, own_at - ON_RECORD_BEFORE - now) + self.chance.uniform(*ON_RECORD)
            seconds = max(on_record, own_at - now)
            delivery.after(
                seconds, lambda: delivery.after(self.turn(delivery.instance, 0.5), partial(leave, delivery, own_at))
            )

        return self.deliver(
            request, lambda delivery: delivery.after(self.turn(delivery.instance, 0.5), partial(take_up, delivery))
        )

    def crash(self, instance: int) -> None:
        """The instance dies with all it holds; its messages are delivered again, and it comes back."""
        lost, self._leased[instance] = self._leased[instance], {}
        self._room = [number for number in self._room if number != instance]
        for delivery in lost:
            delivery.alive = False
            self._in_the_air -= 1
            if not delivery.withdrawn:
                self.engine.after(self.chance.uniform(*REDELIVERY), partial(self._publish_again, delivery.again()))
        self.engine.after(RESTART, partial(self._make_room, instance, self.size.concurrency))

    def turn(self, instance: int, share: float = 1.0) -> float:
        """Seconds until the instance has done the work of one more call, or a share of it."""
        self._busy_until[instance] = max(self._busy_until[instance], self.engine.now) + share * self.size.start
        return self._busy_until[instance] - self.engine.now

    def leave(self, delivery: PushedDelivery) -> None:
        """It is acknowledged, and the push window has grown."""
        delivery.alive = False
        del self._leased[delivery.instance][delivery]
        self._in_the_air -= 1
        self._push_window = min(self._push_window + 1, self.size.capacity)
        self._make_room(delivery.instance, 1)

    def _publish_again(self, delivery: PushedDelivery) -> None:
        self._waiting.append(delivery)
        self._push()

    def _make_room(self, instance: int, count: int) -> None:
        self._room += [instance] * count
        self._push()

    def _push(self) -> None:
        while self._waiting and self._room and self._in_the_air < self._push_window:
            delivery = self._waiting.popleft()
            if delivery.withdrawn:
                continue
            pick = self.chance.randrange(len(self._room))
            self._room[pick], self._room[-1] = self._room[-1], self._room[pick]
            delivery.instance = self._room.pop()
            self._leased[delivery.instance][delivery] = None
            delivery.alive = True
            self._in_the_air += 1
            self.engine.after(self.chance.uniform(*DELIVERY), partial(delivery.if_alive, delivery.push))
