"""Reads the provider's own limits once a minute, so that changes take effect without a restart."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.core.limits.live_quota import PATH, UNLIMITED, LiveQuota, QuotaProblem, changes
from shared.core.observability import events
from shared.core.values.documents import Committed, Create, Delete, Document, Update, Write
from shared.ports import Ports
from shared.ports.quota import NotAsked, QuotaUnreadable

READ_EVERY = timedelta(minutes=1)
EARLY = timedelta(seconds=10)
"""How much earlier than that a reading may come: the schedule's minutes are not all equally long."""


async def read_live_quota(ports: Ports, *, every: timedelta = READ_EVERY) -> None:
    """Read, and record the values or why there are none. The last good values stay. Raises StoreUnavailable.

    Nothing happens if the last try is younger than `every`: on one machine the watch runs more often. If two processes
    read at once, the first to write wins and the other's reading is dropped: it is equally old.
    """
    document = await ports.store.get(PATH)
    now = document.read_at
    before = LiveQuota.from_json(document.data) if isinstance(document, Document) else None
    if before is not None and now - before.tried_at < every - EARLY:
        return
    after = await _read(ports, before or LiveQuota(tried_at=now), now)
    write = _write(document if isinstance(document, Document) else None, after)
    if write is not None and isinstance(await ports.store.commit(write), Committed) and after is not None:
        _tell(ports, before or LiveQuota(tried_at=now), after)


async def _read(ports: Ports, before: LiveQuota, now: datetime) -> LiveQuota | None:
    """None if it is configured that live limits are not read."""
    try:
        limits = await ports.live_quota.limits()
    except QuotaUnreadable as error:
        return before.without_limits(error.code, error.message, error.remedy, now)
    if isinstance(limits, NotAsked):
        return None
    after = before.with_limits(limits, now)
    try:
        usage = await ports.live_quota.usage()
    except QuotaUnreadable as error:
        return after.without_usage(error.code, error.message, error.remedy, now)
    return after.with_usage(None if isinstance(usage, NotAsked) else usage, now)


def _write(document: Document | None, after: LiveQuota | None) -> Write | None:
    """Limits that are no longer read are no longer true: they are removed, and the configured ones hold again."""
    if after is None:
        return None if document is None else Delete(PATH, document.version)
    return Create(PATH, after.to_json()) if document is None else Update(PATH, after.to_json(), document.version)


def _tell(ports: Ports, before: LiveQuota, after: LiveQuota) -> None:
    """Each change once, not each minute."""
    _tell_problem(ports, "limits", before.problem, after.problem)
    _tell_problem(ports, "usage", before.usage_problem, after.usage_problem)
    for change in changes(before, after):
        ports.signals.emit(
            events.LIMIT_CHANGED,
            model=change.model,
            dimension=change.dimension,
            old=_words(change.old),
            new=_words(change.new),
        )


def _tell_problem(ports: Ports, what: str, before: QuotaProblem | None, after: QuotaProblem | None) -> None:
    if after is not None and (before is None or before.code != after.code):
        fields = {"code": after.code, "reason": after.message, "remedy": after.remedy}
        ports.signals.emit(events.QUOTA_UNREADABLE, what=what, **fields)
    if before is not None and after is None:
        ports.signals.emit(events.QUOTA_READABLE, what=what, failed_since=before.since)


def _words(count: int | None) -> int | str:
    if count is None:
        return "unknown"
    return "unlimited" if count == UNLIMITED else count
