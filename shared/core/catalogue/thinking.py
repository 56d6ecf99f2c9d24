"""How much a model thinks for a request: the level it takes, what of it is sent, and how many tokens that costs.
Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from shared.core.catalogue.capabilities import Policy
from shared.core.catalogue.catalogue import Model
from shared.core.values.parameters import THINKING, Thinking


class Thought(Struct, frozen=True):
    """How much one model thinks for one request."""

    level: Thinking | None
    """The level that is taken; None if the model has no levels."""
    sent: Thinking | None
    """The level that the call names; None for the model's default, or if the API takes none."""
    note: str | None
    """Why it differs from the requested level."""
    tokens: int
    """Allowance in the estimate."""


def thought(model: Model, wanted: Thinking | None, purpose: str, policies: Mapping[str, Policy]) -> Thought:
    """A requested level that the model lacks becomes the nearest one, of two the lesser: it costs less. A level by
    purpose is sent only if it differs from the model's default, so that no plain request depends on the parameter."""
    levels, own = model.capabilities.thinking, model.capabilities.default_thinking
    if not levels:
        return Thought(None, None, _without_levels(model, wanted), model.thought_tokens_at(None))
    if wanted is not None:
        met = nearest(wanted, levels)
        note = None if met == wanted else f"thinking {wanted} -> {met}: {model.id} has {', '.join(levels)}"
        return Thought(met, met, note, model.thought_tokens_at(met))
    policy = policies.get(purpose, "own")
    taken = own if policy == "own" else levels[0] if policy == "least" else nearest(policy, levels)
    return Thought(taken, None if taken == own else taken, None, model.thought_tokens_at(taken))


def nearest(wanted: Thinking, levels: tuple[Thinking, ...]) -> Thinking:
    """Of those that a model has, the least first."""
    return min(levels, key=lambda level: abs(THINKING.index(level) - THINKING.index(wanted)))


def _without_levels(model: Model, wanted: Thinking | None) -> str | None:
    if wanted is None:
        return None
    does = "it thinks as it does" if model.thought_tokens else "it does not think"
    return f"thinking {wanted} was not sent: {model.id} has no levels, {does}"
