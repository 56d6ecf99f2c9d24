"""The month's spend on the billing account: read from the ledger by the watch, told once at each step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.accounting import account_cap
from shared.core.accounting.account_cap import Account, MonthSpend
from shared.core.observability import events
from shared.flows.upkeep.account import read_account
from shared.flows.upkeep.watch import watch
from tests.world import World

TIERS = World().catalogue.account.tiers


def a_world(cap_micros: int | None = None, tier: str | None = None) -> World:
    world = World()
    account = Account(TIERS[tier] if tier else None, cap_micros)
    world.ports = replace(world.ports, account=account)
    return world


def spend_of(world: World) -> MonthSpend | None:
    documents = [document for document in world.store.all("quota") if document.path == account_cap.PATH]
    return MonthSpend.from_json(documents[0].data) if documents else None


def warnings(world: World) -> list[dict[str, Any]]:
    return [dict(fields) for signal, fields in world.signals.emitted if signal is events.MONTHLY_CAP_NEAR]


async def test_without_a_known_cap_nothing_is_read_or_written() -> None:
    world = a_world()
    await world.submit()
    await world.run_until_quiet()
    await watch(world.ports, world.kicks, world.collector)
    assert spend_of(world) is None


async def test_what_the_ledger_books_is_what_counts_and_each_step_is_told_once() -> None:
    world = a_world(cap_micros=100_000)  # three images of some 34,000 reach the first step
    for number in range(2):
        await world.submit(f"r-{number}", prompt=f"p{number}")
    await world.run_until_quiet()
    await read_account(world.ports)
    spend = spend_of(world)
    assert spend is not None
    assert spend.spent_micros == world.ledger_micros() > 0
    assert warnings(world) == []
    await world.submit("r-3", prompt="three")
    await world.run_until_quiet()
    await read_account(world.ports)
    assert warnings(world) == [], "not more often than every five minutes"
    for _ in range(3):
        world.clock.advance(timedelta(minutes=6))
        await read_account(world.ports)
    (event,) = warnings(world)
    assert event["percent"] in (95, 100)
    assert event["spent_micros"] == world.ledger_micros()
    escalations = [fields for signal, fields in world.signals.emitted if signal is events.ESCALATION]
    assert [fields["runbook"] for fields in escalations] == ["monthly-cap"]
    assert "$0.10 of the $0.10" in str(escalations[0]["what"])


async def test_the_watch_looks_by_itself() -> None:
    world = a_world(tier="1")
    await watch(world.ports, world.kicks, world.collector)
    spend = spend_of(world)
    assert spend is not None
    assert spend.spent_micros == 0


async def test_of_two_readers_one_tells() -> None:
    world = a_world(cap_micros=1)
    await world.submit()
    await world.run_until_quiet()
    world.signals.emitted.clear()
    world.clock.advance(timedelta(minutes=6))
    taken = world.store.get

    async def read_twice(path: str) -> Any:
        document = await taken(path)
        if path == account_cap.PATH and world.store.get is not taken:
            world.store.get = taken  # type: ignore[method-assign]
            await read_account(world.ports)
        return document

    before = len(warnings(world))
    world.store.get = read_twice  # type: ignore[method-assign]
    await read_account(world.ports)
    assert len(warnings(world)) - before == 1


@pytest.mark.parametrize(("tier", "window"), [("1", 10_000_000), ("3", 200_000_000)])
def test_the_tiers_spend_window_holds_where_none_is_configured(tier: str, window: int) -> None:
    from shared.core.admission.spend_window import spend_limit
    from shared.core.limits.quota import Quota

    micros = TIERS[tier].spend10m_micros
    quota = Quota.parse("gemini-3-pro-image=rpm:60").with_spend_window(micros)
    assert spend_limit([quota.limits("gemini-3-pro-image"), quota.limits("other")]) == window
    assert quota.limits("vertex:gemini-3-pro-image").spend10m_micros is None
    own = Quota.parse("*=spend10m_usd:5").with_spend_window(micros)
    assert spend_limit([own.limits("other")]) == 5_000_000
