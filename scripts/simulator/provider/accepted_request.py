"""From the dialect's `PictureOrder` to an `AcceptedRequest` that the model can serve."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field

from scripts.simulator.provider.drawing import NotAnImage, Painter
from scripts.simulator.provider.models import DEFAULT_SIZE, SIZES, TIERS, VERTEX, ImageModel, Models, Tier
from scripts.simulator.provider.parameters import Parameters
from scripts.simulator.provider.problems import invalid

SERVICE_TIERS: tuple[Tier, ...] = tuple(tier for tier in TIERS if tier not in ("batch", VERTEX))
REFERENCE_TYPES = (
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/heic",
    "image/heif",
    "image/gif",
    "image/bmp",
    "image/tiff",
)
OUTPUT_TYPES = ("image/jpeg", "image/png")
"""In which Vertex sends a picture, where it is asked for one of them."""
MARKER_LABEL = "request_id"

_LABEL_LENGTH = 63


class Headline(Struct, frozen=True):
    """What can be read of any request, valid or not: for the record and for matching faults."""

    model: str = ""
    prompt: str = ""
    size: str = DEFAULT_SIZE
    ratio: str = ""
    tier: str = "standard"
    references: int = 0
    marker: str = ""
    background: bool = False

    @property
    def prompt_sha256(self) -> str:
        return hashlib.sha256(self.prompt.encode("utf-8", "surrogatepass")).hexdigest()


class Inline(Struct, frozen=True):
    """A reference picture as it came."""

    mime_type: str
    data: str
    """Base64, of either alphabet."""
    uri: str = ""
    """Set: it is fetched from there, and there is no data."""


class WebhookConfig(Struct, frozen=True):
    """The caller's own wishes for the events of one request or batch."""

    uris: tuple[str, ...] = ()
    """These are called instead of the registered webhooks."""
    user_metadata: Mapping[str, Any] = field(default_factory=dict)
    """Comes back with each event."""


class PictureOrder(Struct, frozen=True):
    """A well-formed request, not yet held against what its model can do."""

    prompt: str
    size: str | None = None
    ratio: str | None = None
    tier: str = "standard"
    references: tuple[Inline, ...] = ()
    grounded: bool = False
    writes: bool = False
    """The answer should carry text beside the picture."""
    seed: int = 0
    store: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    output_type: str = OUTPUT_TYPES[0]
    output_quality: int | None = None
    background: bool = False
    """Answered at once with the id; the picture comes later."""
    webhook: WebhookConfig = WebhookConfig()
    parameters: Parameters = Parameters()


class AcceptedRequest(Struct, frozen=True):
    """A request that can be served."""

    model: ImageModel
    prompt: str
    size: str
    ratio: str
    tier: Tier
    references: tuple[bytes, ...]
    grounded: bool
    writes: bool
    seed: int
    store: bool
    labels: Mapping[str, str]
    parameters: Parameters
    """With the level of thinking that is taken."""
    output_type: str = OUTPUT_TYPES[0]
    output_quality: int | None = None
    background: bool = False
    webhook: WebhookConfig = WebhookConfig()


async def accept(
    order: PictureOrder,
    model: ImageModel,
    models: Models,
    painter: Painter,
    web: Mapping[str, bytes] = MappingProxyType({}),
) -> AcceptedRequest:
    """Holds an order against its model's sizes, ratios, tiers, search and references, or raises RequestRefused."""
    tier = _tier(order, model)
    size = _size(order, model)
    _check_ratio(order, model)
    _check_labels(order.labels)
    if order.grounded and model.grounding == "none":
        raise invalid(f"Search as a tool is not enabled for models/{model.id}.")
    parameters = order.parameters.on(model)
    if len(order.references) > model.max_references:
        raise invalid(
            f"Too many input images: {len(order.references)}. Model {model.id} accepts at most {model.max_references}."
        )
    references = tuple([_decode(number, inline, web) for number, inline in enumerate(order.references, 1)])
    sizes = [await _measure(number, reference, painter) for number, reference in enumerate(references, 1)]
    ratio = order.ratio or (models.nearest_ratio(model, *sizes[-1]) if sizes else "1:1")
    return AcceptedRequest(
        model=model,
        prompt=order.prompt,
        size=size,
        ratio=ratio,
        tier=tier,
        references=references,
        grounded=order.grounded,
        writes=order.writes,
        seed=order.seed,
        store=order.store,
        labels=order.labels,
        parameters=parameters,
        output_type=order.output_type,
        output_quality=order.output_quality,
        background=order.background,
        webhook=order.webhook,
    )


def _tier(order: PictureOrder, model: ImageModel) -> Tier:
    if order.tier == VERTEX and VERTEX in model.rates:
        return VERTEX
    for tier in SERVICE_TIERS:
        if order.tier == tier:
            if tier not in model.rates:
                raise invalid(f"Service tier '{tier}' is not supported for model {model.id}.")
            return tier
    raise invalid(f"Unknown service_tier '{order.tier}'. Supported values: {', '.join(SERVICE_TIERS)}.")


def _size(order: PictureOrder, model: ImageModel) -> str:
    if order.size is None:
        return DEFAULT_SIZE
    if not model.takes_image_size:
        raise invalid(f"image_size is not supported for model {model.id}.")
    if order.size not in SIZES:
        raise invalid(f"Invalid image_size '{order.size}'. Supported values: {', '.join(model.image_tokens)}.")
    if order.size not in model.image_tokens:
        raise invalid(
            f"image_size '{order.size}' is not supported for model {model.id}."
            f" Supported values: {', '.join(model.image_tokens)}."
        )
    return order.size


def _check_ratio(order: PictureOrder, model: ImageModel) -> None:
    if order.ratio is not None and order.ratio not in model.ratios:
        raise invalid(
            f"aspect_ratio '{order.ratio}' is not supported for model {model.id}."
            f" Supported values: {', '.join(model.ratios)}."
        )


def _check_labels(labels: Mapping[str, str]) -> None:
    """The rule of the API reference: lower-case letters, digits, _ and -, at most 63, a key begins with a letter."""
    for key, value in labels.items():
        if not key or not key[0].isalpha() or not _is_label(key):
            raise invalid(f"Invalid label key '{key}'. {_LABEL_RULE}")
        if not _is_label(value):
            raise invalid(f"Invalid value '{value}' of label '{key}'. {_LABEL_RULE}")


_LABEL_RULE = (
    "Label keys and values can be no longer than 63 characters and can only contain lowercase letters,"
    " numeric characters, underscores, and dashes. Label keys must start with a letter."
)


def _is_label(text: str) -> bool:
    return len(text) <= _LABEL_LENGTH and all(
        (character.isalnum() and character == character.lower()) or character in "_-" for character in text
    )


def _decode(number: int, inline: Inline, web: Mapping[str, bytes]) -> bytes:
    if inline.mime_type not in REFERENCE_TYPES:
        raise invalid(f"Input image {number} has the unsupported MIME type '{inline.mime_type}'.")
    if inline.uri:
        if inline.uri not in web:
            raise invalid("Cannot fetch content from the provided URL.")
        return web[inline.uri]
    try:
        return base64.b64decode(inline.data.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as cause:
        raise invalid(f"Input image {number} is not valid base64.") from cause


async def _measure(number: int, reference: bytes, painter: Painter) -> tuple[int, int]:
    try:
        return await painter.measure(reference)
    except NotAnImage as cause:
        raise invalid(f"Unable to process input image {number}. Please retry or report.") from cause
