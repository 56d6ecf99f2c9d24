"""Slots that the pump leaves open ahead of time, for requests that arrive while nothing is queued. Pure.

Intake lets a request take one in the commit that creates the request, by also creating the slot's own document: of any
number of takers one wins. An open slot counts against every window until the pump has seen what became of it: a start
in the bucket in which it was taken, or none. So it can be taken at any moment without exceeding a limit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.admission.slot_calendar import (
    Calendar,
    Weight,
    patient_until,
)
from shared.core.limits.quota import Limits
from shared.core.times.pacific import pacific_day
from shared.core.values.codec import Stored

COLLECTION = "taken_slots"
OPEN_FOR = timedelta(minutes=5)
"""The scheduled kick comes once a minute: slots in use are renewed long before."""
RENEWED_WITHIN = timedelta(minutes=2)
USED_WITHIN = timedelta(hours=1)
"""A model that was used this recently has open slots."""
LEAST_OPEN, MOST_OPEN = 4, 24
LOOKED_BACK = timedelta(seconds=10)
"""How far arrivals are looked back at, to have enough slots open until the next tick."""
SPREAD = 3.0
"""Standard deviations above the mean number of arrivals between two late ticks that are kept open."""
TICKS_AHEAD = 1.5
SHARE = 0.1
"""Share of a limit that may be open."""
LEAST_LIMIT = 20
"""A smaller limit leaves nothing open."""
MODEL_SHARE, FLEET_SHARE = 0.5, 0.75
"""Share of the room for attempts that may be open: of one model's, and of the fleet's for all models together."""
LIGHT = 0.8
"""Share of a limit: beyond it, starts and open slots leave nothing to be granted ahead of time."""
MOST_TOKENS, TOKEN_SHARE = 20_000, 0.01
"""Input tokens of a request that may take one; the share where a limit of tokens is known."""
MOST_MICROS = 300_000
"""Estimate of a request that may take one, where the project's spend is limited."""
LEAST_LEFT = timedelta(seconds=1)
"""What must be left of an open slot for a request to take it."""
KEPT_FOR = timedelta(seconds=5)
"""How long the document of a taken slot is kept after it was counted: a reader may have seen the slot open shortly
before, and must fail to take it. A later reader finds the slot's last start in the past."""
EXPIRED_AFTER = timedelta(seconds=5)
"""Beyond the end of a slot: by how much the clocks of two pumps may differ."""
WITHDRAWN = ""

CalledBy: TypeAlias = tuple[str, int | None]
"""How a circuit's calls are made (see background_proof.Way), and how long they usually take in milliseconds."""


class OpenTerms(Stored, frozen=True):
    """What the pump plans under beside the flags, for intake to plan the same."""

    lacking: Mapping[str, str] = field(default_factory=dict)
    """See shared.core.routing.context.RoutingContext."""
    probing: tuple[str, ...] = ()
    """Circuits and pools whose next request should be queued, to probe a breaker or a conclusion."""
    ways: Mapping[str, CalledBy] = field(default_factory=dict)
    """By circuit; one that is missing wants a canary, which the pump sends."""


class Opening(Stored, frozen=True):
    """Of one model; kept in its calendar's document."""

    slots: Mapping[str, datetime] = field(default_factory=dict)
    """Until when each may be taken, by its id."""
    is_offered: bool = False
    """Nothing of this model is queued or blocked."""
    tokens: int = 0
    """Per slot: a request with more input tokens cannot take one."""
    estimate_micros: int | None = None
    """Per slot: a dearer request cannot take one. None = no limit."""
    counted: Mapping[str, datetime] = field(default_factory=dict)
    """Slots that were taken or withdrawn, and when that was counted: their documents still exist."""
    count: int = 0
    """Number of slots opened so far: their ids are never reused."""
    used_at: datetime | None = None
    """The minutes in which something of this model started."""
    terms: OpenTerms = OpenTerms()

    @property
    def weight(self) -> Weight:
        """What all of them reserve of every window."""
        return Weight(len(self.slots), len(self.slots), len(self.slots) * self.tokens)

    @property
    def micros(self) -> int:
        """What they reserve of the spend window."""
        return len(self.slots) * (self.estimate_micros or 0)

    def to_take(self, tokens: int, estimate_micros: int, now: datetime) -> list[str]:
        """The slots that a request may take now."""
        too_dear = self.estimate_micros is not None and estimate_micros > self.estimate_micros
        if not self.is_offered or tokens > self.tokens or too_dear:
            return []
        return [slot for slot, until in self.slots.items() if until - now >= LEAST_LEFT]


class CalendarPart(Stored, frozen=True):
    """A calendar's document, as far as intake reads it."""

    opening: Opening = Opening()


class TakenSlot(Stored, frozen=True):
    """The document that takes a slot. The pump counts it once, and removes it KEPT_FOR later."""

    slot: str
    pool: str
    taken_at: datetime
    """The slot of the start. It must leave by `patient_until` of it."""
    request: str = WITHDRAWN
    """Its key; WITHDRAWN = the pump has taken the slot back."""
    tokens: int = 0
    estimate_micros: int = 0
    saved_micros: int = 0
    circuit: str = ""
    queue: str = ""
    priority: str = ""
    fair_tag: float = 0.0
    flags: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return path(self.slot)

    @property
    def weight(self) -> Weight:
        return Weight(tokens=self.tokens)


class Withdrawn(Struct, frozen=True):
    """A slot that the pump wants back, because requests are queued behind it."""

    slot: str
    pool: str


