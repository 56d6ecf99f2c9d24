"""When a request may go to Vertex AI, and whether before or after the lane that Vertex stands in for. Pure.

Vertex serves the same models under Google Cloud's own terms: other credentials, another quota, another bill. So consent
is assumed unless a request or the configuration says otherwise; naming the lane is consent.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from shared.core.routing.requirements import Requirements
from shared.core.values.lanes import VERTEX

VertexUse: TypeAlias = Literal["fallback", "first", "named", "only"]
"""fallback: it serves requests of the lane `standard` that the Gemini API cannot serve; first: it serves them, and the
Gemini API is the fallback; named: it serves requests that name it, or consent to it; only: the Gemini API is not
used."""
VERTEX_USES: tuple[VertexUse, ...] = get_args(VertexUse)


def may_use_vertex(ask: Requirements, use: VertexUse) -> bool:
    if ask.lane == VERTEX:
        return True
    return use != "named" if ask.allow_vertex is None else ask.allow_vertex


def in_order(lane: str, stand_ins: tuple[str, ...], use: VertexUse) -> tuple[str, ...]:
    """The lane and its stand-ins here, in the order in which they are taken."""
    if not stand_ins:
        return (lane,)
    match use:
        case "first":
            return (*stand_ins, lane)
        case "only":
            return stand_ins
        case "fallback" | "named":
            return (lane, *stand_ins)
