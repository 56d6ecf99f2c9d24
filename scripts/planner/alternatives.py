"""The same load otherwise: one size lower, in the flex lane, in the batch lane. Everything that may changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from scripts.planner.load import Wanted
from shared.core.catalogue import price
from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.thinking import thought
from shared.core.messages.render_request import SIZES
from shared.core.values.lanes import BATCH, FLEX
from shared.core.values.route import Route

Name: TypeAlias = Literal["as asked", "one size lower", "flex lane", "batch lane"]
BATCH_TARGET_HOURS, BATCH_EXPIRY_HOURS = 24, 48
"""What Google aims at, and when a batch without results expires (Gemini batch documentation)."""


class Alternative(Struct, frozen=True):
    name: Name
    wanted: Sequence[Wanted]
    """All requests, each on the route it has here."""
    changed: int
    """How many differ from what was asked."""

    @property
    def through_the_queue(self) -> Sequence[Wanted]:
        """What needs slots: a batch waits for nobody's minute."""
        return [wanted for wanted in self.wanted if wanted.route.lane != BATCH]


def alternatives(wanted: Sequence[Wanted], catalogue: Catalogue) -> list[Alternative]:
    """As asked first; another one only where it changes something."""
    ways: Sequence[tuple[Name, Callable[[Wanted, Catalogue], Wanted]]] = (
        ("one size lower", _lower),
        ("flex lane", _flex),
        ("batch lane", _batch),
    )
    choices = [Alternative("as asked", wanted, 0)]
    for name, change in ways:
        changed = [change(item, catalogue) for item in wanted]
        count = sum(new is not old for new, old in zip(changed, wanted, strict=True))
        if count:
            choices.append(Alternative(name, changed, count))
    return choices


def _lower(wanted: Wanted, catalogue: Catalogue) -> Wanted:
    """The model's next smaller size, where the floor of the request allows it."""
    route = wanted.route
    sizes = catalogue.models[route.model].sizes
    position = sizes.index(route.image_size)
    if position == 0 or wanted.floor_size is None or SIZES.index(sizes[position - 1]) < SIZES.index(wanted.floor_size):
        return wanted
    return _on(wanted, replace(route, image_size=sizes[position - 1]), catalogue)


def _flex(wanted: Wanted, catalogue: Catalogue) -> Wanted:
    return _in_lane(wanted, FLEX, catalogue)


def _batch(wanted: Wanted, catalogue: Catalogue) -> Wanted:
    return _in_lane(wanted, BATCH, catalogue)


def _in_lane(wanted: Wanted, lane: str, catalogue: Catalogue) -> Wanted:
    """Where the model has that lane; nobody waits interactively for a lane without a promise of minutes."""
    route = wanted.route
    if wanted.priority == "interactive" or route.lane == lane or lane not in catalogue.models[route.model].lanes:
        return wanted
    return _on(wanted, replace(route, lane=lane), catalogue)


def _on(wanted: Wanted, route: Route, catalogue: Catalogue) -> Wanted:
    ask = wanted.ask
    model = catalogue.models[route.model]
    micros = price.estimate(
        model,
        route.lane,
        route.image_size,
        ask.prompt_tokens,
        ask.references,
        grounding=ask.grounding,
        thought_tokens=thought(model, ask.thinking, ask.purpose, catalogue.thinking).tokens,
    )
    return replace(wanted, planned=replace(wanted.planned, route=route, estimate_micros=micros))
