"""The store's clock was set back: everything that the pump remembers in the old clock's time is shifted along with it.
Pure.

So a half-used minute stays half used, a closing of a minute lasts a minute, and nothing waits until the clock reaches
its old time again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from shared.core.admission import slot_calendar, spend_window
from shared.core.admission.fleet_pace import FleetPace
from shared.core.admission.model_state import ModelState
from shared.core.admission.priority import PriorityState
from shared.core.admission.route_memory import Routing
from shared.core.admission.slot_calendar import Calendar
from shared.core.admission.spend_window import Spend
from shared.core.admission.tick import Memory
from shared.core.conclusions.conclusion import Conclusions
from shared.core.times.leases import CLOCK_TOLERANCE

BY_THE_CALENDAR = ("day", "quota_day")
"""Closings that end at a midnight, by any clock."""


def set_back_by(memory: Memory, now: datetime) -> timedelta:
    """How far the clock was set back since the last tick; zero where it was not."""
    last = memory.fleet.seen_at
    return timedelta(0) if last is None or last - now <= CLOCK_TOLERANCE else last - now


def rewound(memory: Memory, by: timedelta) -> Memory:
    """All of it in the new clock's time. The epoch grows: sleeping requests are looked at again."""
    return replace(
        memory,
        standings={model: _standing(model_state, by) for model, model_state in memory.standings.items()},
        spend=Spend({number - by // spend_window.BUCKET: micros for number, micros in memory.spend.buckets.items()}),
        fleet=FleetPace.from_json(_moved(memory.fleet.to_json(), by)),
        epoch=memory.epoch + 1,
    )


def rewound_routing(routing: Routing, by: timedelta) -> Routing:
    """Conclusions are dropped, because their evidence counts seconds of the old clock. Those that still hold are drawn
    again."""
    return replace(Routing.from_json(_moved(routing.to_json(), by)), conclusions=Conclusions())


def _standing(standing: ModelState, by: timedelta) -> ModelState:
    moved = ModelState.from_json(_moved(standing.to_json(), by))
    return replace(moved, calendar=_calendar(standing.calendar, by), turns=PriorityState())


def _calendar(before: Calendar, by: timedelta) -> Calendar:
    steps = by // slot_calendar.BUCKET
    closed = before.closed_until
    if closed is not None and before.closed_why not in BY_THE_CALENDAR:
        closed -= by
    return replace(
        before,
        buckets={number - steps: weight for number, weight in before.buckets.items()},
        refunded={release: number - steps for release, number in before.refunded.items()},
        closed_until=closed,
        last_patient=None if before.last_patient is None else before.last_patient - steps,
    )


def _moved(value: Any, by: timedelta) -> Any:
    match value:
        case datetime():
            return value - by
        case Mapping():
            return {name: _moved(item, by) for name, item in value.items()}
        case list() | tuple():
            return [_moved(item, by) for item in value]
        case _:
            return value