def path(slot: str) -> str:
    return f"{COLLECTION}/{slot}"


def start_until(slot_at: datetime) -> datetime | None:
    """The last valid start of a slot taken at `slot_at`; None around midnight, when it is uncertain which day would
    count it."""
    until = patient_until(slot_at)
    return until if pacific_day(until) == pacific_day(slot_at) else None


def counted(
    opening: Opening, calendar: Calendar, taken: Collection[TakenSlot], read_from: datetime | None, now: datetime
) -> tuple[Opening, Calendar]:
    """The state after what became of the slots. A slot that ended before `read_from`, the time from which takers were
    read, is free. A start counts even if its slot is no longer known: it was taken in the last moment."""
    slots, counted = dict(opening.slots), dict(opening.counted)
    for taking in taken:
        slots.pop(taking.slot, None)
        if taking.slot in counted:
            continue
        counted[taking.slot] = now
        if taking.request != WITHDRAWN:
            calendar = calendar.started(taking.taken_at, taking.weight)
    if read_from is not None:
        slots = {slot: until for slot, until in slots.items() if until + EXPIRED_AFTER > read_from}
        counted = {slot: at for slot, at in counted.items() if now - at < KEPT_FOR}
    return replace(opening, slots=slots, counted=counted), calendar


def laid(
    opening: Opening, calendar: Calendar, limits: Limits, model: str, open_terms: OpenTerms, *, most: int,
    most_micros: int | None, now: datetime,
) -> Opening:  # fmt: skip
    """The state with as many open slots as arrivals until the next tick may need, and as every limit certainly leaves.
    `limits` without what is reserved; at most `most` slots are open, including existing ones; `most_micros` is what the
    project may spend, None if unlimited."""
    opening = replace(opening, is_offered=True, terms=_of(open_terms, model))
    tokens = MOST_TOKENS if limits.tpm is None else int(limits.tpm * TOKEN_SHARE)
    if not opening.slots:
        opening = replace(opening, tokens=tokens, estimate_micros=None if most_micros is None else MOST_MICROS)
    wanted = min(expected(calendar, now), _most(limits), max(most, 0))
    if most_micros is not None:
        wanted = min(wanted, int(max(most_micros, 0) * SHARE) // MOST_MICROS if opening.estimate_micros else 0)
    slots = dict(sorted(opening.slots.items(), key=itemgetter(1)))
    for slot in list(slots)[-wanted:] if wanted > 0 else []:
        if slots[slot] - now < RENEWED_WITHIN:
            slots[slot] = now + OPEN_FOR
    opening = replace(opening, slots=slots)
    light, one = _light(limits), Weight(tokens=opening.tokens)
    while len(opening.slots) < wanted and calendar.has_room(light, one, now, opening.weight):
        slot = f"{model}.{int(now.timestamp())}.{opening.count}"
        opening = replace(opening, slots={**opening.slots, slot: now + OPEN_FOR}, count=opening.count + 1)
    return opening


def used(opening: Opening, calendar: Calendar, now: datetime) -> Opening:
    """With the minute of the last start, if one was within LOOKED_BACK."""
    if not calendar.starts(now - LOOKED_BACK, now + LOOKED_BACK):
        return opening
    minute = now - timedelta(seconds=now.second, microseconds=now.microsecond)
    return opening if opening.used_at == minute else replace(opening, used_at=minute)


def _of(open_terms: OpenTerms, model: str) -> OpenTerms:
    """As far as they concern one model."""
    own = {circuit: way for circuit, way in open_terms.ways.items() if circuit.partition("/")[2] == model}
    return replace(open_terms, ways=own)


def expected(calendar: Calendar, now: datetime) -> int:
    """Expected arrivals until a late next tick, on the safe side."""
    mean = calendar.starts(now - LOOKED_BACK, now) / LOOKED_BACK.total_seconds() * TICKS_AHEAD
    return min(LEAST_OPEN + math.ceil(mean + SPREAD * math.sqrt(mean)), MOST_OPEN)


def shared_out(
    counts: Mapping[str, int], wants: Mapping[str, int], room: int
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """How many slots each model that wants some may have open, of `room` for all; and how many each has too many.
    `counts` are open now. Too many is what exceeds a model's even share while another model has less than half of its
    own: traffic has moved from one to the other. A smaller difference is not worth the writes."""
    shares: dict[str, int] = {}
    for place, model in enumerate(sorted(wants, key=wants.__getitem__)):
        shares[model] = min(wants[model], max(room - sum(shares.values()), 0) // (len(wants) - place))
    free, most = room - sum(counts.values()), {}
    for model, share in shares.items():
        more = min(max(share - counts[model], 0), max(free, 0))
        most[model], free = min(share, counts[model] + more), free - more
    is_starved = any(2 * most[model] < share for model, share in shares.items())
    surplus = {model: count - shares.get(model, 0) for model, count in counts.items() if count > shares.get(model, 0)}
    return most, surplus if is_starved else {}


def _most(limits: Limits) -> int:
    """None of a small limit: a slot that nothing takes would be missed by waiting requests."""
    named = [limit for limit in (limits.rpm, limits.ipm, limits.rpd) if limit is not None]
    return min((int(limit * SHARE) if limit >= LEAST_LIMIT else 0 for limit in named), default=MOST_OPEN)


def _light(limits: Limits) -> Limits:
    shares = {
        name: int(limit * LIGHT) for name in ("rpm", "ipm", "tpm") if (limit := getattr(limits, name)) is not None
    }
    return replace(limits, **shares)
