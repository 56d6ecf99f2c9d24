"""The summary in virtual time: what it counts, who writes it, how often, and at what price."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from shared.core.lifecycle import request_record
from shared.core.limits.effective import EffectiveLimit
from shared.core.observability.series import PATH as SERIES
from shared.core.observability.status_summary import PATH, QuotaUse, Sample, Summary, sampled
from shared.core.provider.failure import FailureKind
from shared.core.values.documents import Create, Document, Query
from shared.flows.operations import tenants
from shared.flows.status import summary
from tests.builders import NOW, a_record, a_request
from tests.world import World

PRO = "gemini-3-pro-image"
MARKER = "zebra-crossing-in-the-rain-4711"


def written(world: World) -> Summary:
    return next(Summary.from_json(document.data) for document in world.store.all("summary"))


async def queue(world: World, count: int, minutes: int = 1, **fields: Any) -> None:
    at = world.clock.now() - timedelta(minutes=minutes)
    for number in range(count):
        request = a_request(request_id=f"{fields['tenant']}-{fields['priority']}-{number}", model=PRO, **fields)
        await world.store.commit(Create(request_record.path(request.request_id), a_record(request, now=at)))


async def test_it_counts_what_waits_by_model_priority_and_tenant_with_the_longest_wait() -> None:
    world = World()
    await queue(world, 3, minutes=7, tenant="print", priority="bulk")
    await queue(world, 5, minutes=2, tenant="web", priority="bulk")
    await queue(world, 1, minutes=1, tenant="web", priority="interactive")
    status = await summary.write(world.ports)
    assert status is not None
    now = world.clock.now()
    assert [(item.tenant, item.priority, item.count, now - item.oldest_at) for item in status.waiting] == [
        ("web", "interactive", 1, timedelta(minutes=1)),
        ("print", "bulk", 3, timedelta(minutes=7)),
        ("web", "bulk", 5, timedelta(minutes=2)),
    ]
    assert {depth.priority: depth.count for depth in status.depths} == {"interactive": 1, "normal": 0, "bulk": 8}
    assert status.queued_count == 9
    assert written(world) == status


async def test_tenants_beyond_those_told_apart_still_count_in_the_depth() -> None:
    world = World()
    for number in range(summary.MOST_TENANTS + 3):
        await queue(world, 1, tenant=f"t{number:02}", priority="bulk")
    status = await summary.write(world.ports)
    assert status is not None
    assert len(status.waiting) == summary.MOST_TENANTS
    assert status.queued_count == summary.MOST_TENANTS + 3


async def test_the_pump_writes_it_while_it_leads_at_most_every_five_seconds_and_the_end_of_its_work() -> None:
    world = World(quota="*=rpm:30")
    for number in range(40):
        await world.submit(f"r-{number}", purpose="final", priority="bulk", prompt=MARKER)
    await world.run_for(timedelta(seconds=50))
    writes = world.store.commits[PATH]
    assert 8 <= writes <= 50 / 5 + 2  # one at the end of each lead
    during = written(world)
    assert world.clock.now() - during.at <= timedelta(seconds=6)
    queued = sum(1 for status in world.statuses().values() if status == "queued")
    assert queued <= during.queued_count <= queued + 4  # bulk starts every two seconds
    assert during.spent is not None
    assert during.of_model(PRO) is not None
    await world.run_until_quiet()
    await world.run_for(timedelta(seconds=10))
    after = written(world)
    assert (after.queued_count, after.running_count, after.running) == (0, 0, ())
    await world.run_for(timedelta(minutes=3))
    assert written(world).spent.google_micros == world.ledger_micros() > 0  # type: ignore[union-attr]
    assert MARKER not in repr([document.data for document in world.store.all("summary")])


async def test_an_attempt_in_flight_is_named_with_its_route_and_its_start() -> None:
    world = World(latency=timedelta(seconds=30))
    await world.submit("r-1", purpose="final", tenant="web")
    await world.run_for(timedelta(seconds=12))
    (running,) = written(world).running
    assert (running.request_id, running.tenant, running.model, running.lane) == ("web~r-1", "web", PRO, "standard")
    assert running.since == world.status("r-1")["slot_at"]


async def test_what_awaits_the_provider_is_counted_with_the_age_of_its_longest() -> None:
    """Of few by the attempts that are named, of many by the store's count."""
    for count in (3, summary.MOST_RUNNING + 5):
        world = World("*=concurrency:200", latency=timedelta(minutes=2))
        world.background = "on"
        world.boot()
        await world.submit("first")
        await world.run_for(timedelta(seconds=20))
        for number in range(count - 1):
            await world.submit(f"r-{number}")
        await world.run_for(timedelta(seconds=20))
        counted = await summary.write(world.ports)
        assert counted is not None
        assert (counted.awaiting_count, counted.running_count) == (count, count)
        assert counted.awaiting_since == world.status("first")["slot_at"]
        assert written(world) == counted
        await world.run_until_quiet()
        ended = await summary.write(world.ports)
        assert ended is not None
        assert (ended.awaiting_count, ended.awaiting_since) == (0, None)


