"""The eight states in which on-call may find the worker, each as the store would have it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from shared.core.accounting.budget import OVER_BUDGET
from shared.core.accounting.ledger import Cell
from shared.core.admission.route_memory import Routing
from shared.core.lifecycle import request_record
from shared.core.observability import series
from shared.core.observability.series import MINUTE, Mark, Series, number
from shared.core.observability.status_summary import PATH, Summary
from shared.core.observability.verdict import State
from shared.core.observability.workers import COLLECTION
from shared.core.routing.breaker import Circuit
from shared.core.routing.flag import BREAKER, Flag, Scope
from shared.core.values.documents import Create, Document, Increment, Update, Write
from shared.flows.operations import flags, tenants
from shared.flows.pump_status import PUMP
from shared.flows.status import summary
from shared.ports import Ports
from tests.builders import a_record, a_request, an_attempt

PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
BOOT = "6f1d2c3b4a5968778695a4b3c2d1e0f0"


async def furnish(ports: Ports, state: State) -> None:
    """The worker in that state."""
    now = datetime.now(UTC)
    await ports.store.commit(Create(series.PATH, a_day(now, state).to_json()))
    await summary.write(ports)  # the meter begins here
    await _changed(ports, spent=None)  # money is read again at once
    await _STATES[state](ports, now)
    await summary.write(ports)
    if state == "worker gone":
        await _changed(ports, at=now - timedelta(minutes=9))


def a_day(now: datetime, state: State) -> Series:
    """A working day with a busy noon, and an outage in the morning."""
    columns: dict[str, list[str]] = {}
    for step in range(24 * 60):
        if state == "worker gone" and step > 24 * 60 - 10:
            break
        images = round(18 + 14 * math.sin(step / 180) + 3 * math.sin(step / 7))
        outage = 600 <= step < 618
        failed = images if outage else int(step % 97 == 0)
        values = {
            "images": 0 if outage else images, "attempts": images + failed, "failed": failed,
            "cost_micros": 0 if outage else images * 67_000, "queued": 140 if outage else max(0, images - 20),
            "running": images // 3, "wait_50": 8 + images // 4, "wait_95": 600 if outage else 20 + images,
            "model_50": 120 + images, "model_95": 210 + 3 * images,
            f"attempts standard/{PRO}": images // 2 + failed, f"failed standard/{PRO}": failed,
            f"attempts standard/{NB21}": images // 2, f"failed standard/{NB21}": 0,
        }  # fmt: skip
        for name, value in values.items():
            columns.setdefault(name, []).append(str(value))
    track = series.Track(number(now, MINUTE) - 24 * 60 + 1, {name: ",".join(row) for name, row in columns.items()})
    begin = now - timedelta(days=1)
    marks = (
        Mark(begin + timedelta(hours=4), "deploy", "version 1f0c2ab"),
        Mark(
            begin + timedelta(minutes=601), "breaker", f"breaker of standard/{PRO} on: overload, 5 of 5 calls",
            "breaker-1", "begin", begin + timedelta(hours=13),
        ),
        Mark(
            begin + timedelta(minutes=619), "breaker", f"breaker of standard/{PRO} off: its probes went well",
            "breaker-1", "end",
        ),
        Mark(begin + timedelta(hours=15), "limit", f"{PRO} rpm: 60 -> 90"),
    )  # fmt: skip
    return Series(now, track, series.Track(), marks)


async def _idle(ports: Ports, now: datetime) -> None:
    await _present(ports, now)
    await _ended(ports, now)


async def _busy(ports: Ports, now: datetime) -> None:
    await _present(ports, now, leads=True)
    await _ended(ports, now)
    await _queue(ports, now, 40, PRO, "web")
    await _queue(ports, now, 12, NB21, "print")
    await _running(ports, now, 6)
    await booked(ports, now, PRO, attempts=60, images=60, cost_micros=8_040_000, wait_5=50, wait_6=10, model_9=60)
    await booked(ports, now, NB21, attempts=80, images=79, failed_timeout=1, cost_micros=5_300_000, model_7=79)


async def _short(ports: Ports, now: datetime) -> None:
    await _present(ports, now, leads=True, reasons={PRO: _why("minute")})
    await _queue(ports, now, 160, PRO, "web", minutes=22)
    await _running(ports, now, 2)
    await booked(ports, now, PRO, attempts=50, images=50, cost_micros=6_700_000, wait_15=50, model_9=50)


async def _one_failing(ports: Ports, now: datetime) -> None:
    reasons = {PRO: _why("no route", "breaker: standard/gemini-3-pro-image: overload, 5 of 5 calls in 10 s")}
    await _present(ports, now, leads=True, reasons=reasons)
    await _queue(ports, now, 8, PRO, "shop", minutes=4)
    await _queue(ports, now, 3, NB21, "web")
    await _running(ports, now, 3, NB21)
    await booked(ports, now, PRO, attempts=24, images=2, failed_overload=20, failed_timeout=2, cost_micros=268_000)
    await booked(ports, now, NB21, attempts=70, images=70, cost_micros=4_700_000, wait_5=70, model_7=70)
    await _breaker(ports, now)


async def _all_failing(ports: Ports, now: datetime) -> None:
    await _present(ports, now, leads=True)
    await _queue(ports, now, 20, PRO, "web")
    await booked(ports, now, PRO, attempts=9, failed_connection=9)
    await booked(ports, now, NB21, attempts=5, failed_connection=5)


async def _paused(ports: Ports, now: datetime) -> None:
    await _present(ports, now)
    await _queue(ports, now, 42, PRO, "web")
    flag = Flag("pause-1a2b", "pause", "ann@example.com", "the colour profile is wrong", now, now + timedelta(hours=2))
    await flags.trip(ports.store, ports.signals, flag)


async def _budget_gone(ports: Ports, now: datetime) -> None:
    await _present(ports, now)
    await booked(ports, now, PRO, tenant="press", attempts=22, images=22, cost_micros=2_997_800)
    await tenants.set_budget(ports.store, "press", limit_micros=3_000_000)
    await _queue(ports, now, 46, PRO, "press", reason=OVER_BUDGET, wake_at=now + timedelta(hours=3))


async def _gone(ports: Ports, now: datetime) -> None:
    await _queue(ports, now, 12, PRO, "web", minutes=11)


_STATES = {
    "idle": _idle, "busy": _busy, "short of quota": _short, "one route failing": _one_failing,
    "all failing": _all_failing, "paused": _paused, "budget gone": _budget_gone, "worker gone": _gone,
}  # fmt: skip


async def booked(ports: Ports, now: datetime, model: str, *, tenant: str = "web", **amounts: int) -> None:
    """In the ledger, as settlements would have it."""
    cell = Cell(now.date().isoformat(), tenant, model, "standard", ())
    await ports.store.commit(cell.increment(amounts, 0, now))


async def _queue(
    ports: Ports, now: datetime, count: int, model: str, tenant: str, minutes: int = 1, **changes: Any
) -> None:
    at = now - timedelta(minutes=minutes)
    writes: list[Write] = []
    for index in range(count):
        request = a_request(request_id=f"{tenant}-{model.split('-')[1]}-{index:03}", model=model, tenant=tenant)
        writes.append(Create(request_record.path(request.request_id), a_record(request, now=at, **changes)))
    await ports.store.commit(*writes)


async def _running(ports: Ports, now: datetime, count: int, model: str = PRO) -> None:
    for index in range(count):
        request, attempt = an_attempt(a_request(request_id=f"run-{index}", model=model), now=now)
        await ports.store.commit(Create(request.path, request.data), Create(attempt.path, attempt.data))


async def _ended(ports: Ports, now: datetime) -> None:
    outcome = {"code": "refused", "message": "A safety filter.", "advice": "Change the prompt."}
    at = now - timedelta(minutes=20)
    changes = {"status": "refused", "outcome": outcome, "finished_at": at, "announce": None}
    request = a_request(request_id="refused-1")
    await ports.store.commit(Create(request_record.path("refused-1"), a_record(request, now=at, **changes)))


async def failed(ports: Ports, count: int, code: str) -> None:
    """So many requests that ended so a minute ago."""
    at = datetime.now(UTC) - timedelta(minutes=1)
    outcome = {"code": code, "message": "The provider said no.", "advice": ""}
    changes = {"status": "failed", "outcome": outcome, "finished_at": at, "announce": None}
    for index in range(count):
        request = a_request(request_id=f"failed-{index}")
        await ports.store.commit(Create(request_record.path(f"failed-{index}"), a_record(request, now=at, **changes)))


async def _breaker(ports: Ports, now: datetime) -> None:
    flag = Flag(
        "breaker-standard-gemini-3-pro-image-1", "use-nano-banana-2", BREAKER,
        f"standard/{PRO}: overload, 5 of 5 calls in 10 s", now - timedelta(minutes=3), now + timedelta(hours=2),
        scope=Scope(model=PRO, lane="standard"),
    )  # fmt: skip
    await flags.trip(ports.store, ports.signals, flag)


async def _present(
    ports: Ports, now: datetime, *, leads: bool = False, reasons: Mapping[str, Any] | None = None
) -> None:
    also = {
        "boot": BOOT, "seen_at": now - timedelta(seconds=20), "started_at": now - timedelta(hours=5),
        "version": "1f0c2ab", "functions": {"render": now, "pump": now, "watch": now}, "expire_at": now,
    }  # fmt: skip
    routing = Routing({f"standard/{PRO}": Circuit(tripped_at=now, trips=1, probed_at=now)})
    pump: dict[str, Any] = {
        "lead_holder": BOOT if leads else None, "lead_until": now + timedelta(seconds=40) if leads else None,
        "routing": routing.to_json(), "held": dict(reasons or {}), "waiting": [], "gateways": [],
    }  # fmt: skip
    await ports.store.commit(Increment(f"{COLLECTION}/{BOOT}", {"reports": 1}, also=also), Create(PUMP, pump))


def _why(reason: str, why: str = "") -> dict[str, Any]:
    return {"reason": reason, "until": None, "why": why, "tenants": {}}


async def _changed(ports: Ports, **changes: Any) -> None:
    """The summary as it was written, with some fields changed since."""
    document = await ports.store.get(PATH)
    assert isinstance(document, Document)
    data = replace(Summary.from_json(document.data), **changes).to_json()
    await ports.store.commit(Update(PATH, data, document.version))
