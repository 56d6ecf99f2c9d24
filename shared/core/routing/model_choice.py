"""Which model a request means, by name or by purpose, and whether that model can do the job at all."""

from __future__ import annotations

from msgspec import Struct

from shared.core.catalogue.catalogue import Catalogue, Model, UnknownModel
from shared.core.routing.requirements import Requirements
from shared.core.validation.shapes import Problem, shown
from shared.core.values.lanes import is_apart
from shared.core.values.parameters import IMAGE_SEARCH


class ModelChoice(Struct, frozen=True):
    named: str
    """The id that was named, or that the purpose selects."""
    model: Model
    """The live model behind it."""
    notes: tuple[str, ...]
    """What was changed on the way."""


def choose_model(ask: Requirements, catalogue: Catalogue) -> ModelChoice | Problem:
    """The model that the request means, or what is wrong with it."""
    if ask.model is None:
        return _by_purpose(ask, catalogue)
    try:
        named = catalogue.find(ask.model)
    except UnknownModel:
        remedy = "Use one of these, or omit the model and set a purpose."
        return Problem("model", shown(ask.model), ", ".join(catalogue.names), remedy)
    live = catalogue.live(ask.model)
    problem = _cannot(ask, live, catalogue)
    if problem is not None:
        return problem
    notes = []
    if live.id != named.id:
        notes.append(f"model {named.id} is retired: its successor {live.id}")
    if live.status == "deprecated":
        target = f"move to its successor {live.successor}" if live.successor else "plan its migration"
        notes.append(f"model {live.id} is deprecated: {target}")
    return ModelChoice(named.id, live, tuple(notes))


def _by_purpose(ask: Requirements, catalogue: Catalogue) -> ModelChoice | Problem:
    """The purpose's model, else the next better one that can do the job: the cheapest that fits."""
    named = first = catalogue.find(catalogue.purposes[ask.purpose])
    notes: list[str] = []
    top = catalogue.ladder.index(first.id)
    least_rank = least_rank_after(ask.above, catalogue)
    if least_rank is not None and least_rank < top:
        top = max(least_rank, 0)
        first = catalogue.models[catalogue.ladder[top]]
        notes = [f"{ask.above} failed the quality bar: {first.id}"]
    problems: list[Problem] = []
    for model_id in catalogue.ladder[: top + 1][::-1]:
        model = catalogue.models[model_id]
        problem = _cannot(ask, model, catalogue)
        if problem is not None and problem.field == "lane":
            return problem  # a better model in that lane may cost more than this one without it
        if problem is None:
            better = [f"{first.id} cannot do it ({problems[0].field}): {model.id}"] if problems else []
            return ModelChoice(named.id, model, (*notes, *better))
        problems.append(problem)
    return max(problems, key=lambda problem: len(problem.allowed))


def least_rank_after(failed_model: str | None, catalogue: Catalogue) -> int | None:
    """The lowest place on the ladder that is better than a model whose image failed the quality bar: -1 if there is
    none, None if the ladder says nothing about it. The successor of a model that is not on the ladder counts as
    better."""
    if failed_model is None or failed_model not in catalogue.models:
        return None
    if failed_model in catalogue.ladder:
        return catalogue.ladder.index(failed_model) - 1
    successor = catalogue.on_ladder(failed_model)
    return None if successor is None else catalogue.ladder.index(successor)


def _cannot(ask: Requirements, model: Model, catalogue: Catalogue) -> Problem | None:
    """Why this model cannot do what is requested in the requested lane, or None."""
    if ask.lane not in model.lanes:
        lanes = ", ".join(lane for lane in model.lanes if not is_apart(lane))  # those may not be here
        return Problem("lane", shown(ask.lane), f"{lanes} (for {model.id})", "Omit lane, or choose another model.")
    if model.size_for(ask.image_size) is None:
        sizes = ", ".join(model.sizes)
        return Problem(
            "image_size",
            shown(ask.image_size),
            f"{sizes} (for {model.id})",
            "Request a smaller size, or another model.",
        )
    return incapable(ask, model) or unsafe(ask, ask.lane, model, catalogue)


def incapable(ask: Requirements, model: Model) -> Problem | None:
    """What of the request no lane of this model can do, or None."""
    if ask.aspect_ratio is not None and ask.aspect_ratio not in model.aspect_ratios:
        ratios = ", ".join(model.aspect_ratios)
        return Problem("aspect_ratio", shown(ask.aspect_ratio), f"{ratios} (for {model.id})", "Use one of them.")
    if ask.grounding and model.capabilities.grounding == "none":
        allowed = f"false (for {model.id})"
        return Problem("grounding", shown(ask.grounding), allowed, "Leave it out, or name another model.")
    if ask.grounding == IMAGE_SEARCH and model.capabilities.grounding != "web+image":
        allowed = f"true, false (for {model.id})"
        return Problem("grounding", shown(ask.grounding), allowed, "Search in web pages alone, or name another model.")
    if ask.references > model.max_references:
        allowed = f"at most {model.max_references} (for {model.id})"
        return Problem("references", f"{ask.references} images", allowed, "Remove some, or choose another model.")
    return None


def unsafe(ask: Requirements, lane: str, model: Model, catalogue: Catalogue) -> Problem | None:
    """A harm category whose threshold cannot be set in this lane's API, or None."""
    api = catalogue.api_of(lane, model.id)
    taken = catalogue.safety.get(api, ())
    wrong = [category for category in ask.safety if category not in taken]
    if not wrong:
        return None
    allowed = f"{', '.join(taken) or 'none'} (lane {lane}: {api})"
    return Problem("safety", ", ".join(wrong), allowed, "Leave these categories out, or choose another lane.")
