"""The size limits of one request's reference images: what its API accepts, and what this process can hold. Pure.

Sources: 100 MB per request since 2026-01-08, base64 and prompt included
(https://blog.google/innovation-and-ai/technology/developers-tools/gemini-api-new-file-limits). A request of 14 x 19 MB
that was still sent took 1.6 GB of memory: six bytes for each byte of references.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from shared.core.catalogue.catalogue import Catalogue
from shared.core.messages.render_request import ReferenceUri
from shared.core.provider import output_format
from shared.core.provider.call import Reference
from shared.core.references.reference_name import named
from shared.core.values.lanes import BATCH, GATEWAY
from shared.core.values.route import Route

ANSWER_BYTES = {"512": 5_000_000, "1K": 5_000_000, "2K": 12_000_000, "4K": 25_000_000}
"""Memory of a call without references, by the size it orders: a PNG as text and as bytes (scripts/bench/run memory)."""
LARGEST_ANSWER = max(ANSWER_BYTES.values())
COPIES = 6
"""Bytes of memory for each byte of references: as read, as base64, in the body, and while it is sent."""
ENVELOPE_BYTES = 4_096
"""What a body holds beside the prompt and the references."""
MOST_FETCHES = 5
"""How often fetching may begin without a call following: each time it was too slow, or its process ended."""


def body_limit(route: Route, gateway: str, catalogue: Catalogue) -> int:
    """Bytes that a request may have on this route, as it is sent."""
    if route.lane == GATEWAY and gateway in catalogue.gateways:
        return catalogue.gateways[gateway].request_bytes
    if route.lane == BATCH:
        return catalogue.request_bytes["batch"]
    rates = catalogue.models[route.model].lanes.get(route.lane)
    return catalogue.request_bytes["interactions" if rates is None else rates.api]


def raw_limit(body: int, *texts: str) -> int:
    """Bytes of references that such a body has room for beside its texts: base64 turns three bytes into four."""
    written = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return max((body - ENVELOPE_BYTES - written) * 3 // 4, 0)


def memory_limit(room: int) -> int:
    """Bytes of references that one request may have in a process with that much room."""
    return max((room - LARGEST_ANSWER) // COPIES, 0)


def weight(raw: int, image_size: str | None = None, to_format: str | None = None) -> int:
    """Memory of a call with that many bytes of references, for an image of that size; None: of any size. `to_format`:
    it may have to be decoded and encoded in that format."""
    decoded = output_format.room(to_format, image_size) if to_format is not None else 0
    return ANSWER_BYTES.get(image_size or "", LARGEST_ANSWER) + COPIES * raw + decoded


def goes_by_uri(references: Sequence[ReferenceUri], route: Route, catalogue: Catalogue, *, as_bytes: bool) -> bool:
    """Whether the references of a request are sent as addresses that the provider fetches itself: all of them or none.

    Its API has to accept such addresses, the caller has to name each type, and no earlier attempt may have been refused
    with them (`as_bytes`). Whether this worker may read an address is checked as for bytes.
    """
    if not references or as_bytes or route.lane in (BATCH, GATEWAY):
        return False
    model = catalogue.models.get(route.model)
    if model is None:
        return False
    schemes = model.capabilities.reference_uris.get(catalogue.api_of(route.lane, route.model), ())
    types = model.reference_types or catalogue.reference_types
    return all(
        image.mime_type in types and urlsplit(image.uri).scheme in schemes and _is_reachable(image.uri)
        for image in references
    )


def _is_reachable(uri: str) -> bool:
    """Whether an https address has a name of the public web, without a port. Others are only reachable for this
    worker."""
    parts = urlsplit(uri)
    if parts.scheme != "https":
        return True
    host = parts.netloc.lower()
    return re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z][a-z0-9-]+", host) is not None


def too_large(sizes: Sequence[int | None], uris: Sequence[str], limit: int, of: str) -> str | None:
    """What to tell the caller if the references are too large together; a size of None is not known yet."""
    known_sizes = [size for size in sizes if size is not None]
    total = sum(known_sizes)
    if total <= limit:
        return None
    largest = max(range(len(sizes)), key=lambda index: sizes[index] or 0)
    at_least = "at least " if len(known_sizes) < len(sizes) else ""
    return (
        f"the references have {at_least}{total:,} bytes together, and {of} takes {limit:,}; the largest is "
        f"references[{largest}] ({named(uris[largest])}) with {sizes[largest]:,}; send smaller or fewer images"
    )


def wrong_type(reference: Reference, uri: str, route: Route, catalogue: Catalogue) -> str | None:
    """What to tell the caller if the model does not accept an image of this type."""
    taken = catalogue.models[route.model].reference_types or catalogue.reference_types
    if reference.mime_type in taken:
        return None
    short = [name.removeprefix("image/") for name in taken]
    kind = reference.mime_type.removeprefix("image/").upper()
    article = "an" if kind[0] in "AEIO" else "a"
    allowed = " or ".join(part for part in (", ".join(short[:-1]), short[-1]) if part)
    return f"{named(uri)} is {article} {kind}, which {route.model} does not take; use {allowed}"
