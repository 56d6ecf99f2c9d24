"""A provider of batches in virtual time: it takes what it is given, bills what it makes, and fails as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.core.lifecycle.batch import Progress, Result
from shared.core.provider.call import Answer, Made, Order, Written
from shared.core.provider.failure import Failure, FailureKind
from shared.core.records.batch import ProviderState
from shared.ports.clock import Clock
from shared.ports.lanes import ResultsUnavailable
from tests.fakes.lane import made

A_LINE = 0.01
"""Seconds for one line, up or down."""


def made_in_batch(order: Order) -> Made:
    return replace(made(order), lane="batch")


@dataclass
class Job:
    """One batch as the provider has it."""

    name: str
    display_name: str
    model: str
    orders: list[tuple[str, Order]]
    created_at: datetime
    cancelled: bool = False
    lines: list[Result] = field(default_factory=list)
    """What it made, as soon as it is over."""


class ScriptedBatches:
    """Each batch ends as `ends_as` after `takes`; its answers are what `answers` makes of the orders."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.takes = timedelta(minutes=20)
        self.ends_as: ProviderState = "succeeded"
        self.answers: Callable[[str, Order], list[Result]] = lambda key, order: [Result(key, made_in_batch(order))]
        self.files: dict[str, list[tuple[str, Order]]] = {}
        self.jobs: list[Job] = []
        self.creates = 0
        """Calls of `create` that left."""
        self.refusals: dict[str, list[Failure]] = {}
        """How the next calls of a verb end, by its name: nothing happens at the provider."""
        self.refuses: Callable[[list[tuple[str, Order]]], Failure | None] = lambda _orders: None
        """How a create ends for what is in its file."""
        self.lost_replies: list[Failure] = []
        """How the next creates seem to end although they made their batch."""
        self.listed_after = timedelta(0)
        """A new batch shows in the list only so long after."""
        self.deaf = False
        """It does not stop what is cancelled."""
        self.breaks_after: int | None = None
        """The next download breaks off after so many lines."""

    async def upload(self, display_name: str, orders: AsyncIterable[tuple[str, Order]]) -> str | Failure:
        taken = []
        async for order in orders:
            taken.append(order)
            await self._clock.sleep(A_LINE)
        if not taken:
            return Failure(FailureKind.INVALID_REQUEST, "a file without requests is not sent")
        if failure := self._refusal("upload"):
            return failure
        name = f"files/in-{len(self.files) + 1}"
        self.files[name] = taken
        return name

    async def create(self, display_name: str, model: str, file: str, leave_within: timedelta) -> str | Failure:
        await asyncio.sleep(0)
        if failure := self._refusal("create") or self.refuses(self.files[file]):
            return failure
        self.creates += 1
        name = f"batches/{len(self.jobs) + 1}"
        self.jobs.append(Job(name, display_name, model, self.files[file], self._clock.now()))
        return self.lost_replies.pop(0) if self.lost_replies else name

    async def find(self, display_name: str, since: datetime) -> str | Failure | None:
        await asyncio.sleep(0)
        if failure := self._refusal("find"):
            return failure
        listed = [job for job in self.jobs if self._clock.now() - job.created_at >= self.listed_after]
        names = [job.name for job in listed if job.display_name == display_name and job.created_at >= since]
        return names[0] if names else None

    async def look(self, name: str) -> Progress | Failure:
        await asyncio.sleep(0)
        if failure := self._refusal("look"):
            return failure
        job = next(item for item in self.jobs if item.name == name)
        if job.cancelled and not self.deaf:
            return Progress("cancelled")
        if self._clock.now() - job.created_at < self.takes:
            return Progress("running")
        if self.ends_as in ("succeeded", "cancelled") and not job.lines:
            job.lines = [line for key, order in job.orders for line in self.answers(key, order)]
        failure = Failure(FailureKind.SERVER_ERROR, "a scripted failure") if self.ends_as == "failed" else None
        return Progress(self.ends_as, len(job.orders), name if job.lines else None, failure)

    async def results(self, file: str, model: str, prompts: Mapping[str, Written]) -> AsyncIterator[Result]:
        await asyncio.sleep(0)
        return self._lines(next(job for job in self.jobs if job.name == file))

    async def _lines(self, job: Job) -> AsyncIterator[Result]:
        breaks_after, self.breaks_after = self.breaks_after, None
        for number, line in enumerate(job.lines):
            if number == breaks_after:
                raise ResultsUnavailable(Failure(FailureKind.CONNECTION_LOST, "a scripted break"))
            yield line
            await self._clock.sleep(A_LINE)

    async def cancel(self, name: str) -> None:
        await asyncio.sleep(0)
        next(job for job in self.jobs if job.name == name).cancelled = True

    async def close(self) -> None:
        pass

    def _refusal(self, verb: str) -> Failure | None:
        waiting = self.refusals.get(verb, [])
        return waiting.pop(0) if waiting else None

    @property
    def answered(self) -> list[Answer]:
        """What the provider answered, and bills where it is an image."""
        return [line.answer for job in self.jobs for line in job.lines]
