"""The receipt of a request that succeeded: requested and delivered, what it cost, and why they differ. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.price import Cost
from shared.core.lifecycle import mismatch
from shared.core.lifecycle.mismatch import Mismatch, size_of_pixels
from shared.core.provider.stored_image import Delivered
from shared.core.records.attempt import AttemptRecord
from shared.core.records.receipt import DeliveredImage, Receipt, RequestedImage
from shared.core.records.request import RequestRecord
from shared.core.routing.requirements import Requirements
from shared.core.values.money import usd
from shared.core.values.route import Route


def receipt(
    request: RequestRecord, attempt: AttemptRecord, delivered: Delivered, cost: Cost, differing: Sequence[Mismatch]
) -> Receipt:
    """Requested and delivered, what it cost, and why they differ; `differing` is what differs from the order."""
    ask = request.ask
    reasons = [*attempt.route_reasons, *(mismatch.reason for mismatch in differing)]
    if delivered.paid_before:
        reasons.append("an earlier attempt paid for this image, which could not be fetched from its address then")
    if delivered.format_note:
        reasons.append(delivered.format_note)
    if cost.micros > attempt.estimate_micros:
        reasons.append(
            f"the bill of {usd(cost.micros)} is over the estimate of {usd(attempt.estimate_micros)}: "
            "more thinking, searches or image tokens than allowed for"
        )
    usage = delivered.usage
    return Receipt(
        requested=RequestedImage(
            model=request.asked_model or "",
            image_size=ask.image_size,
            lane=ask.lane,
            thinking=ask.thinking,
            output_format=ask.output_format,
        ),
        delivered=DeliveredImage(
            model=delivered.model.removeprefix("models/"),
            image_size=size_of_pixels(delivered.width, delivered.height),
            lane=delivered.lane,
            width=delivered.width,
            height=delivered.height,
            image_tokens=usage.image_out if usage is not None else None,
            output_format=delivered.format or None,
            thinking=attempt.thinking,
            thought_tokens=usage.thought if usage is not None else None,
        ),
        mismatches=tuple(mismatch.what for mismatch in differing),
        cost_micros=cost.micros,
        cost_basis=cost.basis,
        estimate_micros=attempt.estimate_micros,
        reasons=tuple(reasons),
        flags=attempt.flags,
    )


def mismatches(ask: Requirements, route: Route, delivered: Delivered, catalogue: Catalogue) -> tuple[Mismatch, ...]:
    """What differs from what this attempt ordered."""
    return mismatch.mismatches(
        route,
        ask.aspect_ratio,
        width=delivered.width,
        height=delivered.height,
        usage=delivered.usage,
        model=delivered.model,
        lane=delivered.lane,
        catalogue=catalogue,
        remark=delivered.remark,
        formats=(ask.output_format, delivered.format),
    )