async def test_a_call_in_the_foreground_awaits_nobody() -> None:
    world = World(latency=timedelta(minutes=1))
    await world.submit()
    await world.run_for(timedelta(seconds=20))
    counted = await summary.write(world.ports)
    assert counted is not None
    assert (counted.running_count, counted.awaiting_count, counted.awaiting_since) == (1, 0, None)


async def test_where_nobody_leads_watch_writes_it_once_a_minute() -> None:
    world = World()
    await world.run_for(timedelta(minutes=5, seconds=5))
    assert 5 <= world.store.commits[PATH] <= 6
    assert world.clock.now() - written(world).at <= timedelta(minutes=1)


async def test_what_failed_in_the_last_hour_is_grouped_with_its_newest_and_forgotten_after_it() -> None:
    world = World()
    world.lane.then(*[FailureKind.REFUSED] * 7)
    for number in range(7):
        await world.submit(f"r-{number}", purpose="final")
    await world.run_until_quiet()
    await world.run_for(timedelta(minutes=2))
    (group,) = written(world).failures
    assert (group.status, group.code, group.count) == ("refused", "refused", 7)
    assert len(group.newest) == 5
    assert {latest_end.request_id for latest_end in group.newest} <= set(world.statuses())
    await world.run_for(timedelta(minutes=66))
    assert written(world).failures == []


async def test_the_hour_of_quota_use_has_one_sample_a_minute_with_any_use() -> None:
    world = World(quota="gemini-3-pro-image=rpm:4")
    for number in range(12):
        await world.submit(f"r-{number}", purpose="final")
    await world.run_for(timedelta(minutes=6))
    use = written(world).of_model(PRO)
    assert use is not None
    assert 3 <= len(use.samples) <= 6
    assert len({sample.at for sample in use.samples}) == len(use.samples)
    assert max(sample.percent or 0 for sample in use.samples) == 100
    assert max(sample.starts for sample in use.samples) == 4


def test_a_minute_keeps_its_busiest_moment_and_an_hour_is_remembered() -> None:
    def at(minutes: float, starts: int, before: QuotaUse | None) -> QuotaUse:
        use = QuotaUse(PRO, {"rpm": starts}, {"rpm": EffectiveLimit(10, "configured", None)})
        return sampled(before, use, NOW + timedelta(minutes=minutes))

    use: QuotaUse | None = None
    for minutes, starts in ((0, 4), (0.2, 9), (0.5, 2), (1, 5), (30, 0), (59.5, 7)):
        use = at(minutes, starts, use)
    assert use is not None
    assert use.samples == (
        Sample(NOW, 9, 90), Sample(NOW + timedelta(minutes=1), 5, 50), Sample(NOW + timedelta(minutes=59), 7, 70),
    )  # fmt: skip
    later = at(60.1, 0, use)
    assert [sample.starts for sample in later.samples] == [5, 7]


async def test_a_budget_stands_with_what_was_spent_of_it() -> None:
    world = World()
    await tenants.set_budget(world.store, "web", limit_micros=50_000_000)
    await tenants.set_weight(world.store, "print", 2.0)
    await world.submit("r-1", purpose="final", tenant="web")
    await world.run_until_quiet()
    await world.run_for(timedelta(minutes=2))
    spent = written(world).spent
    assert spent is not None
    (budget,) = spent.budgets
    assert (budget.tenant, budget.limit_micros) == ("web", 50_000_000)
    assert budget.spent_micros == spent.google_micros == world.status("r-1")["cost_micros"] > 0


async def test_it_never_touches_the_documents_of_the_pump_and_costs_few_reads_where_nothing_happens() -> None:
    world = World()
    await world.run_for(timedelta(minutes=3))
    counted: Counter[str] = Counter()

    class Counting:
        def __getattr__(self, name: str) -> Any:
            method = getattr(world.store, name)

            async def call(*arguments: Any) -> Any:
                answer = await method(*arguments)
                least = 1 if name in ("query", "count", "get") else 0
                counted["reads"] += max(least, len(answer) if isinstance(answer, list) else least)
                counted["writes"] += len(arguments) if name == "commit" else 0
                assert not (
                    name == "commit" and [argument for argument in arguments if argument.path not in (PATH, SERIES)]
                )
                return answer

            return call

    world.guard = lambda port, name: Counting() if name == "store" else port
    world.boot()
    await summary.write(world.ports)
    assert counted["writes"] == 2  # the series has its point
    assert counted["reads"] <= 22
    counted.clear()
    await summary.write(world.ports)  # in the same minute
    assert counted["writes"] == 1
    assert counted["reads"] <= 20


async def test_two_writers_leave_one_summary_and_neither_fails() -> None:
    world = World()
    await queue(world, 2, tenant="web", priority="bulk")
    await asyncio.gather(*(summary.write(world.ports) for _ in range(3)))
    documents = await world.store.query(Query("summary", limit=10))
    assert [document.path for document in documents] == [PATH]
    assert isinstance(documents[0], Document)
    assert isinstance(documents[0].data["at"], datetime)
