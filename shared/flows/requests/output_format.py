"""Converts an image into the requested format before it is stored. A paid image is never lost because of its format."""

from __future__ import annotations

from msgspec.structs import replace

from shared.core.catalogue.catalogue import Catalogue
from shared.core.messages.render_request import RenderRequest
from shared.core.provider.call import Made
from shared.core.provider.output_format import FormatRequest, failed_note, note, wish
from shared.core.records.versioned import Request
from shared.core.values.route import Route
from shared.ports import Ports
from shared.ports.images import ConversionFailed


def wish_of(request: RenderRequest, route: Route, catalogue: Catalogue) -> FormatRequest | None:
    """What the caller wants, and what of it the provider of this route does itself."""
    model = catalogue.models.get(route.model)
    chosen, quality = (model.capabilities.chosen_formats, model.capabilities.quality_formats) if model else ({}, {})
    api = catalogue.api_of(route.lane, route.model) if model else ""
    return wish(request.output_format, request.output_quality, chosen, quality, api)


async def in_format(ports: Ports, request: Request, made: Made) -> Made:
    """Unchanged if it already has the requested format, or if it cannot be converted; `format_note` says why."""
    wanted = wish_of(request.record.content, request.record.route, ports.catalogue)
    if wanted is None or not wanted.needs_converting(made.picture.content_type):
        return made
    try:
        converted = await ports.formats.convert(made.picture, wanted.format, wanted.quality)
    except ConversionFailed as error:
        return replace(made, format_note=failed_note(made.picture, wanted, str(error)))
    return replace(made, picture=converted.picture, format_note=note(made.picture, wanted, converted))
