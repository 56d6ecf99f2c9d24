"""What to ask for: one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from renderlane.errors import InvalidRequest, Problem
from renderlane.rules import encoded

Size = Literal["512", "1K", "2K", "4K"]
CONVERTED = (
    "references", "deadline", "max_cost_usd", "floor", "allow_gateway", "allow_batch", "allow_vertex", "grounding",
    "safety", "labels",
)  # fmt: skip
"""Fields of a request that are no JSON as they are; every other one is sent under its own name."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image to use or to edit, in a place that the worker may read."""

    uri: str
    mime_type: str | None = None
    """None: read from the bytes."""

    def to_json(self) -> dict[str, Any]:
        return _present({"uri": self.uri, "mime_type": self.mime_type})


@dataclass(frozen=True, slots=True)
class Floor:
    """The lowest model and size that the caller accepts."""

    image_size: Size | None = None
    model: str | None = None

    def to_json(self) -> dict[str, Any]:
        return _present({"image_size": self.image_size, "model": self.model})


@dataclass(frozen=True, slots=True)
class Request:
    """None leaves a field out: the worker's default holds. The same id with the same content is the same request."""

    request_id: str
    """Your idempotency key: 1 to 128 of A-Z a-z 0-9 . _ : -."""
    prompt: str = field(repr=False)
    tenant: str | None = None
    """Who pays."""
    purpose: Literal["draft", "default", "final"] | None = None
    """Selects the model if `model` is not set."""
    model: str | None = None
    """An alias or id of the catalogue."""
    image_size: Size | None = None
    aspect_ratio: str | None = None
    """For example 16:9."""
    references: Sequence[Reference] = ()
    lane: Literal["standard", "priority", "flex", "batch", "vertex"] | None = None
    priority: Literal["interactive", "normal", "bulk"] | None = None
    deadline: datetime | None = None
    """Aware. Not begun by then, the request expires unpaid."""
    max_cost_usd: Decimal | str | None = None
    """All attempts together may not exceed it; at most six decimals."""
    floor: Floor | Literal["exact"] | None = None
    allow_gateway: bool = False
    """Prompt and references may be sent to a third-party gateway."""
    allow_batch: bool = False
    """The request may take a day."""
    allow_vertex: bool | None = None
    """The request may go to Vertex AI. None: as the worker is configured."""
    escalates: str | None = None
    """Id of the request whose image was not good enough."""
    group: str | None = None
    grounding: bool | Literal["image"] = False
    """True: in web pages; `image`: in web pages and images. Searches are charged."""
    labels: Mapping[str, str] = field(default_factory=dict)
    thinking: Literal["minimal", "low", "medium", "high"] | None = None
    """How much the model thinks first; thoughts are charged as text. None: by purpose."""
    safety: Mapping[str, str] = field(default_factory=dict)
    """The provider's thresholds by category, such as {"image_hate": "block_only_high"}."""
    system_instruction: str | None = field(default=None, repr=False)
    """What holds for the image beside the prompt: a style, a brand's rules."""
    output_format: Literal["jpeg", "png", "webp"] | None = None
    """None: as the provider sends it. What it does not send is converted by the worker."""
    output_quality: int | None = None
    """1 to 100, of a jpeg or webp."""

    def to_json(self) -> dict[str, Any]:
        """Raises InvalidRequest for a deadline without a time zone."""
        allow = {name: True for name in ("gateway", "batch") if getattr(self, f"allow_{name}")}
        allow |= {} if self.allow_vertex is None else {"vertex": self.allow_vertex}
        return {
            **_present({one.name: getattr(self, one.name) for one in fields(self) if one.name not in CONVERTED}),
            **({"references": [reference.to_json() for reference in self.references]} if self.references else {}),
            **({"deadline": self._deadline(self.deadline)} if self.deadline is not None else {}),
            **({"max_cost_usd": _dollars(self.max_cost_usd)} if self.max_cost_usd is not None else {}),
            **({"floor": self.floor.to_json() if isinstance(self.floor, Floor) else self.floor} if self.floor else {}),
            **({"allow": allow} if allow else {}),
            **({"grounding": self.grounding} if self.grounding else {}),
            **({"safety": dict(self.safety)} if self.safety else {}),
            **({"labels": dict(self.labels)} if self.labels else {}),
        }

    def to_bytes(self) -> bytes:
        """The data of the message. Raises InvalidRequest with every problem found."""
        return encoded(self.to_json())

    @staticmethod
    def _deadline(moment: datetime) -> str:
        if moment.tzinfo is None:
            remedy = "Give it one: datetime(..., tzinfo=UTC)."
            raise InvalidRequest((Problem("deadline", "a time without a zone", "an aware datetime", remedy),))
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _dollars(amount: Decimal | str) -> str:
    return format(amount, "f") if isinstance(amount, Decimal) else amount


def _present(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if value is not None}
