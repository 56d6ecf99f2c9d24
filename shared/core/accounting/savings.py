"""By how much a delivered image was cheaper than the requested one, by what was changed on the way. Pure.

The requested image is priced with the tokens that the delivered one used, with its image tokens replaced by those of
the requested size: so an estimate's allowances never count as savings. A third-party provider's price is never compared
with Google's.
"""

from __future__ import annotations

from msgspec.structs import replace

from shared.core.accounting.ledger import GATEWAY
from shared.core.catalogue import price
from shared.core.catalogue.catalogue import Catalogue
from shared.core.provider.usage import Usage
from shared.core.routing.model_choice import ModelChoice, choose_model
from shared.core.routing.requirements import Requirements
from shared.core.values.route import Route


def saved(
    ask: Requirements, route: Route, usage: Usage | None, booked_micros: int, catalogue: Catalogue
) -> dict[str, int]:
    """Micro-dollars by `lane`, `model`, `size` and `served`; negative where it was dearer. Sums to asked - booked.

    A step that has no price of its own (a lane that the asked model lacks) is counted with the next one.
    """
    choice = choose_model(ask, catalogue)
    if route.lane == GATEWAY or route.model not in catalogue.models or not isinstance(choice, ModelChoice):
        return {}
    size = choice.model.size_for(ask.image_size)
    if size is None:
        return {}
    before = _worth(Route(ask.lane, choice.model.id, size), usage, catalogue)
    if before is None:
        return {}
    steps = {
        "lane": Route(route.lane, choice.model.id, size),
        "model": Route(route.lane, route.model, _fitting(route.model, size, catalogue)),
        "size": route,
    }
    found_savings: dict[str, int] = {}
    for name, step in steps.items():
        worth = _worth(step, usage, catalogue)
        if worth is not None:
            found_savings[name] = before - worth
            before = worth
    found_savings["served"] = before - booked_micros
    return {name: micros for name, micros in found_savings.items() if micros}


def _worth(route: Route, usage: Usage | None, catalogue: Catalogue) -> int | None:
    model = catalogue.models[route.model]
    rates = model.lanes.get(route.lane)
    if rates is None or route.image_size not in model.image_tokens:
        return None
    if usage is not None and usage.image_out:
        return price.metered(replace(usage, image_out=model.image_tokens[route.image_size]), rates).micros
    searches = usage.grounding_searches if usage is not None else 0
    return rates.listed[route.image_size] + searches * rates.grounding_search


def _fitting(model: str, size: str, catalogue: Catalogue) -> str:
    """The model's size that corresponds to the requested one; its largest if it has none that large."""
    candidate = catalogue.models[model]
    return candidate.size_for(size) or candidate.sizes[-1]
