"""Exact arithmetic, rounded once; by what served, not by what was asked; an estimate on the safe side."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.catalogue import price
from shared.core.catalogue.catalogue import Model, Rates
from shared.core.catalogue.price import UNKNOWN
from shared.core.provider.usage import Usage
from tests.builders import a_catalogue, a_usage

PRO, NB21, LITE, LEGACY = (
    "gemini-3-pro-image",
    "gemini-nano-banana-2.1",
    "gemini-3.1-flash-lite-image",
    "gemini-2.5-flash-image",
)


def rates_of(model: str, lane: str = "standard") -> Rates:
    return a_catalogue().models[model].lanes[lane]


def test_each_kind_of_token_is_priced_at_its_own_rate() -> None:
    usage = Usage(text_in=22, image_in=560, text_out=40, image_out=1120, thought=210, grounding_searches=2)
    cost = price.metered(usage, rates_of(PRO))
    assert cost.parts == {"input": 1_164, "text": 480, "thinking": 2_520, "image": 134_400, "grounding": 28_000}
    assert (cost.micros, cost.basis) == (166_564, "metered")


def test_kinds_that_did_not_occur_are_no_part_of_the_cost() -> None:
    assert price.metered(Usage(image_out=1120), rates_of(LITE)).parts == {"image": 33_600}
    assert price.metered(Usage(), rates_of(LITE)).parts == {}


def test_half_a_micro_dollar_is_rounded_up_once_at_the_end() -> None:
    rates = replace(rates_of(LITE), input=Decimal("0.25"), text_output=Decimal("0.25"))
    usage = Usage(text_in=1, text_out=1)  # two quarters: each alone is nothing, together they are one
    assert price.metered(usage, rates).micros == 1
    assert price.metered(Usage(text_in=1), rates).micros == 0
    assert price.metered(Usage(text_in=10), rates).micros == 3  # 2.5


@given(st.lists(st.integers(0, 10**7), min_size=6, max_size=6), st.sampled_from(sorted(a_catalogue().models)))
def test_a_metered_cost_is_the_exact_sum_to_half_a_micro_dollar(tokens: list[int], model: str) -> None:
    for rates in a_catalogue().models[model].lanes.values():
        usage = Usage(*tokens)
        exact = (
            (usage.text_in + usage.image_in) * rates.input
            + (usage.text_out + usage.thought) * rates.text_output
            + usage.image_out * rates.image_output
            + usage.grounding_searches * rates.grounding_search
        )
        cost = price.metered(usage, rates)
        assert isinstance(cost.micros, int)
        assert Decimal("-0.5") < cost.micros - exact <= Decimal("0.5")
        assert abs(cost.micros - sum(cost.parts.values())) <= 5


@pytest.mark.parametrize(("model", "micros"), [(PRO, 14_000), (LEGACY, 35_000)])
def test_each_search_is_charged(model: str, micros: int) -> None:
    assert price.metered(Usage(grounding_searches=3), rates_of(model)).micros == 3 * micros


# -- what served ------------------------------------------------------------------------------------------------------


def made(usage: Usage | None = None, model: str = NB21, lane: str = "standard", size: str = "1K") -> price.Cost:
    return price.of_made(a_catalogue(), usage, model, lane, NB21, size)


def test_a_model_served_in_place_of_another_is_billed_at_its_own_rate() -> None:
    assert made(Usage(image_out=1120), PRO).micros == 134_400
    assert made(Usage(image_out=1120), f"models/{PRO}").micros == 134_400
    assert made(Usage(image_out=1120), "nano-banana-pro").micros == 134_400


def test_a_retired_model_that_serves_still_is_billed_at_its_own_rate() -> None:
    assert made(Usage(image_out=1120), "gemini-3.1-flash-image").micros == 67_200


def test_the_served_lane_sets_the_rate() -> None:
    assert made(Usage(image_out=1120), PRO, "flex").micros == 67_200
    assert made(Usage(image_out=1120), PRO, "priority").micros == 241_920


def test_a_model_nobody_knows_is_billed_as_the_one_that_was_asked() -> None:
    assert made(Usage(image_out=1120), "gemini-5-image").micros == 33_600


def test_a_model_that_the_catalogue_has_lost_since_is_of_unknown_cost() -> None:
    assert price.of_made(a_catalogue(), a_usage(), "gone", "standard", "gone-too", "1K") == UNKNOWN


@pytest.mark.parametrize(
    ("model", "lane"), [(NB21, "flex"), (NB21, "gateway"), ("gemini-3-pro-image-preview", "standard")]
)
def test_what_has_no_rate_is_of_unknown_cost_and_never_guessed(model: str, lane: str) -> None:
    assert made(a_usage(), model, lane) == UNKNOWN
    assert price.of_failed(a_catalogue(), a_usage(), model, lane, NB21) == UNKNOWN


@pytest.mark.parametrize("usage", [None, Usage(), Usage(text_out=1300)])
def test_an_image_whose_tokens_were_not_counted_costs_what_is_listed(usage: Usage | None) -> None:
    cost = made(usage, size="2K")
    assert (cost.micros, cost.basis) == (50_400, "listed")


def test_a_size_without_a_listed_price_is_of_unknown_cost() -> None:
    assert made(None, size="512") == UNKNOWN


def test_an_answer_without_an_image_costs_the_tokens_it_counted() -> None:
    cost = price.of_failed(a_catalogue(), Usage(text_in=1000, thought=200), NB21, "standard", NB21)
    assert (cost.micros, cost.basis) == (3_000, "metered")
    assert price.of_failed(a_catalogue(), None, NB21, "standard", NB21) == UNKNOWN


# -- estimates --------------------------------------------------------------------------------------------------------

live = [(model, lane) for model in a_catalogue().models.values() for lane in model.lanes if model.status != "retired"]


@given(
    st.sampled_from(live), st.data(), st.integers(1, 32_000), st.integers(0, 14), st.booleans(), st.integers(0, 10**6)
)
def test_an_estimate_is_no_less_than_the_bill_for_what_it_allows(
    route: tuple[Model, str], data: st.DataObject, characters: int, references: int, grounding: bool, thought: int
) -> None:
    model, lane = route
    size = data.draw(st.sampled_from(model.sizes))
    estimate = price.estimate(model, lane, size, characters, references, grounding=grounding)
    usage = Usage(
        text_in=characters // 4,
        image_in=references * model.reference_tokens,
        image_out=model.image_tokens[size],
        thought=min(thought, model.thought_tokens),
        grounding_searches=int(grounding),
    )
    assert estimate >= price.metered(usage, model.lanes[lane]).micros
    assert estimate >= model.image_tokens[size] * model.lanes[lane].image_output


def test_an_estimate_grows_with_prompt_references_size_and_grounding() -> None:
    model = a_catalogue().models[NB21]
    least = price.estimate(model, "standard", "1K", 8, 0, grounding=False)
    assert price.estimate(model, "standard", "1K", 10, 0, grounding=False) == least + 3
    assert price.estimate(model, "standard", "1K", 8, 1, grounding=False) == least + 1_680
    assert price.estimate(model, "standard", "1K", 8, 0, grounding=True) == least + 14_000
    assert price.estimate(model, "standard", "4K", 8, 0, grounding=False) == least + 113_400 - 33_600


def test_a_prompt_counts_a_token_for_four_letters_and_for_each_character_that_is_none() -> None:
    assert price.prompt_tokens("a lighthouse") == 3
    assert price.prompt_tokens("灯台の絵") == 4
    assert price.prompt_tokens("é" * 8) == 8


def test_what_was_counted_beside_an_image_without_modalities_is_charged_too() -> None:
    """https://github.com/HeyPuter/puter/issues/2348: 6,000 tokens in, 1,120 out, 2,000 thought."""
    usage = Usage(text_in=6_000, text_out=1_120, thought=2_000)
    cost = price.of_made(a_catalogue(), usage, PRO, "standard", PRO, "1K")
    assert (cost.micros, cost.basis) == (12_000 + 134_000 + 24_000, "listed")
    assert cost.parts == {"image": 134_000, "input": 12_000, "thinking": 24_000}


def test_text_beyond_one_images_tokens_is_charged_as_text() -> None:
    usage = Usage(text_out=1_120 + 500)
    assert price.of_made(a_catalogue(), usage, PRO, "standard", PRO, "1K").micros == 134_000 + 6_000
