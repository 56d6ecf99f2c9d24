"""When a batch is looked at again, when it is reported as stuck, and when it is given up. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.core.catalogue.batch_rules import DEFAULT_RULES, BatchRules
from shared.core.lifecycle.batch import Progress
from shared.core.records.batch import BatchRecord

HOLD = timedelta(minutes=10)
"""How long a process may work on a batch; after a crash it is due again then."""
LEAVE_WITHIN = timedelta(seconds=30)
"""A create that has not left this soon after it was put on record is not sent."""
FOUND_WITHIN = timedelta(minutes=15)
"""By then a create that left is in the provider's list, if it arrived at all; none is repeated before."""
LOOK_AGAIN = timedelta(minutes=1)
LOOK_LATER = timedelta(minutes=5)
YOUNG = timedelta(hours=1)
"""How long it is looked at each minute."""
ANSWERS_WITHIN = timedelta(hours=48)
"""How long the provider keeps the answers of a batch."""
CANCELLED_AFTER = timedelta(hours=50)
"""The provider lets a batch expire after 48 hours; one that does not is cancelled."""
GIVEN_UP_AFTER = timedelta(hours=52)
"""One that does not end even after that counts as expired."""


def next_look(batch: BatchRecord, now: datetime) -> datetime:
    is_young = batch.submitted_at is None or now - batch.submitted_at < YOUNG
    return now + (LOOK_AGAIN if is_young else LOOK_LATER)


def is_newly_stuck(batch: BatchRecord, now: datetime, rules: BatchRules = DEFAULT_RULES) -> bool:
    """Nothing has changed for too long, and that was not reported since."""
    told_at = batch.escalated_at
    if told_at is not None and told_at >= batch.changed_at:
        return False
    patience = rules.stuck_after if batch.name else rules.unsent_stuck_after
    return now - batch.changed_at >= patience


def is_to_be_cancelled(batch: BatchRecord, now: datetime) -> bool:
    return now - _submitted_at(batch) >= CANCELLED_AFTER


def is_given_up(batch: BatchRecord, now: datetime) -> bool:
    return now - _submitted_at(batch) >= GIVEN_UP_AFTER


def is_without_answers(batch: BatchRecord, progress: Progress, now: datetime) -> bool:
    """It has succeeded but names neither a file nor answers; these may still appear."""
    nowhere = progress.state == "succeeded" and progress.results is None
    return nowhere and now - _submitted_at(batch) < ANSWERS_WITHIN


def may_create_again(batch: BatchRecord, now: datetime) -> bool:
    """Whether a create that was begun, and is not in the provider's list, has surely not arrived."""
    return batch.creating_at is not None and now - batch.creating_at >= FOUND_WITHIN


def _submitted_at(batch: BatchRecord) -> datetime:
    assert batch.submitted_at is not None, "it was handed over"
    return batch.submitted_at
