"""A load that nobody has written down: so many at once, a rate, a curve, in a mix of priorities and kinds."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from random import Random

from msgspec import Struct

from scripts.planner.errors import InvalidLoad, wrong
from scripts.planner.load import PlannedLoad, Wanted, priority
from scripts.virtual_time.request import Priority
from shared.core.catalogue.catalogue import Catalogue
from shared.core.messages.render_request import PRIORITIES, PURPOSES, SIZES
from shared.core.routing.ladder import Planned, Unroutable, first_plan
from shared.core.routing.requirements import Requirements
from shared.core.values.lanes import SLOTTED, STANDARD

MINUTE = 60.0
MOST = 200_000
"""Requests: a rehearsal of more takes minutes."""


class RequestKind(Struct, frozen=True):
    """What a share of the requests asks for."""

    purpose: str = "default"
    model: str | None = None
    image_size: str = "1K"
    lane: str = STANDARD


def kind(field: str, text: str, catalogue: Catalogue) -> RequestKind:
    """`final:2K:flex`, each part a purpose or model, a size, a lane, in any order. Raises InvalidLoad."""
    members: dict[str, str] = {}
    for part in text.split(":"):
        name = _part(part.strip(), catalogue)
        if name is None:
            allowed = f"a purpose ({', '.join(PURPOSES)}), a model, a size ({', '.join(SIZES)}) or a lane"
            raise wrong(field, part, f"{allowed} ({', '.join(SLOTTED)}), joined by colons")
        if name in members or {name, *members} >= {"purpose", "model"}:
            raise wrong(field, text, "one purpose or model, one size, one lane")
        members[name] = part.strip()
    return RequestKind(**members)


def _part(word: str, catalogue: Catalogue) -> str | None:
    if word in PURPOSES:
        return "purpose"
    if word in SIZES:
        return "image_size"
    if word in SLOTTED:
        return "lane"
    return "model" if word in catalogue.names else None


def priority_of(field: str, text: str) -> Priority:
    if text not in PRIORITIES:
        raise wrong(field, text, ", ".join(PRIORITIES))
    return priority(text)


def curve(file: str, text: str) -> Sequence[tuple[float, int]]:
    """CSV lines `minute,requests`; a first line of words is skipped. Raises InvalidLoad."""
    rows: list[tuple[float, int]] = []
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        if not row or (number == 1 and not row[0].strip()[:1].isdigit()):
            continue
        try:
            minute, count = float(row[0]), int(row[1])
        except (ValueError, IndexError) as error:
            raise wrong(f"{file}:{number}", ",".join(row), "minute,requests, for example 0,450") from error
        if not 0 <= minute <= 100_000 or not 0 <= count <= MOST:
            raise wrong(f"{file}:{number}", ",".join(row), f"minutes from 0 on, and 0 to {MOST:,} requests")
        rows.append((minute, count))
    if not rows:
        raise wrong(file, text[:40], "lines of minute,requests, for example 0,450")
    return rows


def instants(rows: Sequence[tuple[float, int]], chance: Random) -> list[float]:
    """Seconds: each minute's requests lie anywhere in it."""
    return [minute * MINUTE + chance.random() * MINUTE for minute, count in rows for _ in range(count)]


def poisson(rate: float, lasts: float, chance: Random) -> list[float]:
    """Seconds of independent arrivals; `rate` a minute for `lasts` seconds."""
    times: list[float] = []
    at = 0.0
    while (at := at + chance.expovariate(rate / MINUTE)) < lasts:
        times.append(at)
    return times


def even(rate: float, lasts: float) -> list[float]:
    return [number * MINUTE / rate for number in range(int(rate * lasts / MINUTE))]


def load(
    about: str,
    times: Sequence[float],
    priorities: Mapping[Priority, float],
    kinds: Mapping[RequestKind, float],
    catalogue: Catalogue,
    chance: Random,
    *,
    tokens: int,
) -> PlannedLoad:
    """One request at each of `times`, priority and kind drawn by their shares. Raises InvalidLoad."""
    if not times:
        raise InvalidLoad("the load has no request; ask for a larger --backlog, --arrivals, --for or --curve")
    if len(times) > MOST:
        raise InvalidLoad(f"the load has {len(times):,} requests; allowed: at most {MOST:,}; plan a part of it")
    planned = {item: _planned(item, catalogue, tokens) for item in kinds}
    drawn_kinds = chance.choices(list(kinds), list(kinds.values()), k=len(times))
    drawn = chance.choices(list(priorities), list(priorities.values()), k=len(times))
    wanted = [
        Wanted(at, item, "default", None, *planned[what], catalogue.default_floor_size, may_batch=False)
        for at, item, what in zip(sorted(times), drawn, drawn_kinds, strict=True)
    ]
    return PlannedLoad(about, wanted)


def _planned(what: RequestKind, catalogue: Catalogue, tokens: int) -> tuple[Requirements, Planned]:
    ask = Requirements(what.purpose, what.model, what.image_size, None, what.lane, tokens, 0, False, None)
    plan = first_plan(ask, catalogue, SLOTTED)
    if isinstance(plan, Unroutable):
        raise InvalidLoad(f"--of: {plan.problem}")
    return ask, plan
