"""The simulator's batches as a port, in virtual time and without a socket: its own work and bill, our own readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from datetime import datetime, timedelta

import msgspec

from scripts.simulator.api.batches import BatchEndpoints
from scripts.simulator.engine.batch_work import lines_of
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.formats.reply import WrittenAnswer as SimulatorAnswer
from shared.adapters.gemini_batch.batch_lines import read_line, result_of, write_line
from shared.adapters.gemini_batch.batch_status import Operation, progress_of
from shared.adapters.payloads.answer_image import Elsewhere
from shared.core.lifecycle.batch import Progress, Result
from shared.core.provider.call import Order, Written
from shared.core.provider.failure import Failure, FailureKind
from shared.ports.clock import Clock


class SimulatedBatches:
    """The Batches port beside a `SimulatedLane`, on the same simulation."""

    def __init__(self, clock: Clock, simulation: Simulation) -> None:
        self._clock = clock
        self._simulation = simulation
        self._endpoint = BatchEndpoints(simulation)
        self._files = 0

    async def upload(self, display_name: str, orders: AsyncIterable[tuple[str, Order]]) -> str | Failure:
        self._files += 1
        name = f"files/in-{self._files}"
        file = self._simulation.files.add(name, display_name, "application/jsonl", self._clock.now())
        async for key, order in orders:
            file.write(write_line(key, order))
        file.is_whole = True
        return name if file.size else Failure(FailureKind.INVALID_REQUEST, "a file without requests is not sent")

    async def create(self, display_name: str, model: str, file: str, leave_within: timedelta) -> str | Failure:
        body = {"batch": {"displayName": display_name, "inputConfig": {"fileName": file}}}
        answer = await self._endpoint._create(model, msgspec.json.encode(body))
        assert isinstance(answer, SimulatorAnswer)
        assert answer.status == 200, answer.body
        return str(msgspec.json.decode(answer.body)["name"])

    async def find(self, display_name: str, since: datetime) -> str | Failure | None:
        jobs = self._simulation.jobs.values()
        return next((job.name for job in jobs if job.display_name == display_name), None)

    async def look(self, name: str) -> Progress | Failure:
        job = self._simulation.jobs[name]
        if job.work is not None:
            await asyncio.wait({job.work})
        body = msgspec.json.encode(job.to_json(self._clock.now()))
        return progress_of(msgspec.json.decode(body, type=Operation), self._clock.now())

    async def results(self, file: str, model: str, prompts: Mapping[str, Written]) -> AsyncIterator[Result]:
        return self._results(file, model, prompts)

    async def _results(self, file: str, model: str, prompts: Mapping[str, Written]) -> AsyncIterator[Result]:
        for line in await lines_of(self._simulation.files.whole(file)):
            parsed = read_line(line, model, self._clock.now())
            assert not isinstance(parsed.read, Elsewhere), "its images lie in the answer"
            yield result_of(parsed.key, parsed.read, prompts.get(parsed.key, ""), "AQ.test")

    async def cancel(self, name: str) -> None:
        self._simulation.jobs[name].cancelled_at = self._clock.now()

    async def close(self) -> None:
        pass
