"""The simulator as a lane, in virtual time and without a socket: its own story of a call and bill, our own reader."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from scripts.simulator import call
from scripts.simulator.answer import Answer as SimulatorAnswer
from scripts.simulator.answer import Cut, Hang, Reset
from scripts.simulator.drawing import Painter, Scene, draw, measure
from scripts.simulator.faults import Fault
from scripts.simulator.routes import InteractionRequest
from scripts.simulator.simulation import Simulation
from shared.adapters import gemini_errors
from shared.adapters.gemini_answer import read_answer
from shared.adapters.gemini_lane import body_of
from shared.core.answer import Answer, Order
from shared.core.failure import Failure, FailureKind
from shared.ports import Clock


class InlinePainter(Painter):
    """Draws each size once, in the loop: threads know nothing of virtual time."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[int, int], bytes] = {}

    async def paint(self, scene: Scene) -> bytes:
        pixels = (scene.width, scene.height)
        if pixels not in self._drawn:
            self._drawn[pixels] = draw(Scene("a picture", "SIMULATED", *pixels))
        return self._drawn[pixels]

    async def measure(self, image: bytes) -> tuple[int, int]:
        return measure(image)

    def close(self) -> None:
        pass


class SimulatedLane:
    """Every lane of Google's. What the wire would do to an answer is done here."""

    def __init__(self, clock: Clock, seed: int = 1, latency: str = "fixed:8") -> None:
        self._clock = clock
        self.simulation = Simulation(
            latency=latency, seed=seed, now=clock.now, monotonic=clock.monotonic, sleep=clock.sleep
        )
        self.simulation.painter.close()
        self.simulation.painter = InlinePainter()

    def script(self, *faults: Fault) -> None:
        self.simulation.set_faults(faults)

    async def prepare(self) -> None:
        pass

    async def generate(self, order: Order, timeout: timedelta, leave_within: timedelta) -> Answer:
        request = InteractionRequest(key="AQ.test", body=body_of(order), resumed=None, form=self.simulation.error_form)
        answering = asyncio.ensure_future(call.take(self.simulation, request, lambda: False))
        alarm = asyncio.ensure_future(self._clock.sleep(timeout.total_seconds()))
        await asyncio.wait({answering, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():  # the provider goes on, and bills
            return Failure(FailureKind.TIMEOUT, "no answer in time")
        match answering.result():
            case SimulatorAnswer(status, body, headers):
                alarm.cancel()
                lower = {name.lower(): value for name, value in headers.items()}
                if status != 200:
                    return gemini_errors.read_failure(status, lower, body, self._clock.now())
                return read_answer(bytearray(body), order, lower, self._clock.now())
            case Cut():
                alarm.cancel()
                return Failure(FailureKind.CONNECTION_LOST, "the connection broke", http_status=200)
            case Reset():
                alarm.cancel()
                return Failure(FailureKind.CONNECTION_LOST, "the connection broke")
            case Hang():
                await alarm
                return Failure(FailureKind.TIMEOUT, "no answer in time")

    async def close(self) -> None:
        self.simulation.close()
