"""The lanes: one row each, from which everything else that depends on a lane follows. Pure.

Only prices (in the catalogue), what requests of a lane may do (in `routing`) and wire formats (in adapters) are
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Lane(Struct, frozen=True, kw_only=True):
    """One way to a provider. An omitted column has the value that most lanes have."""

    name: str
    falls_back_to: tuple[str, ...] = ()
    """Which lanes may be taken instead, best first."""
    askable: bool = True
    """A request may name it."""
    at_once: bool = True
    """Google answers while we wait: each call takes a slot."""
    tier: bool = True
    """Google's API knows it as a service tier of this name."""
    patient: bool = False
    """Slow at the provider's convenience: never for interactive requests."""
    sheds: bool = False
    """An overload means that this lane sheds calls: the request leaves at once instead of trying again."""
    steps_down: bool = False
    """Its breaker's flag is the one that leads to a cheaper model; else it is `pause`."""
    consent: str | None = None
    """The member of `allow` that consents to it. Without consent no request goes there, unless it is `assumed`."""
    assumed: bool = False
    """Consent is assumed if neither the request nor the configuration says otherwise."""
    apart: bool = False
    """Not the Gemini API: it has its own address, credentials, account, quota and models, and exists only where it is
    configured."""
    stands_in_for: str | None = None
    """Serves what that lane serves, equally fast and well, wherever it is configured."""


STANDARD, PRIORITY, FLEX, BATCH, VERTEX, GATEWAY = "standard", "priority", "flex", "batch", "vertex", "gateway"
"""STANDARD is the default, and every live model has a price for it. GATEWAY is the lane that is not Google's."""

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
"""In the order in which they are shown. Flex and Batch may become Standard, which is dearer: they are sometimes shed or
unsupported, and a request must not fail because of a discount. The cap still holds. A request that names Vertex stays
there: Google Cloud's terms apply, and those of the Gemini API differ."""

LANES: Mapping[str, Lane] = {row.name: row for row in ROWS}
NAMES = tuple(LANES)
ASKABLE = tuple(row.name for row in ROWS if row.askable)
AT_ONCE = tuple(row.name for row in ROWS if row.at_once and not row.apart)
"""Those of the Gemini API."""
BUILT = (*AT_ONCE, BATCH)
"""Lanes that always exist; separate ones exist where they are configured."""
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
"""By lane, the lanes that may serve its requests instead."""


def is_apart(lane: str) -> bool:
    """Also False for a name that is not a lane."""
    return lane in APART


def tier_to_send(lane: str) -> str | None:
    """The service tier that a call has to name; None: the API's default, or a lane that is not a tier."""
    return lane if lane in TIERS and lane != STANDARD else None
