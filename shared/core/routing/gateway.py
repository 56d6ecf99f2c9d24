"""A provider gateway: what it can make, what it charges for a call, and whether it charges for a failed one. Pure.

It has a contract of its own: none of its prices is Google's, and nothing saved there counts as a saving on Google's
price.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from shared.core.catalogue import thinking
from shared.core.catalogue.capabilities import Policy
from shared.core.catalogue.catalogue import MODALITIES, Catalogue, Gateway, Model
from shared.core.catalogue.price import NOTHING, UNKNOWN, Cost
from shared.core.catalogue.thinking import Thought
from shared.core.limits.quota import Limits, Quota
from shared.core.provider.failure import Exchange, Failure, FailureKind
from shared.core.routing.requirements import Requirements
from shared.core.values.route import GATEWAY as GATEWAY
from shared.core.values.route import Route, pool

CONTRACT = "gateway:"
"""Prefix of a gateway's name, as an attempt's contract."""
Event: TypeAlias = Literal["without_image", "rejected", "turned_away", "failed", "broken_off"]
GAVE_UP = (408, 499)
"""Client errors by their number, although the call may continue at the provider."""


def serving(catalogue: Catalogue, in_use: Collection[str]) -> dict[str, tuple[str, ...]]:
    """By model id, the gateways that could serve it, in the catalogue's order: those in `in_use`."""
    by_model: dict[str, tuple[str, ...]] = {}
    for name, gateway in catalogue.gateways.items():
        if name in in_use:
            for model in gateway.prices:
                by_model[model] = (*by_model.get(model, ()), name)
    return by_model


def with_limits(quota: Quota, catalogue: Catalogue, gateways: Mapping[str, Sequence[str]]) -> Quota:
    """The quota with the limits of the gateways in use; `gateways` by model. Of several limits the lowest holds."""
    limits = {}
    for model, names in gateways.items():
        rows = [catalogue.gateways[name] for name in names]
        limits[pool(GATEWAY, model)] = Limits(
            rpm=_least(row.rpm for row in rows), concurrency=_least(row.concurrency for row in rows)
        )
    return Quota({**quota.by_model, **limits})


def _least(numbers: Iterable[int | None]) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


def price(gateway: Gateway, model: str, references: int) -> int:
    """Micro-dollars of one call."""
    return gateway.edit_prices.get(model, gateway.prices[model]) if references else gateway.prices[model]


def incapable(name: str, gateway: Gateway, route: Route, ask: Requirements) -> str | None:
    """What of the request this gateway cannot do, or None."""
    if route.image_size not in gateway.sizes:
        return f"gateway {name} makes no {route.image_size}, only {', '.join(gateway.sizes)}"
    if ask.grounding:
        return f"gateway {name} does no grounding"
    if ask.aspect_ratio is not None and gateway.form != "native":
        return f"gateway {name} takes no aspect ratio (its form is {gateway.form})"
    if ask.references and gateway.form == "images":
        return f"gateway {name} takes no references (its form is images)"
    if ask.safety and gateway.form != "native":
        return f"gateway {name} takes no safety thresholds (its form is {gateway.form})"
    if ask.instructed and gateway.form == "images":
        return f"gateway {name} takes no system instruction (its form is images)"
    return None


def thought(name: str, gateway: Gateway, model: Model, ask: Requirements, policies: Mapping[str, Policy]) -> Thought:
    """The native form names a level as Google does; the other two have no field for it."""
    level = thinking.thought(model, ask.thinking, ask.purpose, policies)
    if gateway.form == "native" or level.level is None:
        return level
    note = f"thinking {ask.thinking} was not sent: gateway {name} takes no level (its form is {gateway.form})"
    return Thought(None, None, note if ask.thinking else None, level.tokens)


def timeout(gateway: Gateway, image_size: str | None) -> timedelta:
    return gateway.timeout_4k if image_size == "4K" else gateway.timeout


def alias(gateway: Gateway, model: str) -> str:
    """The provider's name for a model of the catalogue."""
    return gateway.aliases.get(model, model)


def of_made(micros: int) -> Cost:
    """An image at the price that was planned: a gateway charges per call, not by tokens."""
    return Cost(micros, "listed", {"call": micros})


def of_failed(gateway: Gateway | None, failure: Failure, micros: int) -> Cost:
    """A failed call by the provider's own rules; `gateway` None if it was removed from the catalogue since."""
    if failure.rule.exchange is Exchange.NOT_SENT:
        return NOTHING
    if failure.kind is FailureKind.IMAGE_STORE:
        return of_made(micros)
    match gateway.bills[event(failure)] if gateway is not None else "unknown":
        case "charged":
            return of_made(micros)
        case "free":
            return NOTHING
        case _:
            return UNKNOWN


def event(failure: Failure) -> Event:
    """Which line of a gateway's failed-call rule concerns this failure."""
    status = failure.http_status
    if failure.may_be_billed:  # a proxy's answer: the provider's rules for its own answers do not concern it
        return "broken_off"
    if failure.rule.exchange is Exchange.BROKEN_OFF and (status is None or status < 400 or status in GAVE_UP):
        return "broken_off"
    if failure.kind is FailureKind.BALANCE or status in (402, 429, 503, 529):
        return "turned_away"
    if status is None or status < 400:
        return "without_image"
    return "failed" if status >= 500 else "rejected"


def fingerprint(gateway: Gateway) -> str:
    """Changes with everything that a proof is about: the address, the names, the prices, the rules."""
    about: dict[str, Any] = {
        "base_url": gateway.base_url,
        "form": gateway.form,
        "aliases": dict(gateway.aliases),
        "prices": dict(gateway.prices),
        "edit_prices": dict(gateway.edit_prices),
        "bills": dict(gateway.bills),
    }
    if gateway.modalities != MODALITIES:  # so that proofs from before the field was known go on
        about["modalities"] = list(gateway.modalities)
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
