"""Compares what was delivered with what was ordered: pixels, shape, tokens, model and tier. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from shared.core.catalogue.catalogue import Catalogue
from shared.core.provider.call import Remark
from shared.core.provider.usage import Usage
from shared.core.values.route import Route

What: TypeAlias = Literal[
    "image_size", "aspect_ratio", "image_tokens", "model", "lane", "output_format", "thought_image", "earlier_image"
]

AREAS = {"512": 512**2, "1K": 1024**2, "2K": 2048**2, "4K": 4096**2}
RATIO_TOLERANCE = 0.05
"""Sides are multiples of 16 or 32 pixels: 4:5 is delivered as 928 x 1152."""


REMARKS: dict[Literal["thought_image", "earlier_image"], str] = {
    "thought_image": "the answer's only picture is one that the model drew while it thought",
    "earlier_image": "the answer's last picture cannot be read; it is the one before",
}


class Mismatch(Struct, frozen=True):
    """One thing that differs from the order. It is paid as delivered."""

    what: What
    reason: str


def size_of_pixels(width: int, height: int) -> str:
    """The size whose area is nearest: 1K is about 1024 x 1024 in any ratio."""
    area = max(width * height, 1)
    return min(AREAS, key=lambda size: max(AREAS[size] / area, area / AREAS[size]))


def mismatches(
    route: Route,
    aspect_ratio: str | None,
    *,
    width: int,
    height: int,
    usage: Usage | None,
    model: str,
    lane: str,
    catalogue: Catalogue,
    remark: Remark = "",
    formats: tuple[str | None, str] = (None, ""),
) -> tuple[Mismatch, ...]:
    """Everything that differs from the order, in the order of the fields; empty if nothing does. `formats`: the
    requested one, and the delivered one."""
    differences: list[Mismatch] = []
    size = size_of_pixels(width, height)
    if size != route.image_size:
        reason = f"size {route.image_size} was ordered; {width}x{height} came, which is {size}"
        differences.append(Mismatch("image_size", reason))
    if aspect_ratio is not None and not _has_ratio(aspect_ratio, width, height):
        differences.append(Mismatch("aspect_ratio", f"aspect ratio {aspect_ratio} was ordered; {width}x{height} came"))
    ordered = catalogue.models.get(route.model)
    expected = ordered.image_tokens.get(route.image_size) if ordered is not None else None
    if usage is not None and usage.image_out and expected is not None and usage.image_out != expected:
        reason = f"{expected:,} image tokens are priced for {route.model} {route.image_size}; {usage.image_out:,} came"
        differences.append(Mismatch("image_tokens", reason))
    if model.removeprefix("models/") != route.model:
        differences.append(Mismatch("model", f"model {route.model} was ordered; {model} served"))
    if lane != route.lane:
        differences.append(Mismatch("lane", f"lane {route.lane} was ordered; {lane} served"))
    ordered_format, delivered_format = formats
    if ordered_format is not None and delivered_format and ordered_format != delivered_format:
        reason = f"output format {ordered_format} was ordered; {delivered_format} is delivered"
        differences.append(Mismatch("output_format", reason))
    if remark:
        differences.append(Mismatch(remark, REMARKS[remark]))
    return tuple(differences)


def _has_ratio(ratio: str, width: int, height: int) -> bool:
    across, _, down = ratio.partition(":")
    wanted = int(across) / max(int(down), 1)
    return abs(width / max(height, 1) - wanted) <= RATIO_TOLERANCE * wanted
