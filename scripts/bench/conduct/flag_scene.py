"""A flag tripped and reset over thousands of queued requests: how soon the provider sees it, and what it rewrites."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

from scripts.drills.run_worker import now, settings_for, simulator
from scripts.drills.scene import DrillScene
from scripts.drills.traffic import NB21, PRO, Traffic
from scripts.local.home import Home, Simulated, running
from scripts.local.upstream import until
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.bill import RecordedCall
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.config import Settings
from shared.core.lifecycle import queries
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.core.records.versioned import Request, request_in
from shared.core.routing.flag import Flag
from shared.core.routing.flag_kinds import FlagName
from shared.flows.intake.intake import accept_message
from shared.flows.operations import flags
from shared.flows.requests.message import Message
from shared.wiring import Worker

EFFECT_WITHIN = 3.0
"""Seconds from the trip or the reset to the last call of the route before."""
AT_ONCE = 20
LIMITS = f"{PRO}=rpm:240;{NB21}=rpm:240"
"""Four starts a second: it moves, and a busy machine keeps up."""
NAME: FlagName = "use-nano-banana-2"


class FlagScale(Struct, frozen=True):
    requests: int
    phase: float
    """Seconds before the trip, between trip and reset, and after the reset."""


FULL = FlagScale(10_000, 20.0)
QUICK = FlagScale(600, 5.0)


class FlagChange(Struct, frozen=True):
    """A trip or a reset as the provider saw it."""

    at: datetime
    first_new: float | None
    """Seconds to the first call of the route that holds from then on."""
    last_old: float
    """Seconds to the last call of the route before; 0 where none came any more."""


class FlagFigures(Struct, frozen=True):
    queued: int
    """Taken in before anything was rendered."""
    untouched: int
    """Still queued at the end, and never released."""
    rewritten: int
    """Of those: with another document version than before the trip."""
    rendered: int
    bent: int
    """Delivered by the flag's model."""
    receipts_wrong: Sequence[str]
    booked_micros: int
    charged_micros: int
    """For the rendered ones, by the simulator."""
    trip: FlagChange
    reset: FlagChange

    def problems(self) -> list[str]:
        texts = [
            f"{name}: the last call of the old route left {change.last_old:.1f} s later, allowed {EFFECT_WITHIN:g} s"
            for name, change in (("trip", self.trip), ("reset", self.reset))
            if change.last_old > EFFECT_WITHIN or change.first_new is None
        ]
        if self.rewritten:
            texts.append(f"{self.rewritten} queued documents were rewritten")
        if self.receipts_wrong:
            texts.append(f"{len(self.receipts_wrong)} receipts are wrong: {', '.join(self.receipts_wrong[:3])}")
        if self.booked_micros != self.charged_micros:
            texts.append(f"booked {self.booked_micros} micros, charged {self.charged_micros}")
        if not self.untouched or not self.bent:
            texts.append("nothing was left queued, or nothing was bent: the scene proves nothing")
        return texts

    def to_json(self) -> dict[str, Any]:
        members: dict[str, Any] = to_builtins(self)
        for name in ("trip", "reset"):
            members[name] = {f"{key}_seconds": value for key, value in members[name].items() if key != "at"}
        return members


async def play(scale: FlagScale, say: Callable[[str], None]) -> FlagFigures:
    traffic = Traffic(0, 0, ({"model": PRO, "image_size": "1K"},), at_once=scale.requests)
    scene = DrillScene("flag", "a flag over a backlog", traffic, (), limits=LIMITS, latency="uniform:0.3,0.6")
    with tempfile.TemporaryDirectory(prefix="renderlane-bench-") as folder:
        async with simulator(scene) as (simulation, url):
            settings = settings_for(scene, Path(folder), url)
            await _queue(settings, scene, say)
            async with running(settings, 0, Simulated(), io.StringIO()) as home:
                return await _trip_and_reset(home, simulation, scale, say)


