"""A plan as shown: what it reckons with, the alternatives side by side, each model's quota; and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import to_builtins
from rich import box
from rich.console import RenderableType
from rich.table import Table

from scripts.cli.views.responsive_table import Cell, Column, Narrowing
from scripts.cli.views.see.request_view import age, moment
from scripts.planner.alternatives import BATCH_EXPIRY_HOURS, BATCH_TARGET_HOURS
from scripts.planner.forecast import AT_ONCE_EACH, ForecastBasis
from scripts.planner.limits import WORDS, KnownLimit
from scripts.planner.load import PlannedLoad
from scripts.planner.results import ModelFigures, PlanFigures, QueueForecast
from shared.core.admission.fleet_pace import FIRST_CAP, USED_SHARE
from shared.core.admission.slot_calendar import is_untimed
from shared.core.limits.effective import DIMENSIONS
from shared.core.limits.quota import Limits
from shared.core.messages.render_request import PRIORITIES
from shared.core.values.lanes import BATCH, FLEX

UNKNOWN = "-"
MOST_REJECTED = 5
"""Shown by line."""


def reckoning(load: PlannedLoad, stage: ForecastBasis) -> RenderableType:
    """What the figures rest on."""
    limits = "\n".join(f"{_short(model)}: {_limits(stage, model)}" for model in load.models)
    return _grid(
        [
            ("load", load.about),
            ("start", f"{moment(stage.start)}, no quota used yet"),
            ("latency", stage.latencies.about),
            ("capacity", f"{stage.capacity:,} attempts at once, of which {USED_SHARE:.0%} are used"),
            ("limits", limits),
        ]
    )


def _grid(rows: Sequence[tuple[str, str]], style: str = "") -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(style=style, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return grid


def _limits(stage: ForecastBasis, model: str) -> str:
    of_model = stage.limits.get(model, {})
    parts = [_limit(name, of_model[name], stage.start) for name in DIMENSIONS if name in of_model]
    if is_untimed(Limits(**{name: limit.value for name, limit in of_model.items()})):
        parts.append(f"no known rate limit: starts at {FIRST_CAP} concurrent calls and doubles every 5 s")
    return ", ".join(parts)


def _limit(dimension: str, limit: KnownLimit, now: datetime) -> str:
    value = "unlimited" if limit.value is None else f"{limit.value:,}"
    if dimension == "spend10m_micros" and limit.value is not None:
        value = f"{limit.value / 1_000_000:,.2f}"
    old = f", {age(limit.at, now)} old" if limit.at else ""
    return f"{WORDS.get(dimension, dimension)} {value} ({limit.source}{old})"


def table(results: Sequence[PlanFigures]) -> RenderableType:
    """A row a figure, a column an alternative."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    shown.add_column("", no_wrap=True)
    for figures in results:
        shown.add_column(figures.name, justify="right", overflow="fold")
    for name, cells in _rows(results):
        shown.add_row(name, *cells)
    return shown


def _rows(results: Sequence[PlanFigures]) -> Iterator[tuple[str, list[str]]]:
    yield "requests", [f"{figures.requests:,}" for figures in results]
    yield "changed", [f"{figures.changed:,}" if figures.changed else UNKNOWN for figures in results]
    yield "all started after", [_course(figures, lambda of: lasting(of.begun)) for figures in results]
    yield "  by quota alone", [_course(figures, lambda of: lasting(of.ideal)) for figures in results]
    yield "all finished after", [_finished(figures) for figures in results]
    if any(figures.course and figures.course.unrendered for figures in results):
        yield "not rendered", [_course(figures, lambda of: f"{of.unrendered:,}") for figures in results]
    for priority in PRIORITIES:
        if any(figures.course and priority in figures.course.waits for figures in results):
            for share in ("p50", "p90", "p99"):
                yield f"wait {priority} {share}", [_wait(figures, priority, share) for figures in results]
    yield "cost, listed price", [dollars(figures.cost.listed) for figures in results]
    yield "cost, estimate", [dollars(figures.cost.estimate) for figures in results]
    yield "cost, at most", [dollars(figures.cost.most) for figures in results]
    yield "idle quota", [_course(figures, _idle) for figures in results]
    yield "waits for", [_course(figures, _binds) for figures in results]
    yield "most at once", [_course(figures, lambda of: f"{of.most_at_once:,}") for figures in results]
    yield "instances", [_course(figures, lambda of: f"{of.instances:,} x {AT_ONCE_EACH}") for figures in results]
    yield "memory, at most", [_course(figures, lambda of: f"{of.memory_bytes / 1e9:,.1f} GB") for figures in results]


def _course(of: PlanFigures, read: Callable[[QueueForecast], str]) -> str:
    return UNKNOWN if of.course is None else read(of.course)


def _finished(of: PlanFigures) -> str:
    queue = None if of.course is None else lasting(of.course.finished)
    if of.batched:
        return f"{BATCH_TARGET_HOURS} h target"
    return UNKNOWN if queue is None else queue


def _wait(of: PlanFigures, priority: str, share: str) -> str:
    return _course(of, lambda course: lasting(course.waits[priority][share]) if priority in course.waits else UNKNOWN)


def _idle(course: QueueForecast) -> str:
    idle = _busiest(course).idle_share
    return UNKNOWN if idle is None else f"{idle:.0%}"


