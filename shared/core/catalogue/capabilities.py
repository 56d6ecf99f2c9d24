"""What a model can do beside its sizes and ratios, as far as it is documented. The values stand in catalogue.toml."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from shared.core.values.parameters import Thinking

Grounding: TypeAlias = Literal["none", "web", "web+image"]
"""Which search a model can draw on: no search, web pages, or web pages and images."""
GROUNDINGS: tuple[Grounding, ...] = get_args(Grounding)

Policy: TypeAlias = Literal["least", "own", "minimal", "low", "medium", "high"]
"""What a purpose means for a request that names no level: the least that the model has, the model's own default, or one
level for all."""
POLICIES: tuple[Policy, ...] = get_args(Policy)

Background: TypeAlias = Literal["unknown", "yes", "no"]
"""Whether a lane of a model takes background calls."""

REFERENCE_KINDS = ("objects", "characters")
REFERENCE_SCHEMES = ("https", "gs")


class Capabilities(Struct, frozen=True):
    """A field that a catalogue leaves out has the default here."""

    grounding: Grounding = "web"
    """If the catalogue does not say, a grounded request is sent, and the provider's answer decides."""
    thinking: tuple[Thinking, ...] = ()
    """The levels that can be asked for, least first; none: the parameter is refused, or has no effect."""
    default_thinking: Thinking | None = None
    """The level that the provider takes when none is sent; None where there is no level."""
    thought_tokens: Mapping[str, int] = MappingProxyType({})
    """Allowance in an estimate by level; a level that is missing has the model's."""
    background: Mapping[str, Background] = MappingProxyType({})
    """By lane; a lane that is missing is unknown."""
    references: Mapping[str, int] = MappingProxyType({})
    """The most reference images of each kind, by REFERENCE_KINDS; if none is named, only the sum is limited."""
    output_formats: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """By API: the formats in which an image may arrive; the first is the usual one."""
    chosen_formats: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """By API: the formats that a call may name; none: it cannot choose."""
    quality_formats: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """By API: of those, the ones whose quality a call may name."""
    reference_uris: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """By API: schemes of reference images that it fetches itself; none: it takes bytes."""
    output_limit: int | None = None
    """The most tokens of one answer; None = not documented."""

    def background_in(self, lane: str) -> Background:
        return self.background.get(lane, "unknown")
