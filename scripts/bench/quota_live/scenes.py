"""The scenes of `quota_live`: each plays on a stage of its own and returns its figures."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from scripts.bench.harness.load import Busy, MachineLoad
from scripts.bench.harness.percentile import percentile
from scripts.bench.quota_live import measures
from scripts.bench.quota_live.counters import Counters
from scripts.bench.quota_live.measures import GoalKind, ObservedCall, SceneFigure
from scripts.bench.quota_live.stage import QuotaStage
from scripts.local.upstream import paced
from shared.core.values.status import FINAL


class Scale(Struct, frozen=True):
    """How large the scenes are."""

    settle: float = 60.0
    """Seconds after the first call until goodput is looked at."""
    saturated: float = 180.0
    """Seconds for which goodput is looked at."""
    idle_requests: int = 30
    idle_pause: tuple[float, float] = (2.0, 6.0)
    """Seconds between two of them, from and to."""
    backlog: int = 2000
    """Bulk requests that are queued before the first interactive one."""
    interactive: float = 180.0
    """Seconds of interactive arrivals."""
    interactive_a_minute: float = 30.0
    last_wait: float = 10.0
    """Seconds that the last interactive one may take to start."""
    queued: int = 7000
    kills: tuple[float, ...] = (0.2, 0.5, 0.8)
    """When the pump's holder is killed, as shares of the queued requests that were called for."""
    restart_after: float = 5.0
    """Seconds until the platform starts another process."""
    judged: bool = True
    """Large enough for its pace to mean something, and to have the arrivals over before it begins."""

    def pace(self, kind: GoalKind) -> GoalKind:
        """A goal of pace, where it can be judged."""
        return kind if self.judged else "told only"


QUICK = Scale(
    settle=6.0, saturated=3.0, idle_requests=5, idle_pause=(0.5, 1.0), backlog=60, interactive=5.0,
    last_wait=3.0, interactive_a_minute=60.0, queued=100, kills=(0.3,), restart_after=1.0, judged=False,
)  # fmt: skip


