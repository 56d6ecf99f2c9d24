"""The receipt of a request that succeeded: requested beside delivered, what it cost, and why they differ. Pure."""

from __future__ import annotations

from typing import Any

from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.price import Cost
from shared.core.lifecycle import mismatch
from shared.core.lifecycle.mismatch import Mismatch, size_of_pixels
from shared.core.provider.stored_image import Delivered
from shared.core.values.documents import Fields
from shared.core.values.money import usd
from shared.core.values.route import Route


def receipt(request: Fields, attempt: Fields, delivered: Delivered, cost: Cost, catalogue: Catalogue) -> dict[str, Any]:
    """Requested beside delivered, what it cost, and why they differ; `mismatches` names what nobody had ordered."""
    ask = request["ask"]
    found = mismatches(ask, Route.from_json(attempt["route"]), delivered, catalogue)
    reasons = [*attempt["route_reasons"], *(each.reason for each in found)]
    if delivered.paid_before:
        reasons.append("an earlier attempt paid for this image, which could not be fetched from its address then")
    if delivered.format_note:
        reasons.append(delivered.format_note)
    if cost.micros > attempt["estimate_micros"]:
        reasons.append(
            f"the bill of {usd(cost.micros)} is over the estimate of {usd(attempt['estimate_micros'])}: "
            "more thinking, searches or image tokens than allowed for"
        )
    return {
        "requested": {
            "model": request["asked_model"],
            "image_size": ask["image_size"],
            "lane": ask["lane"],
            "thinking": ask.get("thinking"),
            "output_format": ask.get("output_format"),
        },
        "delivered": {
            "model": delivered.model.removeprefix("models/"),
            "image_size": size_of_pixels(delivered.width, delivered.height),
            "lane": delivered.lane,
            "width": delivered.width,
            "height": delivered.height,
            "image_tokens": delivered.usage.image_out if delivered.usage is not None else None,
            "output_format": delivered.format or None,
            "thinking": attempt.get("thinking"),
            "thought_tokens": delivered.usage.thought if delivered.usage is not None else None,
        },
        "mismatches": [each.what for each in found],
        "cost_micros": cost.micros,
        "cost_basis": cost.basis,
        "estimate_micros": attempt["estimate_micros"],
        "reasons": reasons,
        "flags": attempt["flags"],
    }


def mismatches(ask: Fields, route: Route, delivered: Delivered, catalogue: Catalogue) -> tuple[Mismatch, ...]:
    """What came otherwise than this attempt ordered it."""
    return mismatch.mismatches(
        route,
        ask["aspect_ratio"],
        width=delivered.width,
        height=delivered.height,
        usage=delivered.usage,
        model=delivered.model,
        lane=delivered.lane,
        catalogue=catalogue,
        remark=delivered.remark,
        formats=(ask.get("output_format"), delivered.format),
    )
