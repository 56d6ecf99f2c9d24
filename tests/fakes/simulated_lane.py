"""The simulator as lanes, in virtual time and without a socket: its own story of a call and bill, our own readers."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from scripts.simulator.api.gateway import OpenAiRequest
from scripts.simulator.api.routes import InteractionRequest
from scripts.simulator.engine import call
from scripts.simulator.engine.call import ReceivedCall
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.formats.reply import Cut, Hang, Reset
from scripts.simulator.formats.reply import WrittenAnswer as SimulatorAnswer
from scripts.simulator.provider.drawing import Painter, PictureContent, draw, measure
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.tariff import Tariff
from shared.adapters.gateway import openai_response
from shared.adapters.gemini.interactions_lane import body_of
from shared.adapters.gemini.interactions_response import read_answer
from shared.adapters.gemini_errors import errors
from shared.adapters.payloads.answer_image import Elsewhere
from shared.core.provider.call import Answer, Order
from shared.core.provider.failure import Failure, FailureKind
from shared.ports.clock import Clock
from shared.ports.lanes import AtSlot


class InlinePainter(Painter):
    """Draws each size once, in the loop: threads know nothing of virtual time."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[int, int], bytes] = {}

    async def paint(self, scene: PictureContent) -> bytes:
        pixels = (scene.width, scene.height)
        if pixels not in self._drawn:
            self._drawn[pixels] = draw(PictureContent("a picture", "SIMULATED", *pixels))
        return self._drawn[pixels]

    async def measure(self, image: bytes) -> tuple[int, int]:
        return measure(image)

    def close(self) -> None:
        pass


def a_simulation(clock: Clock, seed: int = 1, latency: str = "fixed:8", tariff: Tariff | None = None) -> Simulation:
    """A provider in virtual time."""
    simulation = Simulation(
        latency=latency, seed=seed, tariff=tariff, now=clock.now, monotonic=clock.monotonic, sleep=clock.sleep
    )
    simulation.painter.close()
    simulation.painter = InlinePainter()
    return simulation


class SimulatedLane:
    """Every lane of Google's that answers at once. What the wire would do to an answer is done here."""

    def __init__(self, clock: Clock, simulation: Simulation | None = None) -> None:
        self._clock = clock
        self.simulation = simulation or a_simulation(clock)

    def script(self, *faults: Fault) -> None:
        self.simulation.set_faults(faults)

    async def prepare(self) -> None:
        pass

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        if await at_slot() < timedelta(0):
            return Failure(FailureKind.LATE, "the call could not leave within its slot")
        answering = asyncio.ensure_future(call.take(self.simulation, self._request(order), lambda: False))
        alarm = asyncio.ensure_future(self._clock.sleep(timeout.total_seconds()))
        await asyncio.wait({answering, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():  # the provider goes on, and bills
            return Failure(FailureKind.TIMEOUT, "no answer in time")
        match answering.result():
            case SimulatorAnswer(status, body, headers):
                alarm.cancel()
                lower = {name.lower(): value for name, value in headers.items()}
                if status != 200:
                    return errors.read_failure(status, lower, body, self._clock.now())
                return self._read(body, order, lower)
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

    def _request(self, order: Order) -> ReceivedCall:
        return InteractionRequest(key="AQ.test", body=body_of(order), resumed=None, form=self.simulation.error_form)

    def _read(self, body: bytes, order: Order, headers: dict[str, str]) -> Answer:
        answer = read_answer(bytearray(body), order, headers, self._clock.now())
        assert not isinstance(answer, Elsewhere), "its images lie in the answer"
        return answer


class SimulatedGateway(SimulatedLane):
    """A provider gateway in its chat form, with a bill of its own."""

    def __init__(self, clock: Clock) -> None:
        self._tariff = Tariff()
        super().__init__(clock, a_simulation(clock, seed=2, tariff=self._tariff))

    def _request(self, order: Order) -> ReceivedCall:
        body = openai_response.chat_body(order)
        return OpenAiRequest("sk-test", body, "chat", self._tariff, base_url="http://gateway.example")

    def _read(self, body: bytes, order: Order, headers: dict[str, str]) -> Answer:
        chat = openai_response.read_chat(body, order, headers, self._clock.now())
        assert not isinstance(chat, Elsewhere), "its images lie in the answer"
        return chat
