"""Rubbish on an inner topic is refused as a bad message or does nothing: no crash, no call, no cent."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.messages.pubsub_messages import Arrival, BadMessage, BatchArrival, Kick, ReleaseMessage
from shared.core.messages.topics import DEAD_LETTER_SOURCE, SUBSCRIPTIONS
from shared.flows.collect.collect import collect
from shared.flows.render.render import render
from shared.flows.requests.message import Message
from shared.flows.upkeep.dead_letters import bury
from shared.flows.webhooks.deliver import deliver
from tests.chaos.chaos_world import ChaosWorld
from tests.chaos.reader import Reader

ODD = ("r-1", "../x", "", "\ud800", "a/b", "__x__", ".", "x" * 3000, 10**30, -1, "2026-11-22T18:00:00Z")
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(("r-1", "../x", "")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
REAL = (
    ReleaseMessage("r-1", 1).to_bytes(),
    ReleaseMessage("web~r-1", 7).to_bytes(),
    Arrival("v1_r-1_1", "r-1", 1).to_bytes(),
    Arrival("v1_r-1_1").to_bytes(),
    BatchArrival("batches/1").to_bytes(),
    Kick(frozenset({"gemini-3-pro-image/normal"})).to_bytes(),
    b'{"delivery": "x"}',
    b'{"request_id": "r-1", "status": "succeeded", "tenant": "default", "finished_at": "2026-11-22T18:00:00Z"}',
    b'{"request_id": "r-1", "status": "rejected"}',
)
NAMES = ("request_id", "release", "interaction_id", "attempt", "batch", "queues", "delivery", "status", "tenant",
         "finished_at")  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Real messages with a member changed or cut off, members that fit nowhere, and noise."""
    match draw(st.sampled_from(("changed", "cut", "made up", "noise", "deep"))):
        case "changed":
            payload = json.loads(draw(st.sampled_from(REAL)))
            payload[draw(st.sampled_from((*payload, *NAMES)))] = draw(values)
            return json.dumps(payload).encode()
        case "cut":
            body = draw(st.sampled_from(REAL))
            return body[: draw(st.integers(0, len(body)))]
        case "made up":
            return json.dumps(draw(st.dictionaries(st.sampled_from(NAMES), values, max_size=4) | values)).encode()
        case "deep":
            return b'{"request_id":' + b"[" * 100_000
        case _:
            return draw(st.binary(max_size=40))


@pytest.mark.parametrize("function", ["pump", "render", "collect", "deliver", "bury"])
@settings(max_examples=60)
@given(
    body=bodies(),
    source=st.sampled_from([*(subscription.name for subscription in SUBSCRIPTIONS), "", "projects/p/x", "é\n"]),
)
def test_rubbish_on_an_inner_topic_changes_nothing_and_raises_nothing_but_bad_message(
    function: str, body: bytes, source: str
) -> None:
    async def story() -> None:
        world = _one_done()
        await world.submit("r-1")
        await world.run_until_quiet()
        reader = Reader(world)
        calls = len(world.lane.calls)
        message = Message("m-1", body, {DEAD_LETTER_SOURCE: source})
        try:
            await world.run(_handled(world, function, message))
        except BadMessage:
            pass
        await world.run_until_quiet(timedelta(minutes=5))
        reader.at_the_end()
        if function != "bury" or source != "render-requests-intake":
            assert len(world.lane.calls) == calls

    asyncio.run(story())


def _one_done() -> ChaosWorld:
    return ChaosWorld()


async def _handled(world: ChaosWorld, function: str, message: Message) -> None:
    match function:
        case "pump":
            await world.pump.kicked(Kick.parse(message.data).queues)
        case "render":
            await render(world.ports, world.kicks, world.evidence, message)
        case "collect":
            await collect(world.ports, world.kicks, world.collector, message)
        case "deliver":
            await deliver(world.ports, world.room, message)
        case _:
            await bury(world.ports, world.kicks, world.tags, world.evidence, world.room, message)
