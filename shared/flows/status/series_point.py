"""Once a minute, the series' next point and the marks of what happened since the last one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.core.accounting import traffic
from shared.core.lifecycle import queries
from shared.core.observability import series
from shared.core.observability.series import HOUR, MINUTE, PATH, Mark, Phase, Series
from shared.core.observability.status_summary import Summary
from shared.core.routing.flag import BREAKER
from shared.core.routing.flag_history import HistoryLine
from shared.core.values.documents import Create, Document, Update, Write
from shared.ports import Ports

MOST_NEW_MARKS = 20
OVERLAP = timedelta(seconds=10)
"""Flags are stamped by the store's clock, like the readings; this overlap catches one written at the same time as the
last reading."""
SIGNS = {"trip": "on", "reset": "off", "extend": "extended", "expire": "expired", "undo": "undone"}


async def made(ports: Ports, summary: Summary, before: Summary) -> tuple[Summary, list[Write]]:
    """The summary with its meter reset, and the write of the series; neither while the minute is the same. Raises
    StoreUnavailable."""
    meter, now = summary.meter, summary.at
    last = meter.point_at
    if last is not None and series.number(last, MINUTE) >= series.number(now, MINUTE):
        if last <= now:
            return summary, []
        last = None  # from a clock that was set back since
    document = await ports.store.get(PATH)
    earlier = Series.from_json(document.data) if isinstance(document, Document) else Series()
    limits = _limits(summary)
    marks = [*await _flags(ports, last, now), *_changed_limits(meter.limits, limits, now)]
    if meter.version not in ("", ports.release.name):
        marks.append(Mark(now, "deploy", f"release {ports.release.name}"))
    whole = traffic.summed(meter.minute.values())
    minute = series.point(whole, summary.queued_count, summary.running_count, meter.minute)
    at = now - MINUTE if last is None or now - last >= MINUTE / 2 else last
    after = earlier.with_minute(at, minute, marks)
    hour_is_over = last is not None and series.number(last, HOUR) < series.number(now, HOUR)
    if hour_is_over and last is not None:
        after = after.with_hour(last, series.point(meter.hour, summary.queued_count, summary.running_count))
    data = after.to_json()
    write: Write = Update(PATH, data, document.version) if isinstance(document, Document) else Create(PATH, data)
    pointed = meter.pointed(now, limits, ports.release.name, hour_is_over=hour_is_over)
    return replace(summary, meter=pointed), [write]


async def read_now(ports: Ports) -> tuple[Series, datetime, str]:
    """The series, the store's time, and the version of the document. Raises StoreUnavailable."""
    document = await ports.store.get(PATH)
    if isinstance(document, Document):
        return Series.from_json(document.data), document.read_at, document.version
    return Series(), document.read_at, ""


async def _flags(ports: Ports, last: datetime | None, now: datetime) -> list[Mark]:
    since = (last or now - HOUR) - OVERLAP
    lines = await ports.store.query(queries.flag_history_since(since, MOST_NEW_MARKS))
    return [_mark(HistoryLine.from_json(item.data)) for item in lines if item.is_readable]


def _mark(line: HistoryLine) -> Mark:
    sign, flag = SIGNS.get(line.action, line.action), line.logged
    is_breaker = flag.actor == BREAKER
    what = f"breaker of {flag.scope.lane}/{flag.scope.model}" if is_breaker else line.name
    return Mark(
        line.at, "breaker" if is_breaker else "flag", f"{what} {sign}: {line.reason}"[:200], line.flag_id,
        _phase(line), flag.expires_at,
    )  # fmt: skip


def _phase(line: HistoryLine) -> Phase:
    """The mark that a line of the history makes, if any."""
    if line.name == "conclusion":
        return ""
    match line.action, line.reason:
        case ("trip", _) | ("undo", "undone: reset"):
            return "begin"
        case ("extend", _) | ("undo", "undone: extend"):
            return "longer"
        case ("reset" | "expire", _) | ("undo", "undone: trip"):
            return "end"
        case _:
            return ""


def _limits(summary: Summary) -> dict[str, int]:
    return {
        f"{use.model} {dimension}": limit.value
        for use in summary.quota
        for dimension, limit in use.limits.items()
        if limit.value is not None
    }


def _changed_limits(before: Mapping[str, int], after: Mapping[str, int], now: datetime) -> list[Mark]:
    if not before:
        return []
    return [
        Mark(now, "limit", f"{name}: {before.get(name, 'unknown')} -> {after.get(name, 'unknown')}")
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