async def _queue(settings: Settings, scene: DrillScene, say: Callable[[str], None]) -> None:
    """Take all of them in before anybody renders, by intake's own flow."""
    messaging = wiring.topics(settings, SystemClock())
    await messaging.ensure(SUBSCRIPTIONS)
    worker = Worker.of(wiring.build(settings, io.StringIO(), messaging))
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with room:
            data = json.dumps(scene.traffic.request(scene.name, number, now())).encode()
            await accept_message(worker.ports, worker.kicks, worker.tags, Message(f"m-{number}", data))

    say(f"flag: taking in {scene.traffic.count:,} requests")
    try:
        for start in range(0, scene.traffic.count, 1_000):
            await asyncio.gather(*(one(number) for number in range(start, min(start + 1_000, scene.traffic.count))))
    finally:
        await worker.close()


async def _trip_and_reset(
    home: Home, simulation: Simulation, scale: FlagScale, say: Callable[[str], None]
) -> FlagFigures:
    ports = home.worker.ports
    await _first_call(simulation)
    await asyncio.sleep(scale.phase)
    before = await _documents(home, scale)
    say("flag: tripping")
    tripped_at = now()
    flag = await flags.trip(ports.store, ports.signals, _flag(tripped_at))
    await asyncio.sleep(scale.phase)
    say("flag: resetting")
    reset_at = now()
    await flags.reset(ports.store, ports.signals, flag.id, "bench", "the quota is back")
    await asyncio.sleep(scale.phase)
    calls = list(simulation.ledger.since(0))
    after = await _documents(home, scale)
    return judge(before, after, calls, tripped_at, reset_at)


async def _first_call(simulation: Simulation) -> None:

    async def has_begun() -> bool:
        return bool(simulation.ledger.since(0))

    if not await until(has_begun, 60, longest=0.1):
        raise TimeoutError("no call within 60 s")


def _flag(at: datetime) -> Flag:
    return Flag(
        id=f"{NAME}-bench", name=NAME, actor="bench", reason="the quota is short", tripped_at=at,
        expires_at=at + timedelta(hours=2),
    )  # fmt: skip


async def _documents(home: Home, scale: FlagScale) -> dict[str, Request]:
    documents = await home.worker.ports.store.query(queries.newest(None, scale.requests + 1))
    return {document.id: request_in(document) for document in documents}


def judge(
    before: Mapping[str, Request],
    after: Mapping[str, Request],
    calls: Sequence[RecordedCall],
    tripped_at: datetime,
    reset_at: datetime,
) -> FlagFigures:
    """The figures, from the documents before the trip and at the end, and from the provider's calls."""
    untouched = [
        name
        for name, versioned in after.items()
        if versioned.record.status == "queued" and versioned.record.release == before[name].record.release == 0
    ]
    rendered = {name: versioned for name, versioned in after.items() if versioned.record.status == "succeeded"}
    charged = {call.marker: call for call in calls if call.charged}
    return FlagFigures(
        queued=len(before),
        untouched=len(untouched),
        rewritten=sum(after[name].version != before[name].version for name in untouched),
        rendered=len(rendered),
        bent=sum(delivered_model(versioned) == NB21 for versioned in rendered.values()),
        receipts_wrong=[name for name, versioned in rendered.items() if not _is_right(versioned, charged.get(name))],
        booked_micros=sum(versioned.record.cost_micros for versioned in rendered.values()),
        charged_micros=sum(call.cost_micros for call in calls if call.marker in rendered),
        trip=_change(calls, PRO, NB21, tripped_at, reset_at),
        reset=_change(calls, NB21, PRO, reset_at, None),
    )


def _is_right(request: Request, call: RecordedCall | None) -> bool:
    """The receipt names the model that the provider charged for, and the flag exactly where it bent the route."""
    receipt = request.record.receipt
    if call is None or receipt is None or receipt.delivered.model != call.served_model:
        return False
    bent = receipt.delivered.model != PRO
    explained = any(f"flag {NAME} by bench" in reason for reason in receipt.reasons)
    return bool(receipt.flags) == bent == explained and request.record.cost_micros == call.cost_micros


def delivered_model(request: Request) -> str | None:
    receipt = request.record.receipt
    return None if receipt is None else receipt.delivered.model


def _change(calls: Sequence[RecordedCall], old: str, new: str, at: datetime, until: datetime | None) -> FlagChange:
    since = [call for call in calls if call.received_at >= at and (until is None or call.received_at < until)]
    first = next((call.received_at for call in since if call.model == new), None)
    last = max((call.received_at for call in since if call.model == old), default=at)
    return FlagChange(at, None if first is None else (first - at).total_seconds(), (last - at).total_seconds())
