"""A probe of a closed route that is made in the background: its end is heard of at once."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.core.observability import events
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from tests.flows.collect.worlds import a_world, with_webhooks
from tests.world import World

PRO = "gemini-3-pro-image"
SECOND = timedelta(seconds=1)


async def test_the_pump_hears_of_a_good_probe_when_its_interaction_has_ended_and_not_a_tick_later() -> None:
    world = with_webhooks(a_world(latency=SECOND))
    begins = world.clock.now() + 20 * SECOND
    ends = begins + 14 * SECOND

    def sick(order: Order, now: datetime) -> Failure | None:
        is_sick = order.model == PRO and begins <= now < ends
        return Failure(FailureKind.OVERLOAD, "the model is overloaded") if is_sick else None

    world.lane.sick = sick
    await world.run_for(50 * SECOND, steady(world))
    probed = [moment(signal["slot_at"]) for signal in world.signals.of(events.BREAKER_PROBED)]
    history = world.store.all("flag_history")
    reset: datetime = next(document.data["at"] for document in history if document.data["action"] == "reset")
    assert len(probed) >= 2
    assert probed[0] >= ends, "the first that was made went well"
    assert probed[1] - probed[0] < 1.8 * SECOND, "a second of the model, and a wake-up"
    assert reset - probed[0] < 4 * SECOND


def moment(value: object) -> datetime:
    assert isinstance(value, datetime)
    return value


async def steady(world: World) -> None:
    for number in range(180):
        await world.submit(f"r-{number:03d}", model=PRO)
        await world.clock.sleep(0.25)
