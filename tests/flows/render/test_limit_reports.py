"""What the provider answers moves the limits, through the whole worker; and what workers write of it is little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.admission.model_state import ModelState
from shared.core.admission.slot_calendar import Weight
from shared.core.limits.observations import StartSignal
from shared.core.limits.quota import Limits
from shared.core.observability import events
from shared.core.provider.call import Answer, Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage
from shared.core.values.route import Route
from shared.flows.clock import ServerTime
from shared.flows.render.limit_reports import SPACING, Asker
from shared.flows.upkeep.live_quota import read_live_quota
from tests.builders import a_failure, a_statement
from tests.fakes.lane import made
from tests.flows.pump.test_dormant import queued
from tests.windows import keeps
from tests.world import World

PRO = "gemini-3-pro-image"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
MIDNIGHT = datetime(2026, 11, 23, 8, tzinfo=UTC)
RPM_ID = "GenerateRequestsPerMinutePerProjectPerModel"


@dataclass
class Provider:
    """Counts a minute of its own and rejects what is beyond it; answers within a fifth of a second."""

    world: World
    rpm: int
    refusal: Callable[[int], Failure]
    """Given its limit."""
    window: timedelta = MINUTE
    """In which it counts."""
    accepted: list[datetime] = field(default_factory=list)
    rejected: int = 0

    def __post_init__(self) -> None:
        self.world.lane.latency = timedelta(seconds=0.2)
        self.world.lane.then(*[self.answer] * 5_000)

    def answer(self, order: Order) -> Answer:
        now = self.world.clock.now()
        if sum(1 for at in self.accepted if at > now - self.window) >= self.rpm * (self.window / MINUTE):
            self.rejected += 1
            return self.refusal(self.rpm)
        self.accepted.append(now)
        return made(order)


def naming(rpm: int) -> Failure:
    return a_failure(FailureKind.QUOTA_MINUTE, retry_after=2 * SECOND, quota_id=RPM_ID, quota_value=rpm)


def nothing_named(_: int) -> Failure:
    return a_failure(FailureKind.QUOTA_UNKNOWN)


def standing(world: World) -> ModelState:
    return ModelState.from_json(next(document.data for document in world.store.all("calendars") if document.id == PRO))


def done(world: World) -> int:
    return sum(status == "succeeded" for status in world.statuses().values())


def starts_since(world: World, moment: datetime) -> list[tuple[datetime, Weight]]:
    return [(call.at, Weight()) for call in world.lane.calls if call.at >= moment]


# -- the rows of the table --------------------------------------------------------------------------------------------


async def test_a_days_429_closes_its_model_until_pacific_midnight_but_for_a_few_probes() -> None:
    world = World(f"{PRO}=rpm:60")
    world.clock.advance(MIDNIGHT - world.clock.now() - timedelta(minutes=12))
    used_up = a_statement(FailureKind.QUOTA_DAY, retry_after=timedelta(milliseconds=856))
    world.lane.sick = lambda _, now: used_up if now < MIDNIGHT else None
    await queued(world, 3, model=PRO)
    await world.run_until_quiet(within=timedelta(minutes=20))
    assert done(world) == 3
    before = [call for call in world.lane.calls if call.at < MIDNIGHT]
    assert 4 <= len(before) <= 3 + 9, "those that had their slots already, and 5, 10, 20 ... seconds apart"
    assert {item["why"] for item in world.signals.of(events.CALENDAR_CLOSED)} == {"quota_day"}
    assert world.lane.calls[-1].at < MIDNIGHT + MINUTE + 3 * SECOND


async def test_a_days_429_that_was_wrong_holds_nobody_for_longer_than_a_probe() -> None:
    world = World(f"{PRO}=rpm:60")
    world.lane.then(a_statement(FailureKind.QUOTA_DAY, quota_id="GenerateRequestsPerDayPerProject", quota_value=1))
    await queued(world, 20, model=PRO)
    await world.run_until_quiet(within=MINUTE)
    assert done(world) == 20
    assert len(world.lane.calls) == 21


async def test_a_429_that_names_a_smaller_limit_teaches_it_and_the_next_pump_keeps_it() -> None:
    world = World(f"{PRO}=rpm:60")
    provider = Provider(world, 20, naming)
    await queued(world, 90, model=PRO)
    await world.run_for(70 * SECOND)
    learned = world.signals.of(events.LIMIT_LEARNED)
    assert [(item["dimension"], item["value"]) for item in learned] == [("rpm", 20)]
    assert standing(world).learned["rpm"].value == 20
    await world.restart()
    rejected, since = provider.rejected, world.clock.now()
    await world.run_for(2 * MINUTE)
    assert provider.rejected == rejected
    assert len(starts_since(world, since)) >= 35
    assert keeps(starts_since(world, since), Limits(rpm=20))


async def test_a_429_with_the_limit_we_know_takes_what_was_rejected_and_is_tried_again_after_two_minutes() -> None:
    world = World(f"{PRO}=rpm:40")
    provider = Provider(world, 39, lambda _: naming(40))
    await queued(world, 100, model=PRO)
    await world.run_for(100 * SECOND)
    assert provider.rejected == 1
    assert standing(world).pressure.share == pytest.approx(1 - 1 / 40)
    await world.run_for(30 * SECOND)
    assert standing(world).pressure.share == pytest.approx(1 - 1 / 40 + 0.01)
    assert provider.rejected == 1
    assert len(provider.accepted) >= 75


async def test_no_balance_closes_and_is_escalated_once_and_asked_ever_more_seldom() -> None:
    world = World(f"{PRO}=rpm:60")
    mended = world.started + 9 * MINUTE
    world.lane.sick = lambda _, now: a_statement(FailureKind.BALANCE) if now < mended else None
    await queued(world, 12, model=PRO)
    await world.run_for(4 * MINUTE)
    assert 12 <= len(world.lane.calls) <= 12 + 7
    calls_before = len(world.lane.calls)
    await world.run_for(4 * MINUTE)
    assert 1 <= len(world.lane.calls) - calls_before <= 2, "one asks whether it is mended"
    await world.run_until_quiet(within=timedelta(minutes=10))
    assert done(world) == 12
    assert [item["runbook"] for item in world.signals.of(events.ESCALATION)] == ["no-balance"]


async def test_a_few_unexplained_429s_close_and_cap_nothing() -> None:
    world = World(f"{PRO}=rpm:60")
    world.lane.then(*[FailureKind.QUOTA_UNKNOWN] * 3)
    await queued(world, 40, model=PRO)
    await world.run_until_quiet(within=MINUTE)
    assert done(world) == 40
    assert standing(world).pressure.cap is None


async def test_where_capacity_is_halved_without_a_word_few_are_rejected_and_the_rest_goes_on() -> None:
    world = World(f"{PRO}=rpm:300")
    provider = Provider(world, 450, nothing_named, window=timedelta(seconds=4))
    await queued(world, 700, model=PRO, priority="bulk")

    async def halved() -> None:
        await world.clock.sleep(60)
        provider.rpm = 165
        await world.clock.sleep(40)
        provider.rpm = 450

    await world.run_for(timedelta(minutes=1, seconds=45), halved())
    assert provider.rejected <= 0.1 * len(world.lane.calls)
    halved_from = world.started + 60 * SECOND
    meanwhile = [at for at in provider.accepted if halved_from <= at < halved_from + 40 * SECOND]
    assert len(meanwhile) >= 0.4 * 110


async def after_an_outage(well_for: timedelta) -> World:
    """A model that answers for 20 s, is overloaded for 20 s, and answers again for so long."""
    world = World(f"{PRO}=rpm:600")
    ill, well = world.started + 20 * SECOND, world.started + 40 * SECOND

    def answer(order: Order) -> Answer:
        return a_failure(FailureKind.OVERLOAD) if ill <= world.clock.now() < well else made(order)

    world.lane.latency = timedelta(seconds=0.5)
    world.lane.then(*[answer] * 3_000)
    await queued(world, 700, model=PRO, priority="bulk")
    await world.run_for(40 * SECOND + well_for)
    return world


async def test_an_overloaded_model_is_asked_little_but_never_left_alone() -> None:
    world = await after_an_outage(SECOND)
    calls = [call for call in world.lane.calls if 10 <= (call.at - world.started).total_seconds() - 20 < 20]
    assert 1 <= len(calls) <= 0.1 * 100


async def test_an_overloaded_model_is_back_soon_after_it_is_well() -> None:
    world = await after_an_outage(35 * SECOND)
    assert len([call for call in world.lane.calls if call.at >= world.clock.now() - 10 * SECOND]) >= 0.7 * 100


async def test_a_raise_and_a_cut_of_the_live_limit_take_hold_without_a_restart() -> None:
    world = World()
    world.live_quota.answer = {PRO: {"rpm": 10}}
    await world.clock.run(read_live_quota(world.ports))
    await queued(world, 120, model=PRO)

    async def moves() -> None:
        await world.clock.sleep(70)
        world.live_quota.answer = {PRO: {"rpm": 40}}
        await world.clock.sleep(120)
        world.live_quota.answer = {PRO: {"rpm": 5}}

    await world.run_for(5 * MINUTE, moves())
    begun = [(call.at - world.started).total_seconds() for call in world.lane.calls]
    assert sum(1 for value in begun if value < 60) == 10
    assert sum(1 for value in begun if 135 <= value < 190) >= 25
    assert sum(1 for value in begun if 258 <= value < 300) <= 5
    assert world.boots == 1


async def test_where_nothing_is_known_twenty_start_at_once_and_more_as_nothing_is_rejected() -> None:
    world = World(latency=timedelta(seconds=40))
    await queued(world, 300, model=PRO)
    await world.run_for(20 * SECOND)
    begun = [(call.at - world.started).total_seconds() for call in world.lane.calls]
    assert 15 <= sum(1 for value in begun if value < 4) <= 20
    assert sum(1 for value in begun if value < 9) <= 40
    assert 40 < len(begun) <= 160


# -- the documents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FailureKind.OVERLOAD, FailureKind.QUOTA_UNKNOWN, FailureKind.QUOTA_MINUTE])
async def test_a_process_writes_what_it_saw_once_in_two_seconds_at_most(kind: FailureKind) -> None:
    world = World(f"{PRO}=rpm:600")
    world.lane.latency = timedelta(seconds=0.3)
    world.lane.then(*[kind] * 2_000)
    await queued(world, 150, model=PRO)
    await world.run_for(30 * SECOND)
    assert len(world.lane.calls) >= 20
    assert 2 <= world.store.commits["evidence/boot-1"] <= 30 / 2 + 1


async def test_answers_that_say_nothing_of_limits_write_nothing() -> None:
    world = World(f"{PRO}=rpm:60")
    world.lane.then(FailureKind.REFUSED, FailureKind.INVALID_REQUEST, FailureKind.REFUSED)
    await queued(world, 20, model=PRO)
    await world.run_until_quiet(within=5 * MINUTE)
    assert world.store.commits["evidence/boot-1"] == 0


async def test_a_claim_costs_one_report_and_the_picture_that_speaks_against_it_another() -> None:
    world = World(f"{PRO}=rpm:60")
    world.lane.then(made, made, FailureKind.NO_IMAGE)
    await queued(world, 40, model=PRO)
    await world.run_until_quiet(within=5 * MINUTE)
    assert done(world) == 40
    assert world.store.commits["evidence/boot-1"] <= 2


async def test_many_failures_at_once_are_all_in_the_report_when_the_last_of_them_is_told() -> None:
    world = World()
    time = ServerTime(world.clock, world.clock.now())

    async def story() -> None:
        failure, asker = a_failure(FailureKind.OVERLOAD), Asker("r-1", "web")
        await asyncio.gather(
            *(
                world.evidence.failed(Route("standard", PRO, "1K"), failure, world.clock.now(), time, asker)
                for _ in range(50)
            )
        )

    await world.clock.run(story())
    (report,) = world.store.all("evidence")
    counts: dict[str, Any] = dict(report.data)["models"][PRO]["counts"]
    assert sum(counts["overload"].values()) == 50
    assert world.store.commits[report.path] <= 2


async def test_reports_that_keep_coming_hold_nobody_for_longer_than_two_writes() -> None:
    """Each waits for the write that has it in it, and not for those of later reports."""
    world = World()
    time = ServerTime(world.clock, world.clock.now())
    waits: list[float] = []

    async def one() -> None:
        began = world.clock.monotonic()
        await world.evidence.late(PRO, StartSignal.TIGHT, world.clock.now(), time)
        waits.append(world.clock.monotonic() - began)

    async def story() -> None:
        reports = []
        for _ in range(600):
            reports.append(asyncio.ensure_future(one()))
            await world.clock.sleep(0.05)
        await asyncio.gather(*reports)

    world.store.commit = slow(world.store.commit, world, "evidence/", 0.2)  # type: ignore[method-assign]
    await world.clock.run(story())
    assert len(waits) == 600
    assert max(waits) <= 2 * (SPACING.total_seconds() + 0.2)
    assert world.store.commits["evidence/boot-1"] <= 30 / 2 + 2


def slow(commit: Any, world: World, below: str, seconds: float) -> Any:
    """A store whose commits of these documents take so long."""

    async def slowly(*writes: Any) -> Any:
        if any(write.path.startswith(below) for write in writes):
            await world.clock.sleep(seconds)
        return await commit(*writes)

    return slowly


async def test_input_tokens_that_were_estimated_wrong_are_reconciled_in_the_calendar() -> None:
    world = World(f"{PRO}=tpm:100000")

    def thirsty(order: Order) -> Answer:
        return replace(made(order), usage=Usage(text_in=5_000, image_out=1_120))

    world.lane.then(*[thirsty] * 5)
    await queued(world, 5, model=PRO)
    await world.run_for(15 * SECOND)
    await queued(world, 1, "later", model=PRO)
    await world.run_for(5 * SECOND)
    assert done(world) == 6
    assert standing(world).calendar.used(world.clock.now() + 5 * SECOND).tokens >= 25_000


@pytest.mark.parametrize("kind", [FailureKind.QUOTA_MINUTE, FailureKind.OVERLOAD, FailureKind.QUOTA_UNKNOWN])
async def test_a_rejected_call_is_no_failure_of_its_request_which_is_made_later(kind: FailureKind) -> None:
    world = World(f"{PRO}=rpm:60")
    world.lane.then(kind)
    await queued(world, 1, model=PRO)
    await world.run_until_quiet(within=2 * MINUTE)
    assert done(world) == 1
    assert len(world.lane.calls) == 2
