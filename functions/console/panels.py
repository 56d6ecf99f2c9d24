"""What the overview shows: the summary, the flags as they are now, and what needs a person."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct

from shared.core.admission.route_memory import Effect
from shared.core.observability import display
from shared.core.observability.status_summary import RING, QuotaUse, Summary
from shared.core.routing.breaker import Circuit
from shared.core.routing.flag import BREAKER, Flag
from shared.flows.operations import routing_snapshot
from shared.flows.operations.routing_snapshot import Known
from shared.flows.status import summary
from shared.ports import Ports

STALE_AFTER = timedelta(seconds=150)
"""`watch` writes it every minute at the latest."""
CHART_MINUTES = int(RING.total_seconds() // 60)


class Needs(Struct, frozen=True):
    """Something that a person has to see to."""

    what: str
    runbook: str
    """The heading."""


class ShownFlag(Struct, frozen=True):
    """A tripped flag with what it did."""

    flag: Flag
    effect: Effect
    circuit: Circuit | None
    ours: bool
    """It can be changed here."""

    @property
    def is_breaker(self) -> bool:
        return self.flag.actor == BREAKER

    @property
    def does(self) -> str:
        return f"{self.flag.name} to {self.flag.to}" if self.flag.to else self.flag.name

    @property
    def because(self) -> str:
        return self.flag.reason.removeprefix(f"{self.flag.circuit}: ")


class Column(Struct, frozen=True):
    """One minute of a model's hour."""

    minute: int
    """0 for the oldest, CHART_MINUTES - 1 for this one."""
    height: int
    """Per cent of the chart."""
    full: bool
    """The limit was reached, or nearly."""


class Overview(Struct, frozen=True):
    now: datetime
    summary: Summary | None
    known: Known
    flags: tuple[ShownFlag, ...]
    needs: tuple[Needs, ...]

    @property
    def others_waiting(self) -> int:
        """Of tenants that the summary does not tell apart."""
        found = self.summary
        return 0 if found is None else max(0, found.queued_count - sum(each.count for each in found.waiting))


async def look(ports: Ports) -> Overview:
    """Ten documents, however much there is. Raises StoreUnavailable."""
    found, seen = await asyncio.gather(
        summary.read(ports),
        routing_snapshot.read(
            ports.store, ports.flag_source, ports.catalogue, ports.gateways_in_use, ports.vertex_in_use
        ),
    )
    return Overview(seen.now, found, seen, shown(seen), tuple(_needs(found, seen)))


def shown(seen: Known) -> tuple[ShownFlag, ...]:
    """Breakers' after all others."""
    return tuple(
        ShownFlag(
            each, seen.routing.effects.get(each.id, Effect()), seen.routing.circuits.get(each.circuit or ""),
            each.id in seen.own.flags,
        )
        for each in seen.tripped
    )  # fmt: skip


def chart(use: QuotaUse, now: datetime) -> list[Column]:
    """By per cent of the tightest limit, else by the busiest minute."""
    first = now.replace(second=0, microsecond=0) - timedelta(minutes=CHART_MINUTES - 1)
    most = max((each.starts for each in use.samples), default=1)
    columns = []
    for each in use.samples:
        minute = int((each.at - first).total_seconds() // 60)
        if 0 <= minute < CHART_MINUTES:
            percent = round(100 * each.starts / most) if each.percent is None else each.percent
            full = each.percent is not None and each.percent >= 95
            columns.append(Column(minute, max(4, min(100, percent)), full))
    return columns


def _needs(found: Summary | None, seen: Known) -> Iterator[Needs]:
    if found is not None and seen.now - found.at > STALE_AFTER:
        age = display.age(found.at, seen.now)
        yield Needs(f"the figures are {age} old and may be outdated", "watch-is-silent")
    for model, why in seen.held.items():
        if why["reason"] == "no route":
            yield Needs(f"{model}: {display.held(model, why)}", "no-route")
        if why["reason"] == "zero":
            yield Needs(f"{model}: {display.held(model, why)}", "no-balance")
    for each in seen.routing.conclusions.reached.values():
        yield Needs(each.why, each.policy.runbook or each.claim.value)
    for purse in found.spent.purses if found is not None and found.spent is not None else ():
        if purse.waiting:
            yield Needs(f"{purse.tenant}: {purse.waiting:,} requests wait for budget", "budget")
