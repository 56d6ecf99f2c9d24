"""The requests to forecast, each with the route and the estimate that the worker would give it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from scripts.cli.data.run.outgoing import OutgoingMessage, complaints
from scripts.planner.errors import InvalidLoad
from scripts.virtual_time.request import Priority
from shared.core.catalogue.catalogue import Catalogue
from shared.core.messages.render_request import Cancel, InvalidRequest, RenderRequest
from shared.core.messages.request_key import key_of
from shared.core.routing.ladder import Planned, Unroutable, first_plan
from shared.core.routing.requirements import Requirements
from shared.core.values.lanes import BATCH, SLOTTED
from shared.core.values.route import Route


class Wanted(Struct, frozen=True):
    """One request. Times in seconds since the start of the plan."""

    at: float
    """When it is published."""
    priority: Priority
    tenant: str
    deadline: float | None
    """Not begun by then, it expires unpaid."""
    ask: Requirements
    planned: Planned
    floor_size: str | None
    """The smallest size it accepts; None = only what was asked for."""
    may_batch: bool
    """It consents to take a day."""

    @property
    def route(self) -> Route:
        return self.planned.route


class PlannedLoad(Struct, frozen=True):
    about: str
    """For people: where it comes from."""
    wanted: Sequence[Wanted]
    """In the order of publication."""
    rejected: Sequence[str] = ()
    """What the worker would reject, with its reason."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models called, most requests first."""
        return tuple(model for model, _ in Counter(wanted.route.model for wanted in self.wanted).most_common())


def of_lines(lines: Sequence[OutgoingMessage], file: str, catalogue: Catalogue, start: datetime) -> PlannedLoad:
    """The requests of a file that one would submit, all published at the start. Raises InvalidLoad without any."""
    wanted: list[Wanted] = []
    rejected = complaints(lines, file)
    keys: set[str] = set()
    for line in lines:
        match line.meaning:
            case Cancel() | InvalidRequest():
                continue
            case RenderRequest() as request if key_of(request.tenant, request.request_id) in keys:
                continue
            case RenderRequest() as request:
                keys.add(key_of(request.tenant, request.request_id))
                planned = first_plan(Requirements.of(request), catalogue, SLOTTED)
                if isinstance(planned, Unroutable):
                    rejected.append(f"{file}:{line.number}: {planned.problem}")
                else:
                    wanted.append(_wanted(request, planned, catalogue, start))
    if not wanted:
        why = f": {rejected[0]}" if rejected else ""
        raise InvalidLoad(f"{file}: found no request that would be accepted{why}; allowed: one request a line as JSON")
    return PlannedLoad(f"{len(wanted):,} requests of {file}, all at once", wanted, rejected)


def _wanted(request: RenderRequest, planned: Planned, catalogue: Catalogue, start: datetime) -> Wanted:
    floor = request.floor
    exact = isinstance(floor, str)
    return Wanted(
        at=0.0,
        priority=priority(request.priority),
        tenant=request.tenant,
        deadline=None if request.deadline is None else (request.deadline - start).total_seconds(),
        ask=Requirements.of(request),
        planned=planned,
        floor_size=None if isinstance(floor, str) else floor.image_size or catalogue.default_floor_size,
        may_batch=(request.allow_batch or request.lane == BATCH) and not exact,
    )


def priority(name: str) -> Priority:
    match name:
        case "interactive" | "normal" | "bulk":
            return name
        case _:
            raise ValueError(f"{name!r} is no priority")
