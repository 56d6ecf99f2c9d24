"""From a request and its route to what a lane is asked, in whichever lane."""

from __future__ import annotations

import asyncio

from shared.core.answer import Order, Reference
from shared.core.catalogue import Catalogue
from shared.core.request import RenderRequest
from shared.core.route import Route
from shared.ports import References


def order_of(
    asked: RenderRequest, route: Route, references: tuple[Reference, ...], catalogue: Catalogue, gateway: str = ""
) -> Order:
    """What the lane is asked; `gateway` names whose it is on the lane `gateway`."""
    model = catalogue.models[route.model]
    return Order(
        request_id=asked.request_id,
        model=route.model,
        lane=route.lane,
        prompt=asked.prompt,
        image_size=route.image_size if model.sends_image_size else None,
        aspect_ratio=asked.aspect_ratio,
        references=references,
        grounding=asked.grounding,
        gateway=gateway,
    )


async def fetched(references: References, asked: RenderRequest) -> tuple[Reference, ...]:
    """The reference images of a request. Raises ReferenceUnusable."""
    found = [references.fetch(each.uri, each.mime_type) for each in asked.references]
    return tuple(await asyncio.gather(*found))