class PlayedScene(Struct, frozen=True):
    """What a scene came to."""

    measures: Sequence[SceneFigure]
    renders: int
    """Paid images."""
    counters: Counters
    since: float
    """The first call, in seconds since 1970."""
    until: float
    busy: Busy
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Lists that belong to the figures."""


Scene = Callable[[QuotaStage, Scale], Awaitable[PlayedScene]]


async def saturated(stage: QuotaStage, scale: Scale) -> PlayedScene:
    """A queue that is never empty, while as many more arrive as the limit lets go.

    Looked at when the processes have settled: what their first minute cost is told beside it.
    """
    rpm = stage.setting.rpm
    await _queue(stage, scale, round(1.5 * rpm), "normal")
    load = MachineLoad()
    await stage.fleet.start()
    arriving = asyncio.create_task(_arrive(stage, rpm))
    try:
        began = await stage.first_call()
        since = began + scale.settle
        until = since + scale.saturated
        await stage.look_until(since)
        settled = stage.fleet.counters()
        await stage.look_until(until)
    finally:
        arriving.cancel()
    busy = load.busy()
    await stage.fleet.stop()
    calls = [call for call in await stage.all_calls() if call.at < until]
    images = measures.images_within(calls, since, until)
    use = 100 * measures.window_use(calls, rpm, since, until)
    first, later = [call for call in calls if call.at < since], [call for call in calls if call.at >= since]
    counters = stage.fleet.counters().since(settled)
    results = [
        SceneFigure("goodput, of the limit", use, "%", scale.pace("at least"), 98),
        SceneFigure("images a minute", 60 * images / scale.saturated, "images/min"),
        *_of_every_scene(calls),
        *_of_documents(counters, scale, later, since, until),
        SceneFigure("admission writes for a render of the first minute", _admission_writes(settled, first), "writes"),
        *_leads(stage),
    ]
    return PlayedScene(results, _renders(later), counters, since, until, busy)


async def idle(stage: QuotaStage, scale: Scale) -> PlayedScene:
    """One request now and then, with the limit known and nothing in its way."""
    chance = random.Random(7)
    await stage.fleet.start()
    began, load = time.time(), MachineLoad()
    for number in range(scale.idle_requests):
        await asyncio.sleep(chance.uniform(*scale.idle_pause))
        await stage.publish(f"idle-{number}", "normal")
        await stage.look()
    busy = load.busy()
    await stage.ended(scale.idle_requests, 60)
    documents = await stage.upstream.documents(scale.idle_requests)
    await stage.fleet.stop()
    calls = await stage.all_calls()
    waits = measures.start_waits(stage.published, calls)
    results = [
        SceneFigure("start delay, p50", percentile(waits, 0.5), "s", scale.pace("at most"), 0.5),
        SceneFigure("start delay, p99", percentile(waits, 0.99), "s"),
        *_ways(stage.published, documents, calls),
        SceneFigure("not started", scale.idle_requests - len(waits), "requests", "at most", 0),
        *_of_every_scene(calls),
    ]
    return _played(stage, results, calls, began, time.time(), busy)


async def interactive(stage: QuotaStage, scale: Scale) -> PlayedScene:
    """Interactive requests at random moments behind a bulk backlog that outlasts them."""
    chance = random.Random(7)
    await _queue(stage, scale, scale.backlog, "bulk")
    backlog = dict(stage.published)
    await stage.fleet.start()
    began, load = await stage.first_call(), MachineLoad()
    number = 0
    while time.time() < began + scale.interactive:
        wait = chance.expovariate(scale.interactive_a_minute / 60)
        await stage.look_until(min(time.time() + wait, began + scale.interactive))
        await stage.publish(f"interactive-now-{number}", "interactive")
        number += 1
    busy = load.busy()
    await stage.look_until(time.time() + scale.last_wait)
    left = await stage.count("queued", scale.backlog)
    documents = await stage.upstream.documents(len(stage.published))
    await stage.fleet.stop()
    calls = await stage.all_calls()
    ours = {request_id: at for request_id, at in stage.published.items() if request_id not in backlog}
    waits = measures.start_waits(ours, calls)
    results = [
        SceneFigure("interactive wait, p50", percentile(waits, 0.5), "s", scale.pace("at most"), 1),
        SceneFigure("interactive wait, p99", percentile(waits, 0.99), "s", scale.pace("at most"), 6),
        *_ways(ours, documents, calls),
        *_leads(stage),
        SceneFigure("interactive, not started", len(ours) - len(waits), "requests", "at most", 0),
        SceneFigure("interactive requests", len(ours), "requests"),
        SceneFigure("bulk queued at the end", left, "requests"),
        *_of_every_scene(calls),
        *_of_documents(stage.fleet.counters(), scale, calls, began, time.time()),
    ]
    return _played(stage, results, calls, began, time.time(), busy, {"slowest": _slowest(ours, documents, calls)})


async def kill(stage: QuotaStage, scale: Scale) -> PlayedScene:
    """A long queue, arrivals over, and kill -9 of the process that leads the pump, several times."""
    await _queue(stage, scale, scale.queued, "normal")
    ideal = measures.ideal_seconds(scale.queued, stage.setting.rpm)
    await stage.fleet.start()
    began, load = time.time(), MachineLoad()
    for share in scale.kills:
        await stage.look_for(share * scale.queued, began + 2 * ideal + 120)
        await _kill_the_leader(stage, scale)
    await stage.look_for(scale.queued, began + 2 * ideal + 120)
    busy = load.busy()
    ended = await stage.ended(scale.queued, 180)
    calls = await stage.all_calls()
    documents = await stage.upstream.documents(scale.queued + 1)
    await stage.fleet.stop()
    lost = scale.queued - sum(1 for document in documents if document["status"] in FINAL)
    began = min(began, calls[0].at)  # some workers are ready before the others
    took = max(document["finished_at"].timestamp() for document in documents if document["finished_at"]) - began
    ideal += _mean_latency(documents)
    twice = measures.paid_twice(calls)
    unknown = {document["id"]: document["cost_unknown_attempts"] for document in documents}
    unbooked = [request_id for request_id, count in twice.items() if count - 1 > unknown[request_id]]
    results = [
        SceneFigure("time to finish, of the ideal", 100 * took / ideal, "%", scale.pace("at most"), 105),
        SceneFigure("time to finish", took, "s"),
        SceneFigure("ideal", ideal, "s"),
        SceneFigure("lost", lost, "requests", "at most", 0),
        SceneFigure("ended otherwise than succeeded", sum(ended.values()) - ended.get("succeeded", 0), "requests"),
        SceneFigure("paid more than once", len(twice), "requests"),
        SceneFigure("... and not in the books", len(unbooked), "requests", "at most", 0),
        SceneFigure("attempts booked with unknown cost", sum(unknown.values()), ""),
        *_of_every_scene(calls),
    ]
    return _played(stage, results, calls, began, began + took, busy, {"ended": ended, "paid_more_than_once": twice})


async def _queue(stage: QuotaStage, scale: Scale, count: int, priority: str) -> None:
    """A backlog: taken in already, or (in a small run) about to be."""
    if scale.judged:
        await stage.queue(count, priority)
    else:
        await stage.publish_backlog(count, priority)


async def _arrive(stage: QuotaStage, rpm: int) -> None:
    """As many requests a minute as the limit lets go, evenly, until cancelled."""
    async for number in paced(number * 60 / rpm for number in itertools.count()):
        await stage.publish(f"arriving-{number}", "normal")


async def _kill_the_leader(stage: QuotaStage, scale: Scale) -> None:
    number = await stage.fleet.leader(stage.upstream.store)
    stage.fleet.kill(number)
    stage.setting.say(f"{stage.scene}: worker {number} led the pump and was killed after {len(stage.calls)} calls")
    await asyncio.sleep(scale.restart_after)
    await stage.fleet.start_one(number)


def _ways(
    published: Mapping[str, float], documents: Sequence[Mapping[str, Any]], calls: Sequence[ObservedCall]
) -> list[SceneFigure]:
    """Where the time to a start goes."""
    first = {call.request_id: call.at for call in reversed(calls)}
    begun = [
        document
        for document in documents
        if document["slot_at"] and document["id"] in first and document["id"] in published
    ]
    to_queue = [item["created_at"].timestamp() - published[item["id"]] for item in begun]
    to_slot = [(item["slot_at"] - item["created_at"]).total_seconds() for item in begun]
    to_call = [first[item["id"]] - item["slot_at"].timestamp() for item in begun]
    ways = {"until it is queued": to_queue, "from there to its slot": to_slot, "from its slot to its call": to_call}
    return [SceneFigure(f"... {way}, p50", percentile(took, 0.5), "s") for way, took in ways.items()]


def _leads(stage: QuotaStage) -> list[SceneFigure]:
    """How far ahead slots had to be given for releases to arrive in time."""
    return [
        SceneFigure(f"lead of slots, {name}", percentile(stage.leads, share), "s")
        for name, share in (("p50", 0.5), ("p95", 0.95))
    ]


def _slowest(
    published: Mapping[str, float], documents: Sequence[Mapping[str, Any]], calls: Sequence[ObservedCall]
) -> Sequence[Mapping[str, Any]]:
    """The five that waited longest, and where their time went, in seconds."""
    first = {call.request_id: call.at for call in reversed(calls)}
    begun = [
        document
        for document in documents
        if document["slot_at"] and document["id"] in first and document["id"] in published
    ]
    waits = [
        {
            "request_id": item["id"],
            "waited": round(first[item["id"]] - published[item["id"]], 2),
            "until_queued": round(item["created_at"].timestamp() - published[item["id"]], 2),
            "from_its_last_slot_to_its_first_call": round(first[item["id"]] - item["slot_at"].timestamp(), 2),
            "releases": item["release"],
            "late": item["late_count"],
            "attempts": item["attempt_count"],
        }
        for item in begun
    ]
    return sorted(waits, key=lambda item: -item["waited"])[:5]


def _mean_latency(documents: Sequence[Mapping[str, Any]]) -> float:
    """Seconds from slot to end: what the ideal has after its last call, too."""
    took = [
        (document["finished_at"] - document["slot_at"]).total_seconds() for document in documents if document["slot_at"]
    ]
    return sum(took) / len(took) if took else 0.0


def _of_every_scene(calls: Sequence[ObservedCall]) -> list[SceneFigure]:
    return [SceneFigure("429 for 1,000 renders", measures.rejected_per_1000(calls), "calls", "at most", 1)]


def _of_documents(
    counters: Counters, scale: Scale, calls: Sequence[ObservedCall], since: float, until: float
) -> list[SceneFigure]:
    """What the store has to bear: a document takes about one write a second for long."""
    (hottest,) = counters.hottest(since, until, most=1)
    most = scale.pace("at most")
    return [
        SceneFigure("admission writes for a render", _admission_writes(counters, calls), "writes", most, 1.4),
        SceneFigure("hottest document, mean", hottest.mean, "writes/s", most, 1.2),
        SceneFigure("hottest document, worst 10 s", hottest.worst, "writes/s", most, 2),
    ]


def _admission_writes(counters: Counters, calls: Sequence[ObservedCall]) -> float:
    return counters.admission_writes() / max(1, _renders(calls))


def _renders(calls: Sequence[ObservedCall]) -> int:
    return sum(1 for call in calls if call.charged)


def _played(
    stage: QuotaStage,
    measures: Sequence[SceneFigure],
    calls: Sequence[ObservedCall],
    since: float,
    until: float,
    busy: Busy,
    notes: Mapping[str, Any] | None = None,
) -> PlayedScene:
    return PlayedScene(measures, _renders(calls), stage.fleet.counters(), since, until, busy, notes or {})


SCENES: Mapping[str, Scene] = {"saturated": saturated, "idle": idle, "interactive": interactive, "kill": kill}
