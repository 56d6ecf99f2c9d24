"""Further answers under a key that was answered already: they were billed, so they are booked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from shared.core.accounting.budget import Reservation
from shared.core.catalogue.catalogue import Catalogue
from shared.core.lifecycle import settlement
from shared.core.provider.stored_image import Ending
from shared.core.values.documents import Create, Document, Update, Write

_UNSETTLED: Mapping[str, Any] = {
    "ended_at": None,
    "outcome": None,
    "usage": None,
    "cost_micros": 0,
    "cost_basis": None,
    "cost_parts": {},
}


def book_extra(
    request: Document, attempt: Document, ending: Ending, line: int, catalogue: Catalogue, *, now: datetime, shard: int
) -> Sequence[Write]:
    """The writes that book `ending`, the answer number `line` under one key (from 1; 0 was the attempt's own).

    An attempt document of its own holds the cost, named for its line: booked twice, the commit conflicts. The request
    keeps status and image.
    """
    extra = f"{attempt.path}-{line}"
    held = Reservation.of(attempt.data)  # returned with the attempt's own end; the period stays
    nothing_held = replace(held, micros=0).to_json() if held is not None else None
    blank = {**attempt.data, **_UNSETTLED, "image_uri": None, "budget": nothing_held}
    opened = replace(attempt, path=extra, data=blank)
    as_ended = replace(request, data={**request.data, "status": "succeeded"})
    settled = settlement.settle(
        as_ended, opened, ending, catalogue, now=now, latency_ms=0, jitter=0.0, shard=shard
    )  # fmt: skip
    return [_created(write, opened) if write.path == extra else write for write in settled.writes]


def _created(write: Write, opened: Document) -> Create:
    assert isinstance(write, Update)
    return Create(opened.path, {**opened.data, **write.changes, "image_uri": None})
