"""What Google's bill calls things: SKU descriptions into our model, lane and part. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal, TypeAlias

from msgspec import Struct, field

from shared.core.values.lanes import STANDARD, VERTEX

Part: TypeAlias = Literal["input", "text", "image", "grounding"]
"""Thinking is billed as text."""
PARTS: tuple[Part, ...] = ("input", "text", "image", "grounding")


class Sku(Struct, frozen=True):
    """One line of a price list, in our words."""

    model: str
    lane: str
    part: str

    def __str__(self) -> str:
        return f"{self.model} {self.lane} {self.part}"


class Billing(Struct, frozen=True):
    """How descriptions are read: the first words found in one decide."""

    services: tuple[str, ...] = ()
    """The services whose lines are ours, by `service.description`."""
    vertex_services: tuple[str, ...] = ()
    """Those whose lines belong to the Vertex lane: their SKUs name no lane."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Words to model id; the longest words are tried first."""
    lanes: Mapping[str, str] = field(default_factory=dict)
    """Words to lane; none of them = standard."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Words to part, in this order: one SKU is called "output token count ... short input text"."""
    source: str = ""
    checked: date = date.min

    def sku(self, description: str, service: str = "") -> Sku | None:
        """None if the description names no known model or part."""
        text = " ".join(description.lower().replace("_", " ").split())
        model = next((self.models[name] for name in sorted(self.models, key=len, reverse=True) if name in text), None)
        part = next((self.parts[name] for name in self.parts if name in text), None)
        usual = VERTEX if service in self.vertex_services else STANDARD
        lane = next((self.lanes[name] for name in self.lanes if name in text.split()), usual)
        return None if model is None or part is None else Sku(model, lane, part)


NO_BILLING = Billing()
"""A catalogue that knows no SKU: every line of a bill is unknown."""
