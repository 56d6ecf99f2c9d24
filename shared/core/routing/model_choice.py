"""What a request asks for: the model by name or by purpose, and whether it can do the job at all."""

from __future__ import annotations

from msgspec import Struct

from shared.core.catalogue.catalogue import Catalogue, Model, UnknownModel
from shared.core.routing.requirements import Ask
from shared.core.values.validation import Problem, shown


class Asked(Struct, frozen=True):
    named: str
    """The id that was named, or that the purpose names."""
    model: Model
    """The live one that stands for it."""
    notes: tuple[str, ...]
    """What was changed on the way."""


def what_is_asked(ask: Ask, catalogue: Catalogue) -> Asked | Problem:
    """The model that the request means, or what is wrong with asking for it."""
    if ask.model is None:
        return _by_purpose(ask, catalogue)
    try:
        named = catalogue.find(ask.model)
    except UnknownModel:
        remedy = "Use one of these, or omit the model and set a purpose."
        return Problem("model", shown(ask.model), ", ".join(catalogue.names), remedy)
    live = catalogue.live(ask.model)
    problem = _cannot(ask, live)
    if problem is not None:
        return problem
    notes = []
    if live.id != named.id:
        notes.append(f"model {named.id} is retired: its successor {live.id}")
    elif live.status == "deprecated":
        notes.append(f"model {live.id} is deprecated: plan its migration")
    return Asked(named.id, live, tuple(notes))


def _by_purpose(ask: Ask, catalogue: Catalogue) -> Asked | Problem:
    """The purpose's model, else the next better one that can do the job: the cheapest that fits."""
    named = catalogue.find(catalogue.purposes[ask.purpose])
    first = catalogue.live(named.id)
    notes = [] if first is named else [f"model {named.id} is retired: its successor {first.id}"]
    top = catalogue.ladder.index(first.id)
    if ask.above is not None and ask.above in catalogue.ladder[: top + 1]:
        top = max(catalogue.ladder.index(ask.above) - 1, 0)
        first = catalogue.models[catalogue.ladder[top]]
        notes = [f"{ask.above} failed the quality bar: {first.id}"]
    problems: list[Problem] = []
    for model_id in catalogue.ladder[: top + 1][::-1]:
        model = catalogue.models[model_id]
        problem = _cannot(ask, model)
        if problem is not None and problem.field == "lane":
            return problem  # a better model in that lane may cost more than this one without it
        if problem is None:
            better = [f"{first.id} cannot do it ({problems[0].field}): {model.id}"] if problems else []
            return Asked(named.id, model, (*notes, *better))
        problems.append(problem)
    return max(problems, key=lambda problem: len(problem.allowed))


def _cannot(ask: Ask, model: Model) -> Problem | None:
    """Why this model cannot do what is asked in the lane that is asked, or None."""
    if ask.lane not in model.lanes:
        lanes = ", ".join(model.lanes)
        return Problem("lane", shown(ask.lane), f"{lanes} (for {model.id})", "Omit lane, or choose another model.")
    if model.size_for(ask.image_size) is None:
        sizes = ", ".join(model.sizes)
        return Problem(
            "image_size",
            shown(ask.image_size),
            f"{sizes} (for {model.id})",
            "Request a smaller size, or another model.",
        )
    return incapable(ask, model)


def incapable(ask: Ask, model: Model) -> Problem | None:
    """What of the request no lane of this model can do, or None."""
    if ask.aspect_ratio is not None and ask.aspect_ratio not in model.aspect_ratios:
        ratios = ", ".join(model.aspect_ratios)
        return Problem("aspect_ratio", shown(ask.aspect_ratio), f"{ratios} (for {model.id})", "Use one of them.")
    if ask.references > model.max_references:
        allowed = f"at most {model.max_references} (for {model.id})"
        return Problem("references", f"{ask.references} images", allowed, "Remove some, or choose another model.")
    return None
