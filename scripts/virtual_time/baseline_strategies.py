"""The usual strategies, as their users have them: each request's own handler calls, waits and calls again.

Nobody leads: a message is delivered where there is room, and its delivery keeps the room through all waits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Protocol

import tenacity

from scripts.virtual_time.models.fleet_model import PushedDelivery
from scripts.virtual_time.models.provider_reply import (
    Answer,
    DayFull,
    ImageReply,
    MinuteFull,
    Overloaded,
    Rejection,
    Unexplained,
)
from scripts.virtual_time.rate_gates import CounterDocument, Gate, InstanceBucket, open_gate
from scripts.virtual_time.request import ModelledRequest
from scripts.virtual_time.run import Strategy, World


class Patience(Protocol):
    """How long a handler waits after a rejection."""

    def wait(self, calls: int, rejection: Rejection, chance: Random) -> float | None:
        """Seconds until the next call, after so many calls; None gives the request up."""


class Tenacity:
    """A policy of the tenacity library, asked as `Retrying` asks it."""

    def __init__(self, wait: tenacity.wait.wait_base, stop: tenacity.stop.stop_base) -> None:
        self._wait = wait
        self._stop = stop
        self._state = tenacity.RetryCallState(tenacity.Retrying(wait=wait, stop=stop), None, (), {})

    def wait(self, calls: int, rejection: Rejection, chance: Random) -> float | None:
        """The library draws from the interpreter's own generator, which `Usual.begin` has seeded."""
        self._state.attempt_number = calls
        return None if self._stop(self._state) else self._wait(self._state)


class GoogleGenai:
    """google-genai 3.4 as it comes, for interactions.

    Its defaults stand in `google/genai/_gaos/google_genai.py` (`_DEFAULT_INITIAL_INTERVAL_MS`, `_DEFAULT_EXPONENT`,
    `_DEFAULT_MAX_INTERVAL_MS`) and `google/genai/_api_client.py` (`_RETRY_ATTEMPTS`), the quarter of jitter in
    `google/genai/_gaos/utils/retries.py`. RetryInfo in a body is not read, and the API sends no Retry-After header.
    """

    ATTEMPTS = 5
    FIRST = 0.5
    """Seconds."""
    BASE = 2
    LONGEST = 8.0
    """Seconds."""
    JITTER = 0.25
    """The share of a wait that chance may take off."""

    def wait(self, calls: int, rejection: Rejection, chance: Random) -> float | None:
        if calls >= self.ATTEMPTS:
            return None
        seconds = self.FIRST * float(self.BASE ** (calls - 1)) * (1 - chance.random() * self.JITTER)
        return min(seconds, self.LONGEST)


class RetryAfter:
    """Waits as long as the rejection says, any number of times, and at least what full jitter would.

    A server that refills evenly tells everybody the same few milliseconds: taken at its word alone, the handlers would
    ask a hundred times as often.
    """

    def __init__(self) -> None:
        self._at_least = Tenacity(tenacity.wait_random_exponential(multiplier=1, max=60), tenacity.stop_never)

    def wait(self, calls: int, rejection: Rejection, chance: Random) -> float | None:
        at_least = self._at_least.wait(calls, rejection, chance) or 0.0
        match rejection:
            case MinuteFull(retry_after=float(seconds)) | DayFull(retry_after=seconds):
                return max(seconds, at_least)
            case MinuteFull() | Unexplained() | Overloaded():
                return at_least


def full_jitter() -> Tenacity:
    """What tenacity's documentation and most blog posts advise, with ten attempts."""
    return Tenacity(tenacity.wait_random_exponential(multiplier=1, max=60), tenacity.stop_after_attempt(10))


class Usual:
    """A handler: through the gate, call, and after a rejection again as long as there is patience."""

    def __init__(self, patience: Patience, gate: Callable[[World], Gate] = open_gate) -> None:
        self._patience = patience
        self._new_gate = gate

    def begin(self, world: World) -> None:
        self._world = world
        self._gate = self._new_gate(world)
        random.seed(f"{world.seed}:tenacity")

    def arrive(self, request: ModelledRequest) -> None:
        self._world.fleet.deliver(request, partial(self._call, 1))

    def crash(self) -> None:
        self._world.fleet.crash(0)

    def _call(self, number: int, delivery: PushedDelivery) -> None:
        self._gate(delivery, partial(delivery.call, partial(self._answered, number, delivery)))

    def _answered(self, number: int, delivery: PushedDelivery, answer: Answer) -> None:
        match answer:
            case ImageReply():
                self._world.succeed(delivery.request)
                delivery.done()
            case _:
                seconds = self._patience.wait(number, answer, self._world.chance)
                if seconds is None:
                    self._world.lose(delivery.request)
                    delivery.done()
                else:
                    delivery.after(seconds, partial(self._call, number + 1, delivery))


USUAL: Mapping[str, Callable[[], Strategy]] = {
    "full jitter": lambda: Usual(full_jitter()),
    "google-genai": lambda: Usual(GoogleGenai()),
    "Retry-After": lambda: Usual(RetryAfter()),
    "static bucket": lambda: Usual(full_jitter(), InstanceBucket),
    "minute counter": lambda: Usual(full_jitter(), CounterDocument),
}
"""By the name that tables show."""
