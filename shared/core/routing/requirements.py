"""What the planner needs to know about a request: everything but the prompt and the references themselves."""

from __future__ import annotations

from typing import Any

from shared.core.catalogue import price
from shared.core.messages.render_request import RenderRequest
from shared.core.values.codec import Stored
from shared.core.values.parameters import Grounding, Thinking


class Requirements(Stored, frozen=True):
    """The same for the whole life of a request; kept in its document."""

    purpose: str
    model: str | None
    image_size: str
    aspect_ratio: str | None
    lane: str
    prompt_tokens: int
    """Estimated, on the safe side."""
    references: int
    grounding: Grounding
    max_cost_micros: int | None
    priority: str = "normal"
    exact: bool = False
    """No step down at all."""
    floor_size: str | None = None
    floor_model: str | None = None
    """None: the catalogue's default floor."""
    allow_gateway: bool = False
    allow_batch: bool = False
    allow_vertex: bool | None = None
    """None: the configuration decides."""
    above: str | None = None
    """The id of a model whose image failed the quality bar: only better ones are acceptable."""
    thinking: Thinking | None = None
    """None: by purpose."""
    safety: tuple[str, ...] = ()
    """The harm categories whose threshold is set."""
    instructed: bool = False
    """It has a system instruction, whose tokens are among `prompt_tokens`."""
    output_format: str | None = None
    """None: as the provider sends it."""

    def to_json(self) -> dict[str, Any]:
        """Without fields that were not set: a document of an earlier release is written back as it was read."""
        fields = super().to_json()
        return {name: value for name, value in fields.items() if name != "allow_vertex" or value is not None}

    @classmethod
    def of(cls, request: RenderRequest, above: str | None = None) -> Requirements:
        floor = None if request.floor == "exact" else request.floor
        return cls(
            purpose=request.purpose,
            model=request.model,
            image_size=request.image_size,
            aspect_ratio=request.aspect_ratio,
            lane=request.lane,
            prompt_tokens=price.prompt_tokens(request.prompt) + price.prompt_tokens(request.system_instruction or ""),
            references=len(request.references),
            grounding=request.grounding,
            max_cost_micros=request.max_cost_micros,
            priority=request.priority,
            exact=floor is None,
            floor_size=floor.image_size if floor else None,
            floor_model=floor.model if floor else None,
            allow_gateway=request.allow_gateway,
            allow_batch=request.allow_batch,
            allow_vertex=request.allow_vertex,
            above=above,
            thinking=request.thinking,
            safety=tuple(sorted(request.safety)),
            instructed=request.system_instruction is not None,
            output_format=request.output_format,
        )
