"""The lanes: one row each, from which everything else that depends on a lane follows. Pure.

Only what is not known here stands elsewhere: prices in the catalogue, wishes in `routing/flag`, wire forms in adapters.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Lane(Struct, frozen=True, kw_only=True):
    """One way to a provider. A column that is left out has the value that most lanes have."""

    name: str
    falls_back_to: tuple[str, ...] = ()
    """What may be taken instead, best first."""
    askable: bool = True
    """A request may name it."""
    at_once: bool = True
    """Google answers while we wait: each call takes a slot."""
    tier: bool = True
    """Google's API knows it as a service tier of this name."""
    patient: bool = False
    """Slow at its provider's convenience: never for interactive requests."""
    sheds: bool = False
    """An overload means that calls are turned away here: the request leaves at once instead of trying again."""
    steps_down: bool = False
    """Its breaker's flag is the one that leads to a cheaper model; else it is `pause`."""
    consent: str | None = None
    """The member of `allow` without which no request goes there."""


STANDARD, PRIORITY, FLEX, BATCH, GATEWAY = "standard", "priority", "flex", "batch", "gateway"
"""STANDARD is the default, of which every live model has prices. GATEWAY is the lane that is no lane of Google's."""

ROWS = (
    Lane(name=STANDARD, falls_back_to=(FLEX, BATCH, GATEWAY), steps_down=True),
    Lane(name=PRIORITY, falls_back_to=(STANDARD, FLEX, BATCH, GATEWAY), steps_down=True),
    Lane(name=FLEX, falls_back_to=(STANDARD, BATCH, GATEWAY), patient=True, sheds=True),
    Lane(name=BATCH, falls_back_to=(FLEX, STANDARD, GATEWAY), at_once=False, tier=False, patient=True, consent="batch"),
    Lane(name=GATEWAY, askable=False, at_once=False, tier=False, consent="gateway"),
)
"""In the order in which they are shown. Flex and Batch may become Standard, which is dearer: they are shed or
unsupported at times, and a request must not die of a discount. The cap holds all the same."""

LANES: Mapping[str, Lane] = {row.name: row for row in ROWS}
NAMES = tuple(LANES)
ASKABLE = tuple(row.name for row in ROWS if row.askable)
AT_ONCE = tuple(row.name for row in ROWS if row.at_once)
BUILT = (*AT_ONCE, BATCH)
"""Lanes that are always there; a gateway's is where one has a key."""
TIERS = tuple(row.name for row in ROWS if row.tier)
PATIENT = tuple(row.name for row in ROWS if row.patient)
SHEDDING = tuple(row.name for row in ROWS if row.sheds)
STEPPING_DOWN = tuple(row.name for row in ROWS if row.steps_down)
SLOTTED = tuple(name for name in ASKABLE if name != BATCH)
"""Askable lanes whose requests take slots."""


def tier_to_send(lane: str) -> str | None:
    """The service tier that a call has to name; None: the API's default, or a lane that is no tier."""
    return lane if lane in TIERS and lane != STANDARD else None
