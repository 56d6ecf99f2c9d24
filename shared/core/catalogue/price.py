"""What an attempt cost, and what one would cost at most. Exact arithmetic; rounded once, at the end."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.core.catalogue.catalogue import Catalogue, Model, Rates, UnknownModel
from shared.core.provider.usage import Usage
from shared.core.values.money import round_micros
from shared.core.values.parameters import Grounding

CostBasis: TypeAlias = Literal["metered", "listed", "unknown"]

LETTERS_PER_TOKEN = 4
"""Characters per token of ASCII text, roughly; any other character counts as a token (Chinese, Japanese). For estimates
only."""


class Cost(Struct, frozen=True):
    """`micros` is what is known to be owed; with basis `unknown` the bill may be higher than the 0 booked here."""

    micros: int
    basis: CostBasis
    parts: Mapping[str, int]
    """Micro-dollars of input, text, thinking, image and grounding, each rounded on its own."""

    def to_json(self) -> dict[str, Any]:
        return {"cost_micros": self.micros, "cost_basis": self.basis, "cost_parts": dict(self.parts)}


NOTHING = Cost(0, "listed", {})
"""The price page says that such a failure is not charged, or the call never arrived."""

UNKNOWN = Cost(0, "unknown", {})


def metered(usage: Usage, rates: Rates) -> Cost:
    """The tokens the provider counted, each kind at its own rate."""
    exact = {
        "input": (usage.text_in + usage.image_in) * rates.input,
        "text": usage.text_out * rates.text_output,
        "thinking": usage.thought * rates.text_output,
        "image": usage.image_out * rates.image_output,
        "grounding": Decimal(usage.grounding_searches * rates.grounding_search),
    }
    parts = {name: round_micros(amount) for name, amount in exact.items() if amount}
    return Cost(round_micros(sum(exact.values(), Decimal(0))), "metered", parts)


def of_made(
    catalogue: Catalogue, usage: Usage | None, served_model: str, served_lane: str, asked_model: str, size: str
) -> Cost:
    """The cost of a delivered image: metered by what served it. If the answer does not say which tokens are the
    image's, the listed price of one image, plus everything else that was counted: input, thoughts, searches, and text
    beyond the tokens of one image."""
    rates = served_rates(catalogue, served_model, served_lane, asked_model)
    if rates is None:
        return UNKNOWN
    if usage is not None and usage.image_out:
        return metered(usage, rates)
    if size not in rates.listed:
        return UNKNOWN
    counted = usage or Usage()
    image_tokens = _image_tokens(catalogue, served_model, asked_model, size)
    beside = metered(replace(counted, text_out=max(0, counted.text_out - image_tokens)), rates)
    parts = {"image": rates.listed[size]} | dict(beside.parts)
    return Cost(rates.listed[size] + beside.micros, "listed", parts)


def of_failed(catalogue: Catalogue, usage: Usage | None, model: str, lane: str, asked_model: str) -> Cost:
    """The cost of an answer without image that carried usage."""
    rates = served_rates(catalogue, model, lane, asked_model)
    return UNKNOWN if rates is None or usage is None else metered(usage, rates)


def served_rates(catalogue: Catalogue, model: str, lane: str, asked_model: str) -> Rates | None:
    """Google may serve an id with a newer model and bill the newer one's rate: the answer's model counts. None if no
    rate is known, also if the model was removed from the catalogue since the attempt began."""
    for name in (model.removeprefix("models/"), asked_model):
        try:
            return catalogue.find(name).lanes.get(lane)
        except UnknownModel:
            continue
    return None


def _image_tokens(catalogue: Catalogue, served_model: str, asked_model: str, size: str) -> int:
    """Of one image of that size."""
    return catalogue.find(billed_model(catalogue, served_model, asked_model)).image_tokens.get(size, 0)


def billed_model(catalogue: Catalogue, model: str, asked_model: str) -> str:
    """The id under which an answer's model is billed: its own, or the ordered one if it is unknown."""
    try:
        return catalogue.find(model.removeprefix("models/")).id
    except UnknownModel:
        return asked_model


def prompt_tokens(prompt: str) -> int:
    """Tokens of a prompt, on the safe side."""
    letters = sum(1 for character in prompt if character.isascii())
    return -(-letters // LETTERS_PER_TOKEN) + len(prompt) - letters


def estimate(
    model: Model,
    lane: str,
    size: str,
    tokens: int,
    references: int,
    *,
    grounding: Grounding,
    thought_tokens: int | None = None,
) -> int:
    """Micro-dollars that one attempt costs, on the safe side: with an allowance for thinking, and one search if
    grounded. `thought_tokens` None: at the model's default level."""
    usage = Usage(
        text_in=tokens,
        image_in=references * model.reference_tokens,
        image_out=model.image_tokens[size],
        thought=model.thought_tokens if thought_tokens is None else thought_tokens,
        grounding_searches=int(bool(grounding)),
    )
    return metered(usage, model.lanes[lane]).micros
