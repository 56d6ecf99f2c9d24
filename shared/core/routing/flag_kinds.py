"""All flags: one row each. Pure.

A flag with a lane leaves the routes of that lane. What any other flag leaves is decided in `eligibility`, by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from shared.core.values import lanes

FlagName: TypeAlias = Literal[
    "pause", "lower-resolution", "use-nano-banana-2", "use-flex", "use-batch", "use-vertex", "use-gateway"
]


class FlagKind(Struct, frozen=True):
    meaning: str
    """What requests take, as an operator reads it beside the name."""
    to: tuple[str, ...] = ()
    """Allowed values of its parameter `to`, which is then required; empty: it takes none."""
    lane: str | None = None
    """The lane that it leads to."""
    explained: str = ""
    """A sentence for the form in which the flag is tripped; empty: it follows from lane and meaning."""

    @property
    def in_full(self) -> str:
        return self.explained or f"Requests take the {self.lane} lane: {self.meaning}."


FLAGS: Mapping[FlagName, FlagKind] = {
    "pause": FlagKind(
        "matching requests wait", explained="Requests in scope wait until the flag ends. Calls in flight continue."
    ),
    "lower-resolution": FlagKind(
        "limits the size",
        to=("2K", "1K"),
        explained="Images are at most of the chosen size, never below a request's floor.",
    ),
    "use-nano-banana-2": FlagKind("a cheaper model, if the floor allows it"),
    "use-flex": FlagKind("half the price, slower, may be rejected under load", lane=lanes.FLEX),
    "use-batch": FlagKind(
        "half the price, up to a day, only with consent",
        lane=lanes.BATCH,
        explained="Requests that allow batch wait up to a day for half the price. Others stay as they are.",
    ),
    "use-vertex": FlagKind(
        "the same model in Vertex AI, where it is configured",
        lane=lanes.VERTEX,
        explained="Requests take the same model in Vertex AI: another quota, prices of its own.",
    ),
    "use-gateway": FlagKind("a verified third-party gateway, only with consent", lane=lanes.GATEWAY),
}
"""In the order in which they apply to a request."""
NAMES: tuple[FlagName, ...] = tuple(FLAGS)
WITH_TO: tuple[FlagName, ...] = tuple(name for name, kind in FLAGS.items() if kind.to)
TO = tuple(dict.fromkeys(value for kind in FLAGS.values() for value in kind.to))
"""Every value that some flag's `to` can have."""


def values_of_to(name: str) -> tuple[str, ...]:
    """Allowed values of `to` with this flag; empty if it takes none, or if there is no such flag."""
    return next((kind.to for item, kind in FLAGS.items() if item == name), ())


def lane_of(name: str) -> str | None:
    """The lane that this flag leads to; also None if there is no such flag."""
    return next((kind.lane for item, kind in FLAGS.items() if item == name), None)
