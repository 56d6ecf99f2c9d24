"""Places of calls that wait: event streams, and GETs with `?wait=`. Each reads the store every other second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from functions.api.problems import ProblemAnswer
from shared.core.validation.shapes import Problem

MOST = 500
"""Of one process."""
MOST_IN_THE_CLOUD = 200
"""Fewer than Cloud Run sends to one instance (terraform/api.tf): calls that do not wait still get through."""


class Places:
    """A tenant may hold as many as are free: one alone has half of them, and the next one finds some."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def take(self, tenant: str) -> None:
        """Raises ProblemAnswer. What is taken is given back with `leave`."""
        taken, free = self._taken[tenant], self._most - self._taken.total()
        if taken >= free:
            problem = Problem(
                "waiting calls",
                f"{taken} of this tenant in this process, and {free} free places",
                f"at most as many as are free of {self._most}, events and ?wait= together",
                "Try again in a second, or GET the request without waiting.",
            )
            raise ProblemAnswer.of_field(429, problem, headers={"retry-after": "1"})
        self._taken[tenant] += 1

    def leave(self, tenant: str) -> None:
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]

    @contextmanager
    def place(self, tenant: str) -> Iterator[None]:
        """Raises ProblemAnswer."""
        self.take(tenant)
        try:
            yield
        finally:
            self.leave(tenant)


class StreamInPlace(StreamingResponse):
    """A stream whose place was taken: it is left when the answer ends, also where the stream was never begun."""

    places: Places
    tenant: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.places.leave(self.tenant)
