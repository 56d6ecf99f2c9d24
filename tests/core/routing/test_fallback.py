"""What flags, breakers, quota and a request's own bad luck leave of its ladder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.messages.render_request import SIZES
from shared.core.routing.context import RequestHistory, RoutingContext
from shared.core.routing.flag import BREAKER, Flag, Scope, hundredth
from shared.core.routing.flag_kinds import NAMES, FlagName
from shared.core.routing.ladder import Ladder, Planned, Unroutable, Waits, first_plan, ladder, plan
from shared.core.routing.requirements import Requirements
from shared.core.values.lanes import BUILT as LANES
from shared.core.values.lanes import NAMES as NAMES_OF_LANES
from shared.core.values.route import Route
from tests.builders import a_catalogue, a_request
from tests.core.routing.test_ladder import asks

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STANDARD = "standard"
BUILT = ("standard", "priority", "flex")
PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
NB2, LEGACY = "gemini-3.1-flash-image", "gemini-2.5-flash-image"


def a_flag(name: FlagName = "use-nano-banana-2", *, actor: str = "ann", to: str | None = None, **scope: Any) -> Flag:
    if name == "lower-resolution":
        to = to or "2K"
    return Flag(
        id=f"{name}-{actor}-{to}",
        name=name,
        actor=actor,
        reason="quota is short",
        tripped_at=NOW,
        expires_at=NOW + timedelta(hours=2),
        to=to,
        scope=Scope(**scope),
    )


def a_breaker(lane: str, model: str) -> Flag:
    return replace(a_flag("pause", actor=BREAKER, lane=lane, model=model), reason=f"{lane}/{model}: overload")


def a_context(*flags: Flag, lanes: Sequence[str] = BUILT, **more: Any) -> RoutingContext:
    return RoutingContext(a_catalogue(), lanes, flags, now=NOW, **more)


def planned(fields: dict[str, Any], *flags: Flag, history: RequestHistory | None = None, **more: Any) -> Planned:
    ask = Requirements.of(a_request(**fields))
    plan_ = plan(ask, a_context(*flags, **more), history or RequestHistory("r-1"))
    assert isinstance(plan_, Planned), plan_
    return plan_


def rejection(fields: dict[str, Any], route: Route, *flags: Flag, **more: Any) -> str | None:
    routes = ladder(Requirements.of(a_request(**fields)), a_context(*flags, **more))
    assert isinstance(routes, Ladder)
    return next(option.rejected_because for option in routes.options if option.route == route)


PRO_4K: dict[str, Any] = {"purpose": "final", "image_size": "4K"}


@pytest.mark.parametrize(
    ("fields", "flags", "route"),
    [
        (PRO_4K, [], Route("standard", PRO, "4K")),
        (PRO_4K, [a_flag("lower-resolution")], Route("standard", PRO, "2K")),
        (PRO_4K, [a_flag("lower-resolution", to="1K")], Route("standard", PRO, "1K")),
        (PRO_4K, [a_flag("use-nano-banana-2")], Route("standard", NB21, "4K")),
        (PRO_4K, [a_flag("use-nano-banana-2"), a_flag("lower-resolution")], Route("standard", NB21, "2K")),
        (PRO_4K, [a_flag("use-flex")], Route("flex", PRO, "4K")),
        (PRO_4K, [a_flag("use-flex"), a_flag("lower-resolution", to="1K")], Route("flex", PRO, "1K")),
        ({**PRO_4K, "priority": "interactive"}, [a_flag("use-flex")], Route("standard", PRO, "4K")),
        ({**PRO_4K, "floor": "exact"}, [a_flag("lower-resolution"), a_flag("use-flex")], Route("standard", PRO, "4K")),
        ({**PRO_4K, "floor": {"image_size": "2K"}}, [a_flag("lower-resolution", to="1K")], Route(STANDARD, PRO, "2K")),
        ({**PRO_4K, "floor": {"model": PRO}}, [a_flag("use-nano-banana-2")], Route("standard", PRO, "4K")),
        (PRO_4K, [a_flag("use-gateway")], Route("standard", PRO, "4K")),
        (PRO_4K, [a_flag("use-batch")], Route("standard", PRO, "4K")),
        (PRO_4K, [a_breaker("standard", PRO)], Route("standard", NB21, "4K")),
        (PRO_4K, [a_breaker("standard", PRO), a_breaker("standard", NB21)], Route("flex", PRO, "4K")),
        ({"purpose": "draft"}, [a_flag("use-nano-banana-2"), a_flag("lower-resolution")], Route(STANDARD, LITE, "1K")),
        ({}, [a_breaker("standard", LITE)], Route("standard", NB21, "1K")),
        ({"purpose": "final", "lane": "flex"}, [a_breaker("flex", PRO)], Route("standard", PRO, "1K")),
        ({"model": "nano-banana"}, [a_breaker("standard", LEGACY)], Route("standard", LITE, "1K")),
        ({"model": "nano-banana-2"}, [a_breaker("standard", NB2)], Route("standard", NB21, "1K")),
    ],
)  # fmt: skip
def test_flags_and_breakers_bend_a_request_as_far_as_its_floor_allows(
    fields: dict[str, Any], flags: list[Flag], route: Route
) -> None:
    assert planned(fields, *flags).route == route


@pytest.mark.parametrize(
    ("scope", "bent"),
    [
        ({"tenant": "web"}, True),
        ({"tenant": "app"}, False),
        ({"purpose": "final"}, True),
        ({"purpose": "draft"}, False),
        ({"model": PRO}, True),
        ({"model": NB21}, False),
        ({"lane": "standard"}, True),
        ({"lane": "flex"}, False),
        ({"share": 0}, False),
        ({"share": 100}, True),
        ({"tenant": "web", "purpose": "draft"}, False),
    ],
)
def test_a_flag_bends_only_what_is_in_its_scope(scope: dict[str, Any], *, bent: bool) -> None:
    flag = a_flag("lower-resolution", **scope)
    planned_ = planned({**PRO_4K, "tenant": "web"}, flag, history=RequestHistory("r-1", "web"))
    assert (planned_.route.image_size == "2K") == bent
    assert planned_.flags == ((flag.id,) if bent else ())


def test_a_share_takes_the_same_requests_each_time_and_a_wider_one_keeps_them() -> None:
    ids = [f"r-{number}" for number in range(2_000)]
    tenth = {word for word in ids if hundredth(word, "use-flex") < 10}
    third = {word for word in ids if hundredth(word, "use-flex") < 33}
    assert tenth < third
    assert 150 < len(tenth) < 250
    assert tenth != {word for word in ids if hundredth(word, "pause") < 10}, "flags do not all meet the same few"


def test_a_reason_names_what_changed_the_flag_who_tripped_it_and_why() -> None:
    planned_ = planned(PRO_4K, a_flag("lower-resolution"))
    assert planned_.reasons == ("image_size 4K -> 2K: flag lower-resolution by ann: quota is short",)
    assert planned_.flags == ("lower-resolution-ann-2K",)
    assert planned_.saved_micros == 105_600, "4K of Pro costs 0.24, 2K 0.1344"


def test_a_flag_that_changes_nothing_says_so_and_stands_in_no_receipt() -> None:
    routes = ladder(Requirements.of(a_request()), a_context(a_flag("lower-resolution"), a_flag("use-gateway")))
    assert isinstance(routes, Ladder)
    assert [text.rpartition(": ")[2] for text in routes.without_effect] == [
        "nothing to change",
        "no route within the request's floor, cap and consent",
    ]
    assert planned({}, a_flag("lower-resolution")).flags == ()


def test_pause_holds_a_request_whatever_else_is_tripped() -> None:
    waits = plan(Requirements.of(a_request()), a_context(a_flag("use-flex"), a_flag("pause")), RequestHistory("r-1"))
    assert isinstance(waits, Waits)
    assert waits.paused
    assert "by ann: quota is short" in waits.reason


def test_when_every_route_is_out_the_request_waits_and_says_for_what() -> None:
    ask = Requirements.of(a_request(purpose="final", floor="exact"))
    waits = plan(ask, a_context(a_breaker("standard", PRO)), RequestHistory("r-1"))
    assert isinstance(waits, Waits)
    assert not waits.paused
    assert waits.reason == f"breaker: standard/{PRO}: overload"


@pytest.mark.parametrize(
    ("fields", "route", "reason"),
    [
        (PRO_4K, Route("batch", PRO, "4K"), "lane unavailable: batch"),
        (PRO_4K, Route("standard", LITE, "1K"), f"under the floor: {NB21}"),
        ({**PRO_4K, "floor": {"image_size": "4K"}}, Route("standard", PRO, "2K"), "under the floor: 4K"),
        ({**PRO_4K, "aspect_ratio": "21:9"}, Route("standard", PRO, "4K"), None),
        ({**PRO_4K, "max_cost_usd": "0.20"}, Route("standard", PRO, "4K"), "over the cap of 0.200000: 0.252"),
        ({**PRO_4K, "priority": "interactive"}, Route("flex", PRO, "4K"), "interactive requests never go to flex"),
        (PRO_4K, Route("flex", NB21, "4K"), f"{NB21} has no flex lane"),
        (PRO_4K, Route("gateway", PRO, "4K"), "lane unavailable: gateway"),
    ],
)
def test_every_route_that_is_struck_out_says_why(fields: dict[str, Any], route: Route, reason: str | None) -> None:
    text = rejection(fields, route)
    assert text == reason if reason is None else text is not None and text.startswith(reason)


def test_batch_and_gateway_need_the_consent_of_the_request() -> None:
    lanes = (*BUILT, "batch", "gateway")
    assert rejection(PRO_4K, Route("batch", PRO, "4K"), lanes=lanes) == "no consent: allow.batch"
    gateway = rejection(PRO_4K, Route("gateway", PRO, "4K"), lanes=lanes)
    assert gateway is not None
    consenting = {**PRO_4K, "allow": {"batch": True}}
    assert planned(consenting, a_flag("use-batch"), lanes=lanes).route.lane == "batch"
    soon = RequestHistory("r-1", deadline=NOW + timedelta(hours=3))
    assert planned(consenting, a_flag("use-batch"), lanes=lanes, history=soon).route.lane == "standard"


def test_a_cap_that_does_not_pay_for_what_is_asked_takes_the_best_route_that_it_pays_for() -> None:
    planned_ = planned({**PRO_4K, "max_cost_usd": "0.20"})
    assert planned_.route == Route("standard", PRO, "2K")
    assert "over the cap" in planned_.reasons[0]
    spent = RequestHistory("r-1", spent_micros=150_000)
    planned_ = planned({**PRO_4K, "max_cost_usd": "0.20"}, history=spent)
    assert planned_.route == Route("standard", NB21, "1K")


def test_a_route_that_failed_this_request_is_left_for_the_next_and_taken_again_when_none_is_left() -> None:
    history = RequestHistory("r-1", avoided={f"standard/{PRO}": "timeout"})
    planned_ = planned(PRO_4K, history=history)
    assert planned_.route == Route("standard", NB21, "4K"), "one attempt changes one thing"
    assert f"model {PRO} -> {NB21}: this request met timeout there" in planned_.reasons[0]
    assert planned({**PRO_4K, "floor": "exact"}, history=history).route == Route("standard", PRO, "4K")


def test_a_quota_that_opens_after_the_deadline_sends_only_those_with_a_deadline_elsewhere() -> None:
    opens = {PRO: NOW + timedelta(hours=20)}
    soon = RequestHistory("r-1", deadline=NOW + timedelta(hours=1))
    assert planned(PRO_4K, history=soon, opens=opens).route.model == NB21
    assert planned(PRO_4K, opens=opens).route.model == PRO
    assert planned({**PRO_4K, "floor": "exact"}, history=soon, opens=opens).route.model == PRO, "it expires there"


def test_a_model_that_is_gone_is_left_for_its_successor_or_the_next_of_the_ladder() -> None:
    lacking = {f"*/{model}": "gone" for model in (PRO, NB2, LEGACY)}
    assert planned(PRO_4K, lacking=lacking).route.model == NB21
    assert planned({"model": "nano-banana"}, lacking=lacking).route.model == LITE, "which Google names as its successor"
    assert planned({"model": "nano-banana-2"}, lacking=lacking).route.model == NB21
    assert planned({"model": "nano-banana-2", "image_size": "512"}, lacking=lacking).route.image_size == "1K"


@pytest.mark.parametrize(("purpose", "model"), [("draft", NB21), ("default", NB21), ("final", PRO)])
def test_who_was_not_content_with_a_model_beside_the_ladder_gets_its_successor_or_better(
    purpose: str, model: str
) -> None:
    planned_ = first_plan(Requirements.of(a_request(purpose=purpose), above=NB2), a_catalogue(), LANES)
    assert isinstance(planned_, Planned)
    assert planned_.route.model == model
    lacking = {f"*/{NB21}": "gone"}
    later = plan(
        Requirements.of(a_request(purpose=purpose), above=NB2), RoutingContext(a_catalogue(), LANES, lacking=lacking)
    )
    assert not isinstance(later, Planned) or later.route.model == PRO


def test_a_lane_that_the_provider_refuses_is_left_for_the_next() -> None:
    lacking = {f"flex/{PRO}": "no flex"}
    planned_ = planned({**PRO_4K, "lane": "flex"}, lacking=lacking)
    assert planned_.route == Route("standard", PRO, "4K")


def test_an_escalation_takes_the_model_above_the_one_that_failed_and_nothing_at_or_below_it() -> None:
    ask = Requirements.of(a_request(), above=NB21)
    planned_ = plan(ask, a_context(), RequestHistory("r-2"))
    assert isinstance(planned_, Planned)
    assert planned_.route.model == PRO
    assert planned_.reasons == (f"{NB21} failed the quality bar: {PRO}",)
    waits = plan(ask, a_context(a_breaker("standard", PRO), a_breaker("flex", PRO)), RequestHistory("r-2"))
    assert isinstance(waits, Waits)


flags = st.lists(
    st.builds(
        lambda name, to, tenant, share, lane, model, by_breaker: (
            a_breaker(lane, model)
            if by_breaker
            else a_flag(name, to=to if name == "lower-resolution" else None, tenant=tenant, share=share)
        ),
        st.sampled_from(NAMES),
        st.sampled_from(["2K", "1K"]),
        st.none() | st.just("web"),
        st.integers(0, 100),
        st.sampled_from([*LANES, "gateway"]),
        st.sampled_from(a_catalogue().ladder),
        st.booleans(),
    ),
    max_size=4,
)
courses = st.builds(
    RequestHistory,
    request_id=st.sampled_from(["r-1", "r-2", "r-3"]),
    tenant=st.sampled_from(["web", "app"]),
    deadline=st.none() | st.just(NOW + timedelta(hours=1)),
    spent_micros=st.integers(0, 300_000),
    avoided=st.dictionaries(
        st.sampled_from([f"standard/{PRO}", f"flex/{PRO}", f"standard/{NB21}"]), st.just("timeout")
    ),
)


@given(asks, st.sets(st.sampled_from([*NAMES_OF_LANES])), flags, courses, st.booleans())
def test_no_flag_breaker_or_bad_luck_breaks_floor_cap_consent_or_capability(
    ask: Requirements, lanes: set[str], tripped: list[Flag], history: RequestHistory, closed: bool
) -> None:
    opens = {PRO: NOW + timedelta(hours=9)} if closed else {}
    planned_ = plan(ask, RoutingContext(a_catalogue(), lanes - {"gateway"}, tripped, opens, now=NOW), history)
    calm = plan(ask, RoutingContext(a_catalogue(), lanes - {"gateway"}, now=NOW), history)
    assert not isinstance(planned_, Unroutable) or isinstance(calm, Unroutable), "what is only for now ends no request"
    if not isinstance(planned_, Planned) or not isinstance(calm, Planned):
        return
    model = a_catalogue().models[planned_.route.model]
    assert planned_.route.lane in lanes
    assert planned_.route.lane in model.lanes
    assert not (
        ask.priority == "interactive" and planned_.route.lane in ("flex", "batch") and ask.lane != planned_.route.lane
    )
    assert planned_.route.lane != "batch" or ask.allow_batch
    assert ask.aspect_ratio in (None, *model.aspect_ratios)
    assert ask.references <= model.max_references
    if ask.max_cost_micros is not None:
        assert history.spent_micros + planned_.estimate_micros <= ask.max_cost_micros
    if ask.exact:
        assert planned_.route == calm.route
    elif ask.floor_size is not None and SIZES.index(ask.floor_size) <= SIZES.index(ask.image_size):
        assert SIZES.index(planned_.route.image_size) >= SIZES.index(ask.floor_size)
    assert (planned_.route == calm.route) or planned_.reasons
    assert planned_.route.circuit not in {flag.circuit for flag in tripped if flag.actor == BREAKER}


def test_a_floor_that_the_catalogue_no_longer_has_ends_the_request_and_not_the_pump() -> None:
    planned_ = plan(replace(Requirements.of(a_request()), floor_model="gone-since"), a_context())
    assert isinstance(planned_, Unroutable)
    assert planned_.problem.field == "floor.model"
    assert NB21 in planned_.problem.allowed