def _binds(course: QueueForecast) -> str:
    return _busiest(course).binds or "nothing"


def _busiest(course: QueueForecast) -> ModelFigures:
    """The model that finishes last says what holds all."""
    return max(course.models.values(), key=lambda model_figures: model_figures.begun)


def models(of: PlanFigures) -> RenderableType:
    """Each model as asked: what holds it, how long, and how its days fill."""
    assert of.course is not None
    columns = (
        Column("model"),
        Column("requests", right=True),
        Column("waits for"),
        Column("share", right=True),
        Column("idle", right=True),
        Column("starts by Pacific day", least=12),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            _short(model),
            f"{model_figures.requests:,}",
            model_figures.binds or "nothing",
            f"{model_figures.bound_share:.0%}",
            UNKNOWN if model_figures.idle_share is None else f"{model_figures.idle_share:.0%}",
            _days(model_figures.by_day),
        )
        for model, model_figures in of.course.models.items()
    ]
    return Narrowing(columns, rows)


def _days(by_day: Mapping[str, int]) -> str:
    shown = [f"{day[5:]}: {count:,}" for day, count in by_day.items()]
    return ", ".join(shown if len(shown) <= 3 else [shown[0], f"... {shown[-1]}"])


def notes(results: Sequence[PlanFigures], load: PlannedLoad, stage: ForecastBasis) -> RenderableType:
    """What the table cannot say."""
    lines = [
        ("cost", "estimate: one attempt each, with thinking; at most: attempts that may have been billed are repeated"),
        ("memory", f"instances of {AT_ONCE_EACH} requests; at most: all images of the busiest moment in at once"),
        ("waits for", "the limit that the queue waited for longest, and its share of the time until all had started"),
        ("deliveries", "releases that no worker had accepted yet"),
        ("idle", "quota that was available but unused until all had started"),
    ]
    for figures in results:
        lines += _note(figures, load, stage)
    return _grid(lines, "dim")


def _note(of: PlanFigures, load: PlannedLoad, stage: ForecastBasis) -> list[tuple[str, str]]:
    some = f"{of.changed:,} of {of.requests:,}"
    match of.name:
        case "as asked":
            return _notes_as_asked(of, stage)
        case "one size lower":
            return [
                ("size", f"{some} have a smaller size above their floor; it uses as many slots and finishes sooner")
            ]
        case "flex lane":
            return [(FLEX, f"{some}; the same limits; waits and latency are unknown")]
        case "batch lane":
            consent = sum(wanted.may_batch for wanted in load.wanted)
            times = f"{BATCH_TARGET_HOURS} h is the target, a batch expires after {BATCH_EXPIRY_HOURS} h"
            return [(BATCH, f"{some} ({consent:,} allow it now); {times}; waits are unknown")]


def _notes_as_asked(of: PlanFigures, stage: ForecastBasis) -> list[tuple[str, str]]:
    course = of.course
    if course is None:
        return []
    texts = []
    if of.flexed:
        texts.append(("as asked", f"{of.flexed:,} use the flex lane, assumed as fast as standard"))
    if any(model.binds == "capacity" for model in course.models.values()) and course.capacity_enough > stage.capacity:
        texts.append(("capacity", f"{course.capacity_enough:,} would be enough (RENDERLANE_CAPACITY)"))
    if course.unrendered:
        texts.append(("expired", f"{course.unrendered:,} requests expire before they start (unpaid)"))
    return texts


def rejected(load: PlannedLoad) -> list[str]:
    """For standard error."""
    lines = list(load.rejected[:MOST_REJECTED])
    more = len(load.rejected) - len(lines)
    return [*lines, *([f"and {more:,} more"] if more else [])] if lines else []


def lasting(seconds: float) -> str:
    """To two parts: `4.2 s`, `13m 37s`, `20h 3m`, `2d 4h`."""
    if math.isinf(seconds):
        return "never"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, small_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // smaller}{small_unit}"
    return f"{whole} s"


def dollars(micros: int) -> str:
    return f"${micros / 1_000_000:,.2f}"


def document(load: PlannedLoad, stage: ForecastBasis, results: Sequence[PlanFigures]) -> dict[str, Any]:
    """The whole plan for a program: durations in seconds; null is unknown or never."""
    return {
        "load": {"about": load.about, "requests": len(load.wanted), "rejected": list(load.rejected)},
        "start": stage.start,
        "seed": stage.seed,
        "capacity": stage.capacity,
        "latency": stage.latencies.about,
        "limits": {
            model: {name: to_builtins(limit) for name, limit in dimensions.items()}
            for model, dimensions in stage.limits.items()
        },
        "alternatives": [_alternative(figures) for figures in results],
    }


def _alternative(of: PlanFigures) -> dict[str, Any]:
    built: dict[str, Any] = _finite(to_builtins(of))
    return {"cost_micros" if name == "cost" else name: value for name, value in built.items()}


def _finite(value: Any) -> Any:
    match value:
        case float() if math.isinf(value):
            return None
        case float():
            return round(value, 3)
        case Mapping():
            return {name: _finite(item) for name, item in value.items()}
        case _:
            return value


def _short(model: str) -> str:
    return model.removeprefix("gemini-").removesuffix("-image")
