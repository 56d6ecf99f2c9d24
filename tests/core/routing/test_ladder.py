"""From what was asked to the route that is taken, each deviation with its reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.catalogue import price
from shared.core.catalogue.thinking import thought
from shared.core.messages.render_request import PRIORITIES, PURPOSES, SIZES, Floor
from shared.core.routing.context import RoutingContext
from shared.core.routing.ladder import Ladder, Planned, Unroutable, below_floor, first_plan, ladder
from shared.core.routing.requirements import Requirements
from shared.core.validation.shapes import Problem
from shared.core.values.lanes import ASKABLE
from shared.core.values.lanes import BUILT as LANES
from shared.core.values.parameters import OUTPUT_FORMATS, SAFETY_CATEGORIES, THINKING
from shared.core.values.route import Route
from tests.builders import a_catalogue, a_planned, a_request

BUILT = ("standard", "priority", "flex")
PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
NB2, LEGACY = "gemini-3.1-flash-image", "gemini-2.5-flash-image"


def refused(**fields: Any) -> Problem:
    planned = first_plan(Requirements.of(a_request(**fields)), a_catalogue(), BUILT)
    assert isinstance(planned, Unroutable), planned
    return planned.problem


@pytest.mark.parametrize(
    ("fields", "route", "reasons"),
    [
        ({"purpose": "draft"}, Route("standard", LITE, "1K"), []),
        ({"purpose": "final"}, Route("standard", PRO, "1K"), []),
        ({"model": "nano-banana-pro", "image_size": "4K"}, Route("standard", PRO, "4K"), []),
        ({"model": NB21}, Route("standard", NB21, "1K"), []),
        ({}, Route("standard", NB21, "1K"), []),
        ({"model": "nano-banana-2"}, Route("standard", NB2, "1K"), [f"is deprecated: move to its successor {NB21}"]),
        ({"model": NB2, "image_size": "512"}, Route("standard", NB2, "512"), ["is deprecated"]),
        ({"image_size": "512"}, Route("standard", NB21, "1K"), ["one size up, 1K"]),
        (
            {"model": f"{NB2}-preview"},
            Route("standard", NB2, "1K"),
            [f"model {NB2}-preview is retired: its successor {NB2}", f"model {NB2} is deprecated"],
        ),
        ({"model": f"{PRO}-preview"}, Route("standard", PRO, "1K"), [f"model {PRO}-preview is retired"]),
        ({"model": NB21, "image_size": "512"}, Route("standard", NB21, "1K"), ["one size up, 1K"]),
        ({"model": "nano-banana"}, Route("standard", LEGACY, "1K"), [f"is deprecated: move to its successor {LITE}"]),
        (
            {"purpose": "draft", "image_size": "2K"},
            Route("standard", NB21, "2K"),
            [f"{LITE} cannot do it (image_size): {NB21}"],
        ),
        ({"purpose": "draft", "aspect_ratio": "8:1"}, Route("standard", LITE, "1K"), []),
        ({"grounding": True}, Route("standard", NB21, "1K"), []),
        ({"model": NB2, "grounding": True}, Route("standard", NB2, "1K"), ["is deprecated"]),
        (
            {"purpose": "draft", "grounding": True},
            Route("standard", NB21, "1K"),
            [f"{LITE} cannot do it (grounding): {NB21}"],
        ),
        ({"grounding": "image"}, Route("standard", NB21, "1K"), []),
        ({"thinking": "high"}, Route("standard", NB21, "1K"), []),
        ({"thinking": "low"}, Route("standard", NB21, "1K"), ["thinking low -> minimal: "]),
        ({"purpose": "draft", "thinking": "medium"}, Route("standard", LITE, "1K"), ["thinking medium -> high: "]),
        ({"purpose": "final", "thinking": "low"}, Route("standard", PRO, "1K"), ["thinking low was not sent: "]),
        ({"system_instruction": "flat colours", "output_format": "png"}, Route("standard", NB21, "1K"), []),
    ],
)  # fmt: skip
def test_a_request_takes_the_cheapest_route_that_can_do_it_and_says_why_it_differs(
    fields: dict[str, Any], route: Route, reasons: list[str]
) -> None:
    planned = a_planned(a_request(**fields), BUILT)
    assert planned.route == route
    assert len(planned.reasons) == len(reasons)
    for reason, part in zip(planned.reasons, reasons, strict=True):
        assert part in reason


@pytest.mark.parametrize(
    ("fields", "field", "value", "allowed"),
    [
        ({"lane": "batch"}, "lane", '"batch"', "flex, priority, standard"),
        ({"model": "gemini-9"}, "model", '"gemini-9"', "nano-banana-pro"),
        ({"model": LITE, "image_size": "4K"}, "image_size", '"4K"', f"1K (for {LITE})"),
        ({"model": PRO, "aspect_ratio": "8:1"}, "aspect_ratio", '"8:1"', "21:9"),
        ({"model": NB21, "lane": "flex"}, "lane", '"flex"', f"standard, priority, batch (for {NB21})"),
        ({"model": "nano-banana", "references": [{"uri": "gs://b/a"}] * 4}, "references", "4 images", "at most 3"),
        ({"purpose": "draft", "lane": "flex"}, "lane", '"flex"', f"standard, batch (for {LITE})"),
        ({"model": LITE, "lane": "priority"}, "lane", '"priority"', f"standard, batch (for {LITE})"),
        ({"model": LITE, "grounding": True}, "grounding", "true", f"false (for {LITE})"),
        ({"model": LEGACY, "grounding": True}, "grounding", "true", f"false (for {LEGACY})"),
        ({"model": LITE, "grounding": "image"}, "grounding", '"image"', f"false (for {LITE})"),
        ({"model": PRO, "grounding": "image"}, "grounding", '"image"', f"true, false (for {PRO})"),
        ({"purpose": "final", "grounding": "image"}, "grounding", '"image"', f"true, false (for {PRO})"),
        ({"purpose": "final", "aspect_ratio": "8:1"}, "aspect_ratio", '"8:1"', PRO),
        ({"max_cost_usd": "0.01"}, "max_cost_usd", '"0.010000"', "at least 0.048611 for standard"),
    ],
)
def test_what_no_route_can_do_is_refused_with_field_found_allowed_and_remedy(
    fields: dict[str, Any], field: str, value: str, allowed: str
) -> None:
    problem = refused(**fields)
    assert (problem.field, problem.found) == (field, value)
    assert allowed in problem.allowed
    assert problem.remedy.endswith(".")


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("lanes", [BUILT, LANES])
def test_a_plain_request_is_served_as_asked_and_its_receipt_has_nothing_to_explain(
    purpose: str, lanes: tuple[str, ...]
) -> None:
    planned = a_planned(a_request(purpose=purpose), lanes)
    assert planned.reasons == ()
    assert planned.route.model == planned.asked_model == a_catalogue().purposes[purpose]


@pytest.mark.parametrize("floor", ["nano-banana-2", "gemini-3.1-flash-image-preview"])
def test_a_floor_beside_the_ladder_holds_by_its_successor(floor: str) -> None:
    request = a_request(purpose="final", floor={"model": floor}, grounding=True)
    routes = ladder(Requirements.of(request), RoutingContext(a_catalogue(), LANES))
    assert isinstance(routes, Ladder)
    kept = {option.route.model for option in routes.kept}
    assert kept == {PRO, NB21}
    reasons = {option.rejected_because for option in routes.options if option.route == Route("standard", LITE, "1K")}
    assert reasons == {f"{LITE} cannot do it: grounding true, allowed: false (for {LITE})"}
    without = ladder(
        Requirements.of(a_request(purpose="final", floor={"model": floor})), RoutingContext(a_catalogue(), LANES)
    )
    assert isinstance(without, Ladder)
    assert LITE not in {option.route.model for option in without.kept}


IMAGE_HATE = {"safety": {"image_hate": "block_only_high"}}


def test_a_threshold_that_batches_do_not_take_is_refused_there_and_strikes_that_lane_elsewhere() -> None:
    request = a_request(**IMAGE_HATE, lane="batch", model=PRO, allow={"batch": True})
    planned = first_plan(Requirements.of(request), a_catalogue(), LANES)
    assert isinstance(planned, Unroutable)
    assert (planned.problem.field, planned.problem.found) == ("safety", "image_hate")
    assert "hate_speech" in planned.problem.allowed
    assert "lane batch: generate_content" in planned.problem.allowed
    routes = ladder(
        Requirements.of(a_request(**IMAGE_HATE, model=PRO, allow={"batch": True})), RoutingContext(a_catalogue(), LANES)
    )
    assert isinstance(routes, Ladder)
    batch = {
        option.rejected_because
        for option in routes.options
        if option.route.lane == "batch" and option.route.model == PRO
    }
    assert all("cannot do it: safety image_hate" in (reason or "") for reason in batch)
    assert {option.route.lane for option in routes.kept} == {"standard", "flex"}
    text = a_request(safety={"harassment": "off"}, lane="batch", model=PRO, allow={"batch": True})
    assert a_planned(text).route.lane == "batch"


def test_a_level_is_part_of_the_estimate() -> None:
    by_level = {level: a_planned(a_request(thinking=level)).estimate_micros for level in ("minimal", "medium", "high")}
    assert by_level["medium"] == a_planned().estimate_micros
    assert by_level["high"] - by_level["medium"] == 2_000 * 7.5
    assert by_level["medium"] - by_level["minimal"] == 1_500 * 7.5


def test_a_system_instruction_counts_as_input() -> None:
    more = a_planned(a_request(system_instruction="abcd" * 100))
    assert more.input_tokens == a_planned().input_tokens + 100


def test_a_cap_of_just_the_estimate_is_enough() -> None:
    estimate = a_planned().estimate_micros
    assert a_planned(a_request(max_cost_usd=f"0.0{estimate}")).estimate_micros == estimate
    assert refused(max_cost_usd=f"0.0{estimate - 1}").field == "max_cost_usd"


def test_what_the_planner_remembers_of_a_request_holds_neither_prompt_nor_references() -> None:
    ask = Requirements.of(a_request(prompt="secret", references=[{"uri": "gs://b/a"}]))
    assert (ask.prompt_tokens, ask.references) == (2, 1)
    assert "secret" not in str(ask.to_json())
    assert "gs://" not in str(ask.to_json())


asks = st.builds(
    Requirements,
    purpose=st.sampled_from(PURPOSES),
    model=st.none() | st.sampled_from([*a_catalogue().names, "gemini-9"]),
    image_size=st.sampled_from(SIZES),
    aspect_ratio=st.none() | st.sampled_from(["1:1", "16:9", "8:1", "7:5"]),
    lane=st.sampled_from(ASKABLE),
    prompt_tokens=st.integers(1, 32_000),
    references=st.integers(0, 14),
    grounding=st.sampled_from([False, True, "image"]),
    max_cost_micros=st.none() | st.integers(1, 10**6),
    priority=st.sampled_from(PRIORITIES),
    exact=st.booleans(),
    floor_size=st.none() | st.sampled_from(SIZES),
    floor_model=st.none() | st.sampled_from(a_catalogue().names),
    allow_gateway=st.booleans(),
    allow_batch=st.booleans(),
    allow_vertex=st.none() | st.booleans(),
    above=st.none() | st.sampled_from(a_catalogue().ladder),
    thinking=st.none() | st.sampled_from(THINKING),
    safety=st.lists(st.sampled_from(SAFETY_CATEGORIES), unique=True).map(tuple),
    instructed=st.booleans(),
    output_format=st.none() | st.sampled_from(OUTPUT_FORMATS),
)


@given(asks, st.sets(st.sampled_from(ASKABLE)))
def test_every_plan_is_a_route_that_exists_within_the_cap_or_a_problem_with_a_remedy(
    ask: Requirements, lanes: set[str]
) -> None:
    assert Requirements.from_json(ask.to_json()) == ask
    match first_plan(ask, a_catalogue(), lanes):
        case Planned(route, reasons, estimate) as planned:
            model = a_catalogue().models[route.model]
            assert model.status != "retired"
            assert route.lane in lanes
            assert route.image_size in model.lanes[route.lane].listed
            assert ask.aspect_ratio in (None, *model.aspect_ratios)
            assert ask.references <= model.max_references
            assert not ask.grounding or model.capabilities.grounding != "none"
            assert ask.grounding != "image" or model.capabilities.grounding == "web+image"
            assert set(ask.safety) <= set(a_catalogue().safety[a_catalogue().api_of(route.lane, route.model)])
            level = thought(model, ask.thinking, ask.purpose, a_catalogue().thinking)
            assert planned.thinking == level.level
            assert level.level in (None, *model.capabilities.thinking)
            assert (level.note in reasons) or ask.thinking in (None, level.level)
            assert ask.max_cost_micros is None or estimate <= ask.max_cost_micros
            assert Route.from_json(route.to_json()) == route
            assert estimate == price.estimate(
                model, route.lane, route.image_size, ask.prompt_tokens, ask.references, grounding=ask.grounding,
                thought_tokens=level.tokens,
            )  # fmt: skip
        case Unroutable(problem):
            assert problem.field
            assert problem.allowed or not lanes
            assert problem.remedy.endswith(".")


@pytest.mark.parametrize(
    ("fields", "floor", "field"),
    [
        ({"purpose": "draft"}, Floor(model="nano-banana-pro"), "floor.model"),
        ({"image_size": "1K"}, Floor(image_size="4K"), "floor.image_size"),
        ({"purpose": "final", "image_size": "4K"}, Floor("4K", "nano-banana-pro"), None),
        ({"purpose": "default"}, Floor("1K", "nano-banana-2"), None),
        ({"image_size": "512"}, Floor(image_size="1K"), None),
        ({"purpose": "draft"}, Floor(model="nano-banana-2"), "floor.model"),
        ({"purpose": "draft"}, Floor(model="nano-banana"), None),
        ({"model": "nano-banana-2"}, Floor(model="nano-banana-pro"), "floor.model"),
        ({"model": "nano-banana-2"}, Floor(model="nano-banana-2.1"), None),
        ({"model": "nano-banana"}, Floor(model="nano-banana-2"), "floor.model"),
    ],
)
def test_a_floor_above_what_was_asked_for_contradicts_it(
    fields: dict[str, Any], floor: Floor, field: str | None
) -> None:
    planned = first_plan(Requirements.of(a_request(**fields)), a_catalogue(), BUILT)
    assert isinstance(planned, Planned)
    problem = below_floor(planned.route, floor, a_catalogue())
    assert (problem.field if problem else None) == field


def test_the_next_route_of_a_plan_lies_in_another_circuit() -> None:
    """What its own circuit offers besides would fail with it: a smaller size is no way out."""
    request = a_request(model="nano-banana-pro", image_size="4K", floor={"image_size": "1K"})
    planned = a_planned(request)
    assert planned.next is not None
    assert planned.next.route.circuit != planned.route.circuit
    alone = a_planned(a_request(model="nano-banana-2.1", image_size="4K"))
    assert alone.next is None


def test_a_lane_that_the_billing_account_does_not_have_is_refused_with_the_reason() -> None:
    barred = replace(a_catalogue(), barred={"priority": "priority needs tier 2, 3, and RENDERLANE_TIER is 1"})
    refused = ladder(Requirements.of(a_request(lane="priority")), RoutingContext(barred, LANES))
    assert isinstance(refused, Unroutable)
    assert (refused.problem.field, refused.problem.allowed) == ("lane", "batch, flex, standard")
    assert refused.problem.remedy == "priority needs tier 2, 3, and RENDERLANE_TIER is 1. Omit it or choose another."
    other = ladder(Requirements.of(a_request()), RoutingContext(barred, LANES))
    assert isinstance(other, Ladder)
