"""A revived request: a new request under a new id, with the content of the old one. Pure.

The requested content is restored completely: the model that was named, not the route it had stepped down to. The cost
cap starts afresh, because the money of the old request stays with the old request.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from shared.core.messages.render_request import InvalidRequest, parse_message
from shared.core.records.request import RequestRecord
from shared.core.validation.shapes import Problem, shown
from shared.core.values.status import FINAL

ATTRIBUTE = "revives"
"""A message attribute: the id of the request that is revived. Not part of the content."""
REVIVABLE = ("failed", "expired", "cancelled", "refused")
"""A succeeded request has its image already, and one that has not ended will end by itself. A refusal is an answer, and
usually repeats: it may be revived by its id, after a person has looked at it, never as part of a group."""
BY_FILTER = ("failed", "expired", "cancelled")
ID_LIMIT = 128
ROUND = re.compile(r"-r([1-9][0-9]{0,5})\Z")


class Revival(Struct, frozen=True):
    """What to publish."""

    request_id: str
    """Of the new request."""
    data: bytes
    notes: tuple[str, ...]
    """What differs from the old request, for a person."""

    def __repr__(self) -> str:
        """Without the prompt."""
        return f"Revival({self.request_id!r}, notes={self.notes!r})"


def plan(
    old_id: str, old: RequestRecord, new_id: str, now: datetime, deadline: datetime | None = None
) -> Revival | Problem:
    """The new request, or why there can be none. A deadline that has passed is replaced or dropped."""
    status = old.status
    if status not in REVIVABLE:
        return _not_now(old_id, status)
    render_request, notes = old.content, []
    if deadline is not None and deadline <= now:
        return Problem(
            "deadline", shown(deadline.isoformat()), "a time in the future", "Set a later deadline, or none."
        )
    if deadline is None and render_request.deadline is not None and render_request.deadline <= now:
        notes.append(f"its deadline, {render_request.deadline:%Y-%m-%d %H:%M:%S} UTC, has passed: it is dropped")
    elif deadline is None:
        deadline = render_request.deadline
    again = replace(render_request, request_id=new_id, deadline=deadline)
    data = json.dumps(again.to_json(), ensure_ascii=False).encode()
    try:
        parse_message(data)
    except InvalidRequest as error:
        return error.problems[0]
    return Revival(new_id, data, tuple(notes))


def _not_now(old_id: str, status: str) -> Problem:
    allowed = f"a request that is {', '.join(REVIVABLE[:-1])} or {REVIVABLE[-1]}"
    if status == "succeeded":
        remedy = (
            f"It already has an image. For another one, submit its content under a new id with escalates: {old_id}."
        )
    else:
        assert status not in FINAL, status
        remedy = "It has not ended yet: wait, or cancel it first."
    return Problem("status", status, allowed, remedy)


def new_ids(old_id: str, *, is_revival: bool) -> Iterator[str]:
    """The candidate ids, in order: `ID-r2`, and for a request that is itself a revival the next number. Always the
    same, so that a request revived twice has one successor. The first free one is taken."""
    counted = ROUND.search(old_id) if is_revival else None
    stem = old_id[: counted.start()] if counted else old_id
    number = int(counted[1]) + 1 if counted else 2
    while True:
        ending = f"-r{number}"
        yield f"{_shortened(stem, ID_LIMIT - len(ending))}{ending}"
        number += 1


def _shortened(stem: str, room: int) -> str:
    """If it is too long: its beginning and a digest of the whole."""
    if len(stem) <= room:
        return stem
    digest = hashlib.sha256(stem.encode()).hexdigest()[:8]
    return f"{stem[: room - 9]}-{digest}"
