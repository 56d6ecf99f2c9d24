"""A tenant is a boundary: knowing an id of another tenant helps nobody to take, end, spoil or read its request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.core.accounting import budget
from shared.core.lifecycle import request_record
from shared.core.lifecycle.revival import ATTRIBUTE
from shared.core.messages.request_key import is_key
from shared.core.provider.failure import FailureKind
from shared.core.values.documents import Create
from shared.flows.intake.revive import revive
from tests.builders import a_record, a_request
from tests.world import World


def keys(world: World) -> dict[str, str]:
    """Status by key."""
    return {row.id: row.data["status"] for row in world.store.all("requests")}


async def test_the_same_id_of_two_tenants_is_two_requests_with_two_results() -> None:
    world = World()
    await world.submit("hero", tenant="web", prompt="a lighthouse")
    await world.submit("hero", tenant="shop", prompt="a cat")
    await world.submit("hero", prompt="a dog")
    await world.run_until_quiet()
    assert keys(world) == {"web~hero": "succeeded", "shop~hero": "succeeded", "hero": "succeeded"}
    assert sorted((row["tenant"], row["request_id"]) for row in world.results()) == [
        ("default", "hero"), ("shop", "hero"), ("web", "hero"),
    ]  # fmt: skip
    assert len({row["image_uri"] for row in world.results()}) == 3
    assert {row["image_uri"].split("/")[2] for row in world.results()} == {"web", "shop", "default"}


async def test_an_id_cannot_be_taken_before_its_owner_uses_it() -> None:
    world = World()
    await world.submit("hero", tenant="evil", prompt="something else")
    await world.submit("hero", tenant="web", prompt="a lighthouse")
    await world.run_until_quiet()
    assert world.request("web~hero").data["status"] == "succeeded"
    assert [row["status"] for row in world.results()] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("tenant", [{}, {"tenant": "evil"}])
async def test_a_cancellation_reaches_its_own_tenants_request_only(early: bool, tenant: dict[str, str]) -> None:
    world = World()
    cancel = {"cancel": "hero", **tenant}
    if early:
        await world.publish(cancel)
    await world.submit("hero", tenant="web")
    if not early:
        await world.publish(cancel)
    await world.run_until_quiet()
    assert keys(world) == {"web~hero": "succeeded"}


@pytest.mark.parametrize("early", [True, False])
async def test_a_cancellation_that_names_the_tenant_ends_its_request(early: bool) -> None:
    world = World(quota="*=rpm:1")
    cancel = {"cancel": "hero", "tenant": "web"}
    if early:
        await world.publish(cancel)
    await world.submit("hero", tenant="web")
    if not early:
        await world.publish(cancel)
    await world.run_until_quiet()
    assert keys(world) == {"web~hero": "cancelled"}


async def test_a_request_escalates_only_one_of_its_own_tenant() -> None:
    world = World()
    await world.submit("first", tenant="web", purpose="draft")
    await world.run_until_quiet()
    await world.submit("second", tenant="evil", purpose="draft", escalates="first")
    await world.submit("second", tenant="web", purpose="draft", escalates="first")
    await world.run_until_quiet()
    models = {row.id: row.data["route"]["model"] for row in world.store.all("requests")}
    assert models["evil~second"] == models["web~first"] != models["web~second"]


async def test_a_message_cannot_tie_itself_to_another_tenants_request() -> None:
    world = World()
    await world.submit("hero", tenant="web")
    world.lane.then(FailureKind.REFUSED)
    await world.run_until_quiet()
    await world.run(revive(world.ports, "web~hero", "ada"))
    await world.publish({"request_id": "hero-r2", "prompt": "a lighthouse", "tenant": "evil"}, **{ATTRIBUTE: "hero"})
    await world.run_until_quiet()
    assert world.request("evil~hero-r2").data["revives"] is None
    assert world.request("web~hero-r2").data["revives"] == "hero"
    assert world.request("web~hero").data["revived_as"] == "hero-r2"


async def test_a_rejection_is_announced_to_the_tenant_that_its_message_names() -> None:
    world = World()
    await world.submit("hero", tenant="web", image_size="1k")
    await world.submit("hero-2", tenant="..", image_size="1K")
    await world.run_until_quiet()
    topics = [row.attributes for row in world.topics.on("render-results")]
    assert [(row["request_id"], row["tenant"]) for row in topics] == [("hero", "web"), ("hero-2", "")]
    assert [row.data["tenant"] for row in world.store.all("rejected")] == ["web", None]


def legacy(world: World, tenant: str = "web", **changes: Any) -> Create:
    """As a release before ids were per tenant wrote it: under the bare id, without the field `request_id`."""
    request = a_request(request_id="hero", prompt="a lighthouse", tenant=tenant)
    record = a_record(request, now=world.clock.now()) | changes
    del record["request_id"]
    return Create(request_record.path("hero"), record)


async def test_a_request_of_an_earlier_release_is_still_the_same_request() -> None:
    world = World()
    await world.run(world.store.commit(legacy(world)))
    await world.submit("hero", tenant="web", prompt="a lighthouse")
    await world.run_until_quiet()
    assert keys(world) == {"hero": "succeeded"}
    assert [(row["tenant"], row["request_id"]) for row in world.results()] == [("web", "hero")]


async def test_a_request_of_an_earlier_release_can_be_cancelled_by_its_own_tenant_only() -> None:
    world = World(quota="*=rpm:1")
    await world.run(world.store.commit(legacy(world)))
    await world.publish({"cancel": "hero"})
    await world.publish({"cancel": "hero", "tenant": "evil"})
    await world.run_for(timedelta(milliseconds=10))
    assert keys(world) == {"hero": "queued"}
    await world.publish({"cancel": "hero", "tenant": "web"})
    await world.run_until_quiet()
    assert keys(world) == {"hero": "cancelled"}


async def test_the_place_of_another_tenants_earlier_request_takes_nothing_from_the_default_tenant() -> None:
    world = World()
    await world.run(world.store.commit(legacy(world)))
    await world.submit("hero", prompt="something else")
    await world.submit("hero", prompt="something else")
    await world.run_until_quiet()
    assert keys(world) == {"hero": "succeeded", "default~hero": "succeeded"}
    assert {row["tenant"] for row in world.results()} == {"web", "default"}


async def test_a_tenant_that_nobody_has_given_a_budget_has_the_default_one() -> None:
    world = World()
    world.default_budget_micros = 100_000
    world.boot()
    for number in range(5):
        await world.submit(f"r-{number}", tenant=f"made-up-{number % 2}", purpose="draft")
    await world.run_for(timedelta(minutes=5))
    spent = {
        tenant: sum(row.data["cost_micros"] for row in world.store.all("requests") if row.data["tenant"] == tenant)
        for tenant in ("made-up-0", "made-up-1")
    }
    assert all(0 < row <= 100_000 for row in spent.values())
    assert [row.data["reason"] for row in world.store.all("requests") if row.data["status"] == "queued"] == [
        budget.OVER_BUDGET
    ] * list(keys(world).values()).count("queued")
    assert "queued" in keys(world).values()


@pytest.mark.parametrize("text", ["a", "web~a", "w.e:b-1~a_b", "a" * 128, "t" * 64 + "~" + "a" * 128])
def test_a_key_is_an_id_or_a_tenant_and_an_id(text: str) -> None:
    assert is_key(text)


@pytest.mark.parametrize(
    "text", ["", "~", "a~", "~a", "a~b~c", "a/b", "..", "a~..", "a..b~c", "a" * 129, "t" * 65 + "~a", "a b", None, 7]
)
def test_what_is_no_key(text: object) -> None:
    assert not is_key(text)
