"""What was requested and what was delivered, as a succeeded request keeps it."""

from __future__ import annotations

from shared.core.catalogue.price import CostBasis
from shared.core.values.codec import Stored
from shared.core.values.parameters import Thinking


class RequestedImage(Stored, frozen=True):
    model: str
    image_size: str
    lane: str
    thinking: Thinking | None = None
    output_format: str | None = None


class DeliveredImage(Stored, frozen=True):
    model: str
    image_size: str
    lane: str
    width: int
    height: int
    image_tokens: int | None = None
    output_format: str | None = None
    thinking: Thinking | None = None
    thought_tokens: int | None = None


class Receipt(Stored, frozen=True):
    delivered: DeliveredImage
    cost_micros: int
    cost_basis: CostBasis
    estimate_micros: int
    reasons: tuple[str, ...]
    """Why they differ."""
    flags: tuple[str, ...]
    requested: RequestedImage | None = None
    """None in receipts of early releases."""
    mismatches: tuple[str, ...] = ()
    """What was delivered differently from the order."""
