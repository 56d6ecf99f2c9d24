"""What was saved is compared like with like, step by step, and never across contracts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.core.accounting.savings import saved
from shared.core.catalogue import price
from shared.core.provider.usage import Usage
from shared.core.routing.requirements import Requirements
from shared.core.values.route import Route
from tests.builders import a_catalogue, a_request

PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
ROUTES = [
    Route(lane, model.id, size)
    for model in a_catalogue().models.values()
    for lane in model.lanes
    for size in model.sizes
]


def an_ask(**fields: str) -> Requirements:
    return Requirements.of(a_request(**{"model": PRO, "image_size": "4K"} | fields))


def usage(tokens: int) -> Usage:
    return Usage(text_in=100, image_out=tokens, thought=200)


def test_what_came_as_it_was_asked_saved_nothing() -> None:
    cost = price.metered(usage(2000), a_catalogue().models[PRO].lanes["standard"]).micros
    assert saved(an_ask(), Route("standard", PRO, "4K"), usage(2000), cost, a_catalogue()) == {}


def test_each_step_down_is_counted_for_itself() -> None:
    steps = saved(an_ask(), Route("flex", PRO, "1K"), usage(1120), 67_000, a_catalogue())
    assert steps["lane"] == (100 * 2 + 200 * 12 + 2000 * 120) // 2
    assert steps["size"] == (2000 - 1120) * 60
    assert "model" not in steps
    down = saved(an_ask(), Route("standard", NB21, "4K"), usage(3780), 115_050, a_catalogue())
    assert set(down) == {"model"}


def test_a_size_the_next_model_does_not_make_counts_as_its_own_step_where_both_exist() -> None:
    steps = saved(an_ask(model=NB21), Route("standard", LITE, "1K"), usage(1120), 33_925, a_catalogue())
    assert sum(steps.values()) == 150 + 1_500 + 113_400 - 33_925


def test_what_the_provider_served_otherwise_stands_apart_and_may_be_dearer() -> None:
    pro = price.metered(usage(1120), a_catalogue().models[PRO].lanes["standard"]).micros
    steps = saved(an_ask(model=NB21, image_size="1K"), Route("standard", NB21, "1K"), usage(1120), pro, a_catalogue())
    assert set(steps) == {"served"}
    assert steps["served"] < 0


def test_a_providers_price_is_no_saving_on_googles() -> None:
    assert saved(an_ask(), Route("gateway", PRO, "4K"), None, 90_000, a_catalogue()) == {}


@given(st.sampled_from(ROUTES), st.sampled_from(["1K", "2K", "4K"]), st.booleans(), st.integers(0, 10**6))
def test_the_steps_add_up_to_what_was_asked_less_what_was_booked(
    route: Route, size: str, metered: bool, booked: int
) -> None:
    tokens = a_catalogue().models[route.model].image_tokens[route.image_size]
    counted = usage(tokens) if metered else None
    steps = saved(an_ask(image_size=size), route, counted, booked, a_catalogue())
    rates, wanted_size = a_catalogue().models[PRO].lanes["standard"], a_catalogue().models[PRO].image_tokens[size]
    worth = price.metered(usage(wanted_size), rates).micros if metered else rates.listed[size]
    assert sum(steps.values()) == worth - booked
