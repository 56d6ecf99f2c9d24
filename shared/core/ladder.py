"""From a request to the route its next attempt takes, each deviation with its reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from shared.core import price
from shared.core.catalogue import Catalogue, Model, UnknownModel
from shared.core.money import usd
from shared.core.request import SIZES, Floor, RenderRequest
from shared.core.shape import Problem, shown


@dataclass(frozen=True, slots=True)
class Route:
    """Lane + model + image size."""

    lane: str
    model: str
    image_size: str

    def __str__(self) -> str:
        return f"{self.lane} {self.model} {self.image_size}"

    def to_json(self) -> dict[str, Any]:
        return {"lane": self.lane, "model": self.model, "image_size": self.image_size}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Route:
        return cls(data["lane"], data["model"], data["image_size"])


@dataclass(frozen=True, slots=True)
class Ask:
    """What the planner needs of a request: everything but its prompt and references themselves."""

    purpose: str
    model: str | None
    image_size: str
    aspect_ratio: str | None
    lane: str
    prompt_tokens: int
    """Estimated, on the safe side."""
    references: int
    grounding: bool
    max_cost_micros: int | None

    @classmethod
    def of(cls, request: RenderRequest) -> Ask:
        return cls(
            purpose=request.purpose,
            model=request.model,
            image_size=request.image_size,
            aspect_ratio=request.aspect_ratio,
            lane=request.lane,
            prompt_tokens=price.prompt_tokens(request.prompt),
            references=len(request.references),
            grounding=request.grounding,
            max_cost_micros=request.max_cost_micros,
        )

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Ask:
        return cls(**{name: data[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Planned:
    route: Route
    reasons: tuple[str, ...]
    """Why the route differs from what was asked; empty where it does not."""
    estimate_micros: int
    """One attempt, on the safe side."""
    asked_model: str
    """The id of what was asked for, by name or by purpose."""
    input_tokens: int
    """What it takes of a per-minute token limit, estimated: prompt and references."""


@dataclass(frozen=True, slots=True)
class Unroutable:
    """No route can do what was asked."""

    problem: Problem


Plan: TypeAlias = Planned | Unroutable


def plan(ask: Ask, catalogue: Catalogue, lanes: Collection[str]) -> Plan:
    """The route of the next attempt. `lanes` are those that are built and configured here."""
    if ask.lane not in lanes:
        return Unroutable(
            Problem(
                "lane", shown(ask.lane), ", ".join(sorted(lanes)), "Lane unavailable: leave it out or name another."
            )
        )
    if ask.model is None:
        return _by_purpose(ask, catalogue)
    try:
        named = catalogue.find(ask.model)
    except UnknownModel:
        remedy = "Use one of them, or leave the model out and name a purpose."
        return Unroutable(Problem("model", shown(ask.model), ", ".join(catalogue.names), remedy))
    live = catalogue.live(ask.model)
    problem = _cannot(ask, live)
    if problem is not None:
        return Unroutable(problem)
    reasons = []
    if live.id != named.id:
        reasons.append(f"model {named.id} is retired: its successor {live.id}")
    elif live.status == "deprecated":
        reasons.append(f"model {live.id} is deprecated: plan its migration")
    return _planned(ask, named.id, live, reasons)


def _by_purpose(ask: Ask, catalogue: Catalogue) -> Plan:
    """The purpose's model, else the next better one that can do the job: the cheapest that fits."""
    named = catalogue.find(catalogue.purposes[ask.purpose])
    first = catalogue.live(named.id)
    retired = [] if first is named else [f"model {named.id} is retired: its successor {first.id}"]
    upwards = catalogue.ladder[: catalogue.ladder.index(first.id) + 1][::-1]
    problems: list[Problem] = []
    for model_id in upwards:
        model = catalogue.models[model_id]
        problem = _cannot(ask, model)
        if problem is not None and problem.field == "lane":
            return Unroutable(problem)  # a better model in that lane may cost more than this one without it
        if problem is None:
            reasons = [f"{first.id} cannot do it ({problems[0].field}): {model.id}"] if problems else []
            return _planned(ask, named.id, model, [*retired, *reasons])
        problems.append(problem)
    return Unroutable(max(problems, key=lambda problem: len(problem.allowed)))


def _cannot(ask: Ask, model: Model) -> Problem | None:
    """Why this model cannot do what is asked, or None."""
    if ask.lane not in model.lanes:
        lanes = ", ".join(lane for lane in model.lanes if lane != "batch")
        return Problem("lane", shown(ask.lane), f"{lanes} (for {model.id})", "Leave lane out, or name another model.")
    if model.size_for(ask.image_size) is None:
        sizes = ", ".join(model.sizes)
        return Problem(
            "image_size", shown(ask.image_size), f"{sizes} (for {model.id})", "Ask for less, or another model."
        )
    if ask.aspect_ratio is not None and ask.aspect_ratio not in model.aspect_ratios:
        ratios = ", ".join(model.aspect_ratios)
        return Problem("aspect_ratio", shown(ask.aspect_ratio), f"{ratios} (for {model.id})", "Use one of them.")
    if ask.references > model.max_references:
        allowed = f"at most {model.max_references} (for {model.id})"
        return Problem("references", f"{ask.references} images", allowed, "Leave some out, or name another model.")
    return None


def _planned(ask: Ask, asked_model: str, model: Model, reasons: list[str]) -> Plan:
    size = model.size_for(ask.image_size)
    assert size is not None, "_cannot() has refused it"
    if size != ask.image_size:
        reasons.append(f"size {ask.image_size} is not made by {model.id}: one size up, {size}")
    cost = price.estimate(model, ask.lane, size, ask.prompt_tokens, ask.references, grounding=ask.grounding)
    if ask.max_cost_micros is not None and cost > ask.max_cost_micros:
        return Unroutable(
            Problem(
                "max_cost_usd",
                f'"{usd(ask.max_cost_micros)}"',
                f"at least {usd(cost)} for {ask.lane} {model.id} {size}",
                "Raise the cap, or ask for a smaller size or a cheaper model.",
            )
        )
    tokens = ask.prompt_tokens + ask.references * model.reference_tokens
    return Planned(Route(ask.lane, model.id, size), tuple(reasons), cost, asked_model, tokens)


def below_floor(route: Route, floor: Floor, catalogue: Catalogue) -> Problem | None:
    """A floor above what was asked for contradicts it."""
    if floor.image_size is not None and SIZES.index(route.image_size) < SIZES.index(floor.image_size):
        return Problem("floor.image_size", shown(floor.image_size), f"at most {route.image_size}", "Ask for that size.")
    if floor.model is not None:
        least = catalogue.live(floor.model).id
        ladder = catalogue.ladder
        if least in ladder and route.model in ladder and ladder.index(route.model) > ladder.index(least):
            remedy = "Name that model, or a purpose that picks it."
            return Problem("floor.model", shown(floor.model), f"{route.model} or below", remedy)
    return None
