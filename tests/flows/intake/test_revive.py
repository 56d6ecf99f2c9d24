"""A request that ended is published again under a new id: once, with the same content, through intake."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.core.messages.topics import RENDER_REQUESTS
from shared.core.observability import events, spans
from shared.core.provider.failure import FailureKind
from shared.core.records.request import RequestRecord
from shared.core.values.documents import Create, Delete, Update
from shared.flows.intake.intake import cancel
from shared.flows.intake.revive import ReviveRefused, revive, revive_with
from shared.flows.tracing import root_of
from shared.ports.messaging import TopicsUnavailable
from tests.world import World


async def a_failed(**fields: Any) -> World:
    """`r-1` has failed; the lane is well again."""
    world = World()
    world.lane.then(FailureKind.INVALID_REQUEST)
    await world.submit("r-1", **fields)
    await world.run_until_quiet()
    assert world.status()["status"] == "failed", world.status()["outcome"]
    return world


async def test_a_failed_request_is_rendered_under_a_new_id_and_the_two_name_each_other() -> None:
    world = await a_failed(tenant="web", labels={"campaign": "spring"}, group="spring")
    cost_before = world.status()["cost_micros"]
    assert await world.run(revive(world.ports, "web~r-1", "ann")) == "r-1-r2"
    await world.run_until_quiet()
    old, new = world.status("r-1"), world.status("r-1-r2")
    assert (old["status"], old["revived_as"], old["revived_by"]) == ("failed", "r-1-r2", "ann")
    assert old["cost_micros"] == cost_before
    assert (new["status"], new["revives"], new["tenant"], new["group"]) == ("succeeded", "r-1", "web", "spring")
    assert new["request"] == old["request"] | {"request_id": "r-1-r2"}
    (event,) = world.results("r-1-r2")
    assert (event["revives"], event["labels"]) == ("r-1", {"campaign": "spring"})
    assert [result["revives"] for result in world.results("r-1")] == [None]


async def test_reviving_twice_makes_one_request_and_pays_once() -> None:
    world = await a_failed()
    first = await world.run(revive(world.ports, "r-1", "ann"))
    assert await world.run(revive(world.ports, "r-1", "bob")) == first  # before intake has seen it
    await world.run_until_quiet()
    again = await world.run(revive_with(world.ports, "r-1", "bob"))
    assert (again.request_id, again.before) == (first, True)
    await world.run_until_quiet()
    assert len(world.statuses()) == 2
    assert len(world.attempts(first)) == 1
    assert world.status("r-1")["revived_by"] == "ann"


async def test_a_revival_that_failed_is_revived_as_the_next_one() -> None:
    world = await a_failed()
    world.lane.then(FailureKind.INVALID_REQUEST)
    await world.run(revive(world.ports, "r-1", "ann"))
    await world.run_until_quiet()
    assert await world.run(revive(world.ports, "r-1-r2", "ann")) == "r-1-r3"
    await world.run_until_quiet()
    assert world.statuses() == {"r-1": "failed", "r-1-r2": "failed", "r-1-r3": "succeeded"}
    assert world.status("r-1-r3")["revives"] == "r-1-r2"


async def test_an_id_that_somebody_else_has_is_passed_over() -> None:
    world = await a_failed()
    await world.submit("r-1-r2", prompt="quite another picture")
    await world.run_until_quiet()
    assert await world.run(revive(world.ports, "r-1", "ann")) == "r-1-r3"
    await world.run_until_quiet()
    assert world.status("r-1-r2")["revives"] is None
    assert world.status("r-1-r3")["revives"] == "r-1"


async def test_what_was_asked_for_comes_back_and_not_the_route_it_had_stepped_down_to() -> None:
    world = await a_failed(model="nano-banana-pro", image_size="2K")
    old = world.request()
    lower = {"lane": "standard", "model": "gemini-3.1-flash-image", "image_size": "1K"}
    await world.run(world.store.commit(Update(old.path, {"route": lower, "model": lower["model"]}, old.version)))
    new_id = await world.run(revive(world.ports, "r-1", "ann"))
    await world.run_until_quiet()
    assert world.status(new_id)["route"] == {"lane": "standard", "model": "gemini-3-pro-image", "image_size": "2K"}
    assert world.status(new_id)["request"]["model"] == "nano-banana-pro"


async def test_an_expired_request_comes_back_without_its_deadline_or_with_a_new_one() -> None:
    world = World()
    passed = (world.clock.now() - timedelta(hours=1)).isoformat()
    await world.submit("r-1", deadline=passed)
    await world.submit("r-2", deadline=passed)
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"expired"}
    revived = await world.run(revive_with(world.ports, "r-1", "ann"))
    assert "deadline" in revived.notes[0]
    soon = world.clock.now() + timedelta(hours=1)
    given = await world.run(revive_with(world.ports, "r-2", "ann", deadline=soon))
    assert given.notes == ()
    await world.run_until_quiet()
    assert world.status(revived.request_id)["deadline"] is None
    assert world.status(given.request_id)["deadline"] == soon
    assert {world.status(item.request_id)["status"] for item in (revived, given)} == {"succeeded"}


async def test_a_deadline_to_come_is_kept_and_one_that_has_passed_is_refused() -> None:
    later = World().clock.now() + timedelta(hours=5)
    world = await a_failed(deadline=later.isoformat())
    with pytest.raises(ReviveRefused) as refused:
        await world.run(revive_with(world.ports, "r-1", "ann", deadline=world.clock.now()))
    assert refused.value.field == "deadline"
    assert world.status()["revived_as"] is None
    new_id = await world.run(revive(world.ports, "r-1", "ann"))
    await world.run_until_quiet()
    assert world.status(new_id)["deadline"] == later


async def test_a_cancelled_request_and_a_refused_one_may_be_revived_by_their_id() -> None:
    world = World()
    world.lane.then(FailureKind.REFUSED)
    await world.submit("no")
    await world.publish({"cancel": "gone"})
    await world.submit("gone")
    await world.run_until_quiet()
    assert world.statuses() == {"no": "refused", "gone": "cancelled"}
    for item in ("no", "gone"):
        await world.run(revive(world.ports, item, "ann"))
    await world.run_until_quiet()
    assert world.statuses() | {"no-r2": "succeeded", "gone-r2": "succeeded"} == world.statuses()


async def test_what_succeeded_and_what_still_lives_is_refused_with_the_remedy() -> None:
    world = World()
    await world.submit("done")
    await world.run_until_quiet()
    with pytest.raises(ReviveRefused) as refused:
        await world.run(revive(world.ports, "done", "ann"))
    assert (refused.value.field, refused.value.found) == ("status", "succeeded")
    assert "failed" in refused.value.allowed
    assert "escalates" in refused.value.remedy
    await world.submit("waits")
    published = len(world.topics.on(RENDER_REQUESTS))
    with pytest.raises(ReviveRefused, match="30 days"):
        await world.run(revive(world.ports, "waits", "ann"))  # nobody has taken it in yet
    assert len(world.topics.on(RENDER_REQUESTS)) == published


async def test_a_publish_that_fails_is_made_good_by_reviving_again() -> None:
    world = await a_failed()
    publish = world.topics.publish

    async def unavailable(*_: Any) -> str:
        raise TopicsUnavailable("away")

    world.topics.publish = unavailable  # type: ignore[method-assign,assignment]
    with pytest.raises(TopicsUnavailable):
        await world.run(revive(world.ports, "r-1", "ann"))
    world.topics.publish = publish  # type: ignore[method-assign]
    assert world.status()["revived_as"] == "r-1-r2"
    assert await world.run(revive(world.ports, "r-1", "bob")) == "r-1-r2"
    await world.run_until_quiet()
    assert world.statuses() == {"r-1": "failed", "r-1-r2": "succeeded"}


async def test_the_new_trace_is_linked_to_the_old_one() -> None:
    world = await a_failed()
    new_id = await world.run(revive(world.ports, "r-1", "ann"))
    await world.run_until_quiet()
    old, new = world.status("r-1"), world.status(new_id)
    assert old["trace_id"] != new["trace_id"]
    (intake,) = (
        span for span in world.signals.spans if span.stage is spans.INTAKE and span.fields["request_id"] == new_id
    )
    assert intake.links == (root_of(RequestRecord.from_json(old)),)
    assert intake.place.trace_id == new["trace_id"]


async def test_an_attribute_alone_ties_nothing_together() -> None:
    """Any publisher could write it: the old request must have been marked for this one."""
    world = await a_failed()
    await world.publish({"request_id": "other", "prompt": "a lighthouse"}, revives="r-1")
    await world.publish({"request_id": "another", "prompt": "a lighthouse"}, revives="nobody")
    await world.publish({"request_id": "a-third", "prompt": "a lighthouse"}, revives="r-1/attempts/0001")
    await world.run_until_quiet()
    assert [world.status(item)["revives"] for item in ("other", "another", "a-third")] == [None] * 3


async def test_the_event_names_who_did_it() -> None:
    world = await a_failed()
    await world.run(revive(world.ports, "r-1", "ann"))
    (event,) = world.signals.of(events.REVIVED)
    assert (event["request_id"], event["revived_as"], event["actor"]) == ("r-1", "r-1-r2", "ann")


async def test_a_request_of_an_earlier_version_can_be_revived() -> None:
    """Its document has none of the fields that tie two requests together."""
    world = await a_failed()
    old = world.request()
    kept = {name: value for name, value in old.data.items() if not name.startswith("reviv")}
    await world.run(world.store.commit(Delete(old.path, old.version)))
    await world.run(world.store.commit(Create(old.path, kept)))
    assert await world.run(revive(world.ports, "r-1", "ann")) == "r-1-r2"


async def test_a_cancellation_of_the_old_one_does_not_reach_the_new_one() -> None:
    world = await a_failed()
    new_id = await world.run(revive(world.ports, "r-1", "ann"))
    await world.run(cancel(world.ports, "default", "r-1"))
    await world.run_until_quiet()
    assert world.status(new_id)["status"] == "succeeded"
