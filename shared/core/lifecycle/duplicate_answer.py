"""Further answers under a key that was answered already: they were billed, so they are booked. Pure."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from shared.core.catalogue.catalogue import Catalogue
from shared.core.lifecycle import settlement
from shared.core.lifecycle.settlement import Settlement
from shared.core.provider.stored_image import Ending
from shared.core.records.versioned import Attempt, Request, with_record
from shared.core.values.documents import Create, Write


def book_extra(
    request: Request, attempt: Attempt, ending: Ending, line: int, catalogue: Catalogue, *, now: datetime, shard: int
) -> tuple[Write, ...]:
    """The writes that book `ending`, the answer number `line` under one key (from 1; 0 was the attempt's own).

    An attempt document of its own holds the cost, named for its line: booked twice, the commit conflicts. The request
    keeps status and image.
    """
    held = attempt.record.budget  # returned with the attempt's own end; the period stays
    opened = replace(
        with_record(
            attempt,
            replace(
                attempt.record,
                ended_at=None,
                outcome=None,
                usage=None,
                cost_micros=0,
                cost_basis=None,
                cost_parts={},
                image_uri=None,
                budget=replace(held, micros=0) if held is not None else None,
            ),
        ),
        path=f"{attempt.path}-{line}",
    )
    as_ended = with_record(request, replace(request.record, status="succeeded"))
    settled = settlement.settle(
        as_ended, opened, ending, catalogue, now=now, latency_ms=0, jitter=0.0, shard=shard
    )  # fmt: skip
    assert isinstance(settled, Settlement), "the attempt of this line is open"
    extra = replace(settled.closed, image_uri=None).to_json()
    changed, _, *booked = settled.writes()
    return changed, Create(opened.path, {**attempt.data, **extra}), *booked
