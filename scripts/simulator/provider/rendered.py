"""The end of a call that reached the model: the value that both APIs write in their own forms."""

from __future__ import annotations

import binascii
from datetime import datetime

import msgspec
from msgspec import Struct

from scripts.simulator.provider.accepted_request import AcceptedRequest
from scripts.simulator.provider.faults import NoImageForm
from scripts.simulator.provider.models import ImageModel, Tier
from scripts.simulator.provider.tokens import TokenUsage


class NoImage(Struct, frozen=True):
    form: NoImageForm
    code: str
    """One of the documented codes: safety, image_safety, recitation, no_image ..."""
    message: str


class RenderedImage(Struct, frozen=True):
    id: str
    ask: AcceptedRequest
    model: ImageModel
    """The one that served."""
    tier: Tier
    """The served one."""
    usage: TokenUsage | None
    """None: the answer carries no usage."""
    created: datetime
    updated: datetime
    picture: bytes | None = None
    text: str = ""
    no_image: NoImage | None = None
    continuation_token: str = ""
    """Set: the model stopped half-way and wants to be called again."""


def inline(picture: bytes) -> msgspec.Raw:
    """The picture as a JSON string, encoded once."""
    return msgspec.Raw(b'"' + binascii.b2a_base64(picture, newline=False) + b'"')
