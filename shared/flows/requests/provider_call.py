"""Build the order of a request on its route, for any lane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from msgspec import Struct

from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.thinking import thought
from shared.core.messages.render_request import RenderRequest
from shared.core.provider.call import Order, Reference
from shared.core.references import reference_set
from shared.core.values.route import Route
from shared.flows.requests.output_format import wish_of
from shared.ports import Ports
from shared.ports.images import References, ReferenceUnusable

T = TypeVar("T")
DECIDED = frozenset(
    ["model", "lane", "image_size", "references", "labels", "thinking", "safety", "output_format", "output_quality"]
)
"""Fields of an order that follow from the route, or are written differently than in a request."""
PASSED_ON = tuple(
    name for name in Order.__struct_fields__ if name in RenderRequest.__struct_fields__ and name not in DECIDED
)
"""Every other field that both have is passed on unchanged."""


def order_of(
    content: RenderRequest, route: Route, references: tuple[Reference, ...], catalogue: Catalogue, gateway: str = ""
) -> Order:
    """The order for the lane; on the lane `gateway`, `gateway` names the gateway."""
    model, row = catalogue.models[route.model], catalogue.gateways.get(gateway)
    wanted = wish_of(content, route, catalogue)
    is_told = row is None or row.form == "native"
    return Order(
        model=route.model,
        lane=route.lane,
        image_size=route.image_size if model.sends_image_size else None,
        references=references,
        gateway=gateway,
        thinking=thought(model, content.thinking, content.purpose, catalogue.thinking).sent if is_told else None,
        safety=tuple(content.safety.items()),
        output_format=wanted.format if wanted is not None and wanted.made_by_provider and row is None else None,
        output_quality=wanted.quality if wanted is not None and wanted.quality_by_provider and row is None else None,
        **{name: getattr(content, name) for name in PASSED_ON},
    )


class Bounds(Struct, frozen=True):
    """For the references of one request on one route: what its API accepts, and what this process can hold."""

    content: RenderRequest
    route: Route
    limit: int
    """Bytes in total."""
    of: str
    """Whose limit it is."""

    @classmethod
    def on(cls, ports: Ports, content: RenderRequest, route: Route, gateway: str = "") -> Bounds:
        body = reference_set.body_limit(route, gateway, ports.catalogue)
        raw = reference_set.raw_limit(body, content.prompt, content.system_instruction or "")
        spare_memory = reference_set.memory_limit(ports.room.limit)
        if spare_memory < raw:
            return cls(content, route, spare_memory, "this worker's memory")
        return cls(
            content, route, raw, f"a request to {gateway or route.model} ({body:,} bytes with base64 and prompt)"
        )


def addresses(references: References, request: RenderRequest) -> tuple[Reference, ...]:
    """The references of a request as addresses. Raises ReferenceUnusable for an address that must not be read."""
    for index, reference in enumerate(request.references):
        try:
            references.check(reference.uri, request.tenant)
        except ReferenceUnusable as error:
            raise ReferenceUnusable(f"references[{index}]: {error}") from error
    return tuple(Reference(image.mime_type or "", b"", image.uri) for image in request.references)


async def sizes(references: References, bounds: Bounds) -> list[int | None]:
    """The sizes, without fetching; None if an address does not tell its size. Raises ReferenceUnusable."""
    looks = [
        _of(index, references.size(reference.uri, bounds.content.tenant))
        for index, reference in enumerate(bounds.content.references)
    ]
    byte_sizes = await _all(looks)
    _check(bounds, byte_sizes)
    return byte_sizes


async def fetched(references: References, bounds: Bounds, byte_sizes: Sequence[int | None]) -> tuple[Reference, ...]:
    """The reference images of a request, all within its bounds. Raises ReferenceUnusable, which says which one
    failed."""
    reference_uris = bounds.content.references
    taken = sum(size for size in byte_sizes if size is not None)
    got: dict[int, Reference] = {}

    async def fetch(index: int, most: int) -> None:
        reference_uri = reference_uris[index]
        got[index] = await _of(
            index, references.fetch(reference_uri.uri, bounds.content.tenant, reference_uri.mime_type, most)
        )

    # What has no size yet is read one by one: each may have what the others leave.
    await _all([fetch(index, size) for index, size in enumerate(byte_sizes) if size is not None])
    for index in (index for index, size in enumerate(byte_sizes) if size is None):
        try:
            await fetch(index, max(bounds.limit - taken, 0))
        except ReferenceUnusable as error:
            if "is larger than" in str(error) and taken:
                raise ReferenceUnusable(f"{error}: the other references have {taken:,} bytes already") from error
            raise
        taken += len(got[index].data)
    return tuple(got[index] for index in range(len(reference_uris)))


def check(bounds: Bounds, references: Sequence[Reference], catalogue: Catalogue) -> None:
    """Raises ReferenceUnusable for images that are too large together, and for one that the model does not accept."""
    _check(bounds, [len(item.data) for item in references])
    for index, reference in enumerate(references):
        problem = reference_set.wrong_type(reference, bounds.content.references[index].uri, bounds.route, catalogue)
        if problem is not None:
            raise ReferenceUnusable(f"references[{index}]: {problem}")


def _check(bounds: Bounds, byte_sizes: Sequence[int | None]) -> None:
    problem = reference_set.too_large(
        byte_sizes, [reference.uri for reference in bounds.content.references], bounds.limit, bounds.of
    )
    if problem is not None:
        raise ReferenceUnusable(problem)


async def _of(index: int, fetching: Awaitable[T]) -> T:
    try:
        return await fetching
    except ReferenceUnusable as error:
        raise ReferenceUnusable(f"references[{index}]: {error}") from error


async def _all(work: Sequence[Awaitable[T]]) -> list[T]:
    """All of them have ended when the first one's error is raised: none continues in the background."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for base_exception in results:
        if isinstance(base_exception, BaseException):
            raise base_exception
    return [item for item in results if not isinstance(item, BaseException)]
