"""Pub/Sub and Cloud Run in virtual time, where the emulators do not show them: windows, back-off, 429, dead letters.

Documented (https://cloud.google.com/pubsub/docs/push): a push window begins at a single-digit size, grows with each
acknowledgement and shrinks with each failure, up to 3,000; failures also stop the whole subscription for 0.1 to 60 s,
and five a second stop it for 30 to 60 s. The retry policy holds each failed message back besides. Cloud Run holds a
request for about ten seconds while it starts an instance, then answers 429 (https://cloud.google.com/run/docs/about-
instance-autoscaling).

Assumed, since no document says it: the window grows by one and halves at most once a second; the stop doubles with
each one that follows, and one acknowledgement after it takes it back by a step.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from random import Random

from msgspec import Struct

from scripts.virtual_time.engine import Engine
from scripts.virtual_time.models.fleet_model import DELIVERY, FIRST_PUSH_WINDOW, FleetModel, FleetSize, PushedDelivery
from scripts.virtual_time.models.provider_model import Provider

MOST_PUSH_WINDOW = 3000.0
SHORTEST_STOP, LONGEST_STOP = 0.1, 60.0
INSTANCE_START = (2.0, 4.0)
"""Seconds until a new instance takes a request: image, process and imports (scripts/bench/run coldstart)."""
PENDING_FOR = 10.0
"""Seconds for which Cloud Run keeps a request that has no instance."""
STORE_GONE = (0.1, 0.5)
"""Seconds until a worker answers 503 because its store does not answer."""


class DeliveryCounts(Struct):
    """What went wrong on the way to a worker."""

    failed: int = 0
    """Deliveries answered with 503."""
    refused: int = 0
    """Deliveries that Cloud Run answered with 429."""
    dead: int = 0
    """Messages that used up their deliveries."""
    stopped_seconds: float = 0.0
    """For which the subscription delivered nothing, by push back-off."""


class PubsubFleet(FleetModel):
    """Deliveries by push or pull, to instances that start when they are needed."""

    takes_back = True

    def __init__(self, engine: Engine, provider: Provider, size: FleetSize, chance: Random) -> None:
        super().__init__(engine, provider, size, chance)
        assert size.terms is not None
        self.terms = size.terms
        self.counts = DeliveryCounts()
        running = size.instances if self.terms.by == "pull" else self.terms.warm_instances
        self._room = [instance for instance in range(running) for _ in range(size.concurrency)]
        self._running, self._starting = running, 0
        self._pending: deque[PushedDelivery] = deque()
        """Pushed, and waiting for an instance."""
        self._window = float(FIRST_PUSH_WINDOW)
        self._halved_at = float("-inf")
        self._stop, self._stopped_until = SHORTEST_STOP, 0.0
        self._wakes = False
        self._attempts: dict[PushedDelivery, int] = {}
        self._coming = 0
        """Pulled, and not yet at their instance."""

    # -- Pub/Sub ------------------------------------------------------------------------------------------------------

    def _push(self) -> None:
        while self._waiting and self._may_deliver():
            delivery = self._waiting.popleft()  # a stale one too: only the store can say that it is
            self._in_the_air += 1
            self._coming += 1
            self.engine.after(self.chance.uniform(*DELIVERY), partial(self._reach, delivery))

    def _may_deliver(self) -> bool:
        if self.terms.by == "pull":
            return len(self._room) > self._coming
        if self.engine.now < self._stopped_until:
            if not self._wakes:
                self._wakes = True
                self.engine.at(self._stopped_until, self._awake)
            return False
        return self._in_the_air < int(self._window)

    def _awake(self) -> None:
        self._wakes = False
        self._push()

    def leave(self, delivery: PushedDelivery) -> None:
        """Acknowledged."""
        if not delivery.alive:
            return
        self._attempts.pop(delivery, None)
        self._window = min(self._window + 1, MOST_PUSH_WINDOW)
        self._stop = max(self._stop / 2, SHORTEST_STOP)
        self._out(delivery)

    def _out(self, delivery: PushedDelivery) -> None:
        delivery.alive = False
        del self._leased[delivery.instance][delivery]
        self._in_the_air -= 1
        self._room.append(delivery.instance)
        self._serve()
        self._push()

    def _not_acknowledged(self, delivery: PushedDelivery) -> None:
        """503 or 429: the message waits by the retry policy, and the whole subscription by push back-off."""
        now = self.engine.now
        if now - self._halved_at >= 1.0:
            self._window, self._halved_at = max(1.0, self._window / 2), now
        if self.terms.by == "push" and now >= self._stopped_until:
            self._stopped_until = now + self._stop
            self.counts.stopped_seconds += self._stop
            self._stop = min(self._stop * 2, LONGEST_STOP)
        number = self._attempts[delivery] = self._attempts.get(delivery, 0) + 1
        if number >= self.terms.most_deliveries:
            self.counts.dead += 1
            delivery.withdrawn = True
            return
        delivery.began = False
        rest = min(self.terms.shortest_backoff * 2 ** (number - 1), self.terms.longest_backoff)
        self.engine.after(rest, partial(self._publish_again, delivery))

    # -- Cloud Run ----------------------------------------------------------------------------------------------------

    def _reach(self, delivery: PushedDelivery) -> None:
        self._coming -= 1
        self._pending.append(delivery)
        self.engine.after(PENDING_FOR, partial(self._give_up, delivery))
        self._serve()

    def _serve(self) -> None:
        while self._pending and self._room:
            delivery = self._pending.popleft()
            pick = self.chance.randrange(len(self._room))
            self._room[pick], self._room[-1] = self._room[-1], self._room[pick]
            delivery.instance = self._room.pop()
            self._leased[delivery.instance][delivery] = None
            delivery.alive = True
            outage = self.terms.outage
            if outage is not None and outage[0] <= self.engine.now < outage[1]:
                self.engine.after(self.chance.uniform(*STORE_GONE), partial(self._fail, delivery))
            else:
                delivery.push()
        missing = -(-len(self._pending) // self.size.concurrency) - self._starting
        if self.terms.by == "push":
            for _ in range(min(missing, self.size.instances - self._running - self._starting)):
                self._starting += 1
                self.engine.after(self.chance.uniform(*INSTANCE_START), self._started)

    def _started(self) -> None:
        self._room += [self._running] * self.size.concurrency
        self._running += 1
        self._starting -= 1
        self._serve()
        self._push()

    def _give_up(self, delivery: PushedDelivery) -> None:
        if delivery in self._pending:
            self._pending.remove(delivery)
            self._in_the_air -= 1
            self.counts.refused += 1
            self._not_acknowledged(delivery)
            self._push()

    def _fail(self, delivery: PushedDelivery) -> None:
        self.counts.failed += 1
        self._out(delivery)
        self._not_acknowledged(delivery)

    def crash(self, instance: int) -> None:
        raise NotImplementedError("no scenario of deliveries kills an instance")
