"""A change by hand can be undone with one click, for a minute."""

from __future__ import annotations

from datetime import datetime, timedelta

UNDO_WITHIN = timedelta(minutes=1)


def may_be_undone(changed_at: datetime, now: datetime) -> bool:
    return now - changed_at <= UNDO_WITHIN
