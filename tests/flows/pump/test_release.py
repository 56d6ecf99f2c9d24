"""Handing out one grant: what the tick is told, and what it then does with budget and slot."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.admission.allocation import Grant
from shared.core.admission.tick import LostSlot
from shared.core.lifecycle.request_record import Head
from shared.core.values.documents import Create, Update
from shared.flows import tracing
from shared.flows.clock import ServerTime
from shared.flows.pump.release import OnRecord, RequestChanged, Turn, Unconfirmed, release
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable
from tests.builders import a_candidate, a_record, a_request
from tests.world import World


async def granted(world: World) -> tuple[Grant, Turn]:
    written = a_record(a_request(request_id="r-1"))
    created = await world.store.commit(Create("requests/r-1", written))
    candidate = a_candidate("r-1")
    head = Head.of("r-1", created.versions[0], written)  # type: ignore[union-attr]
    now = world.clock.now()
    candidate = replace(candidate, head=head)
    grant = Grant(candidate, now + timedelta(seconds=1), now + timedelta(seconds=2))
    return grant, Turn(tracing.begun(world.ports), now, ServerTime(world.clock, now))


async def test_a_grant_that_is_on_record_and_published_is_handed_out() -> None:
    world = World()
    grant, turn = await granted(world)
    assert await release(world.ports, grant, turn) == OnRecord()
    assert world.status()["status"] == "released"


async def test_a_store_that_does_not_say_leaves_it_unsure_and_publishes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    grant, turn = await granted(world)

    async def away(*_: Any) -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(world.store, "commit", away)
    assert await release(world.ports, grant, turn) == Unconfirmed()
    assert world.topics.on("render-releases") == []


async def test_a_release_that_is_on_record_is_handed_out_though_its_message_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its reservation stands with it: unsure would reserve it once more."""
    world = World()
    grant, turn = await granted(world)

    async def away(*_: Any) -> Any:
        raise TopicsUnavailable("away")

    monkeypatch.setattr(world.topics, "publish", away)
    assert await release(world.ports, grant, turn) == OnRecord()
    assert world.status()["status"] == "released"


async def test_a_request_that_was_changed_meanwhile_gives_its_slot_back() -> None:
    world = World()
    grant, turn = await granted(world)
    request = world.request()
    await world.store.commit(Update(request.path, {"updated_at": world.clock.now()}, request.version))
    result = await release(world.ports, grant, turn)
    assert isinstance(result, RequestChanged)
    assert result.slot == LostSlot.of(grant.candidate, grant.slot_at)
