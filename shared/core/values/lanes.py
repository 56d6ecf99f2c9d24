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
    """The member of `allow` that speaks of it. Without it no request goes there, unless it is `assumed`."""
    assumed: bool = False
    """Consent is given where a request and the configuration say nothing of it."""
    apart: bool = False
    """Not the Gemini API: address, credentials, account, quota and models are its own, and it is there only where it
    is configured."""
    stands_in_for: str | None = None
    """Serves what that lane serves, as fast and as good, wherever it is configured."""


STANDARD, PRIORITY, FLEX, BATCH, VERTEX, GATEWAY = "standard", "priority", "flex", "batch", "vertex", "gateway"
"""STANDARD is the default, of which every live model has prices. GATEWAY is the lane that is no lane of Google's."""

ROWS = (
    Lane(name=STANDARD, falls_back_to=(FLEX, BATCH, GATEWAY), steps_down=True),
    Lane(name=PRIORITY, falls_back_to=(STANDARD, FLEX, BATCH, GATEWAY), steps_down=True),
    Lane(name=FLEX, falls_back_to=(STANDARD, BATCH, GATEWAY), patient=True, sheds=True),
    Lane(name=BATCH, falls_back_to=(FLEX, STANDARD, GATEWAY), at_once=False, tier=False, patient=True, consent="batch"),
    Lane(
        name=VERTEX,
        falls_back_to=(GATEWAY,),
        tier=False,
        steps_down=True,
        consent="vertex",
        assumed=True,
        apart=True,
        stands_in_for=STANDARD,
    ),
    Lane(name=GATEWAY, askable=False, at_once=False, tier=False, consent="gateway", apart=True),
)
"""In the order in which they are shown. Flex and Batch may become Standard, which is dearer: they are shed or
unsupported at times, and a request must not die of a discount. The cap still holds. A request that names
Vertex stays there: Google Cloud's terms hold, and the Gemini API's are others."""

LANES: Mapping[str, Lane] = {row.name: row for row in ROWS}
NAMES = tuple(LANES)
ASKABLE = tuple(row.name for row in ROWS if row.askable)
AT_ONCE = tuple(row.name for row in ROWS if row.at_once and not row.apart)
"""Those of the Gemini API."""
BUILT = (*AT_ONCE, BATCH)
"""Lanes that are always there; those apart are where they are configured."""
APART = tuple(row.name for row in ROWS if row.apart)
TIERS = tuple(row.name for row in ROWS if row.tier)
PATIENT = tuple(row.name for row in ROWS if row.patient)
SHEDDING = tuple(row.name for row in ROWS if row.sheds)
STEPPING_DOWN = tuple(row.name for row in ROWS if row.steps_down)
SLOTTED = tuple(name for name in ASKABLE if name != BATCH)
"""Askable lanes whose requests take slots."""
STAND_INS: Mapping[str, tuple[str, ...]] = {
    name: rows for name in LANES if (rows := tuple(row.name for row in ROWS if row.stands_in_for == name))
}
"""By lane, those that may serve its requests."""


def is_apart(lane: str) -> bool:
    """Also False of a name that is no lane."""
    return lane in APART


def tier_to_send(lane: str) -> str | None:
    """The service tier that a call has to name; None: the API's default, or a lane that is no tier."""
    return lane if lane in TIERS and lane != STANDARD else None
