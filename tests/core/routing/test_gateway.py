"""A gateway's prices, rules and limits, and the routes that the ladder makes of them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.catalogue.catalogue import FAILED_CALLS, Gateway
from shared.core.catalogue.price import Cost
from shared.core.catalogue.reader import read_catalogue
from shared.core.catalogue.toml_errors import BrokenCatalogue
from shared.core.limits.quota import Limits, Quota
from shared.core.provider.failure import Failure, FailureKind
from shared.core.routing import gateway
from shared.core.routing.context import Offer, RoutingContext
from shared.core.routing.gateway import event, fingerprint, incapable, of_failed, serving, with_limits
from shared.core.routing.ladder import Ladder, Planned, first_plan, ladder, plan
from shared.core.routing.requirements import Requirements
from shared.core.values.lanes import BUILT as LANES
from shared.core.values.route import GATEWAY, Route
from tests.builders import CATALOGUE_FILE, NOW, a_catalogue, a_failure, a_request

PRO, NB21 = "gemini-3-pro-image", "gemini-nano-banana-2.1"
TEXT = CATALOGUE_FILE.read_text("utf-8")
K = FailureKind


def a_gateway(**changes: Any) -> Gateway:
    return replace(a_catalogue().gateways["laozhang"], **changes)


def a_context(off: str | None = None, **changes: Any) -> RoutingContext:
    offers = {model: Offer("laozhang", a_gateway(**changes), off) for model in a_gateway().prices}
    return RoutingContext(a_catalogue(), (*LANES, "gateway"), offers=offers, now=NOW)


def rejection(fields: dict[str, Any], route: Route, under: RoutingContext) -> str | None:
    routes = ladder(Requirements.of(a_request(**fields)), under)
    assert isinstance(routes, Ladder)
    return next(option.rejected_because for option in routes.options if option.route == route)


CONSENT: dict[str, Any] = {"purpose": "final", "image_size": "4K", "allow": {"gateway": True}}
GATEWAY_4K = Route("gateway", PRO, "4K")


def test_the_shipped_gateway_lists_the_public_price_of_a_call() -> None:
    row = a_gateway()
    assert gateway.price(row, PRO, 0) == 90_000, "0.09 an image"
    assert gateway.price(row, PRO, 3) == 90_000, "0.09 an edit"
    assert gateway.price(a_gateway(edit_prices={PRO: 110_000}), PRO, 3) == 110_000


def test_a_calls_time_out_stays_under_what_a_push_allows() -> None:
    assert gateway.timeout(a_gateway(), "1K") == timedelta(seconds=360)
    assert gateway.timeout(a_gateway(), "4K") == timedelta(seconds=539)


def test_its_route_is_estimated_at_its_own_price_and_kept_last() -> None:
    routes = ladder(Requirements.of(a_request(**CONSENT)), a_context())
    assert isinstance(routes, Ladder)
    kept = [option for option in routes.options if option.rejected_because is None]
    assert [option.route.lane for option in kept][-1] == "gateway"
    option = next(option for option in kept if option.route == GATEWAY_4K)
    assert option.estimate_micros == 90_000


@pytest.mark.parametrize(
    ("fields", "under", "reason"),
    [
        (CONSENT, a_context(), None),
        ({**CONSENT, "allow": {}}, a_context(), "data boundary, no consent: allow.gateway"),
        (CONSENT, a_context("gateway laozhang is off"), "gateway laozhang is off"),
        (CONSENT, replace(a_context(), offers={}), f"no gateway that has a key offers {PRO}"),
        (CONSENT, a_context(sizes=("1K",)), "gateway laozhang makes no 4K, only 1K"),
        ({**CONSENT, "grounding": True}, a_context(), "gateway laozhang does no grounding"),
        ({**CONSENT, "aspect_ratio": "16:9"}, a_context(form="chat"), "gateway laozhang takes no aspect ratio"),
        (
            {**CONSENT, "references": [{"uri": "gs://b/a.png", "mime_type": "image/png"}]},
            a_context(form="images"),
            "gateway laozhang takes no references",
        ),
        ({**CONSENT, "max_cost_usd": "0.05"}, a_context(), "over the cap of 0.050000: 0.090000"),
    ],
)
def test_what_speaks_against_the_route_is_said(
    fields: dict[str, Any], under: RoutingContext, reason: str | None
) -> None:
    text = rejection(fields, GATEWAY_4K, under)
    assert text == reason if reason is None else text is not None and text.startswith(reason)


def test_a_plan_by_gateway_saves_nothing_on_googles_price() -> None:
    under = replace(a_context(), lacking={f"{lane}/{PRO}": "gone" for lane in LANES})
    planned = plan(Requirements.of(a_request(**CONSENT, floor={"model": PRO})), under)
    assert isinstance(planned, Planned)
    assert (planned.route, planned.estimate_micros, planned.saved_micros) == (GATEWAY_4K, 90_000, 0)


def test_intake_plans_no_gateway() -> None:
    planned = first_plan(Requirements.of(a_request(**CONSENT)), a_catalogue(), (*LANES, "gateway"))
    assert isinstance(planned, Planned)
    assert planned.route.lane == "standard"


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (a_failure(K.REFUSED, http_status=200), "without_image"),
        (a_failure(K.NO_IMAGE, http_status=200), "without_image"),
        (a_failure(K.MALFORMED_ANSWER, http_status=200), "without_image"),
        (a_failure(K.CREDENTIAL, http_status=401), "rejected"),
        (a_failure(K.REFUSED, http_status=400), "rejected"),
        (a_failure(K.QUOTA_MINUTE, http_status=429), "turned_away"),
        (a_failure(K.BALANCE, http_status=403), "turned_away"),
        (a_failure(K.OVERLOAD, http_status=503), "turned_away"),
        (a_failure(K.SERVER_ERROR, http_status=502), "failed"),
        (a_failure(K.TIMEOUT, http_status=504), "failed"),
        (a_failure(K.TIMEOUT), "broken_off"),
        (a_failure(K.CONNECTION_LOST, http_status=200), "broken_off"),
        (a_failure(K.CRASHED), "broken_off"),
        (a_failure(K.TIMEOUT, http_status=524, may_be_billed=True), "broken_off"),
        (a_failure(K.SERVER_ERROR, http_status=502, may_be_billed=True), "broken_off"),
        (a_failure(K.OVERLOAD, http_status=503, may_be_billed=True), "broken_off"),
    ],
)
def test_every_failure_has_its_line_in_the_failed_call_rule(failure: Failure, line: str) -> None:
    assert event(failure) == line
    for billed, cost in (("charged", Cost(90_000, "listed", {"call": 90_000})), ("free", Cost(0, "listed", {}))):
        assert (
            of_failed(a_gateway(bills={**dict.fromkeys(FAILED_CALLS, "unknown"), line: billed}), failure, 90_000)
            == cost
        )
    assert of_failed(a_gateway(bills=dict.fromkeys(FAILED_CALLS, "unknown")), failure, 90_000).basis == "unknown"


@pytest.mark.parametrize("kind", [K.CONNECTION, K.LATE])
def test_what_never_left_is_not_charged_whatever_the_rule_says(kind: FailureKind) -> None:
    rule = a_gateway(bills=dict.fromkeys(FAILED_CALLS, "charged"))
    assert of_failed(rule, a_failure(kind), 90_000) == Cost(0, "listed", {})


def test_an_image_that_could_not_be_stored_is_paid() -> None:
    assert of_failed(a_gateway(), a_failure(K.IMAGE_STORE, http_status=200), 90_000).micros == 90_000


def test_a_failure_under_a_contract_that_the_catalogue_has_lost_is_unknown() -> None:
    assert of_failed(None, a_failure(K.NO_IMAGE, http_status=200), 90_000).basis == "unknown"


@given(kind=st.sampled_from(FailureKind), status=st.none() | st.integers(200, 599))
def test_any_failure_has_a_cost(kind: FailureKind, status: int | None) -> None:
    cost = of_failed(a_gateway(), a_failure(kind, http_status=status), 90_000)
    assert cost.micros in (0, 90_000)
    assert cost.basis in ("listed", "unknown")


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "https://x.example"}, {"form": "chat"}, {"aliases": {PRO: "y"}}, {"prices": {PRO: 1}},
        {"edit_prices": {PRO: 1}}, {"bills": dict.fromkeys(FAILED_CALLS, "free")},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_proof_is_of_one_row(change: dict[str, Any]) -> None:
    assert fingerprint(a_gateway(**change)) != fingerprint(a_gateway())
    assert fingerprint(a_gateway(modalities=())) != fingerprint(a_gateway())
    assert fingerprint(a_gateway(checked=NOW.date())) == fingerprint(a_gateway())


def test_gateways_in_use_serve_a_model_in_the_catalogues_order() -> None:
    two = replace(a_catalogue(), gateways={"a": a_gateway(prices={PRO: 1}), "b": a_gateway()})
    assert serving(two, ["b"])[PRO] == ("b",)
    assert serving(two, ["b", "a"])[PRO] == ("a", "b")
    assert serving(two, []) == {}


def test_a_gateways_limits_are_its_own() -> None:
    catalogue = replace(a_catalogue(), gateways={"a": a_gateway(rpm=30, concurrency=4)})
    quota = with_limits(Quota.parse("*=rpm:600,concurrency:50"), catalogue, {PRO: ["a"]})
    assert quota.limits(GATEWAY_4K.pool) == Limits(rpm=30, concurrency=4)
    assert quota.limits(PRO) == Limits(rpm=600, concurrency=50)
    assert quota.limits("gateway:other") == Limits(), "its limits are unknown"


def test_of_several_gateways_the_least_limit_holds_whichever_serves() -> None:
    both = {"a": a_gateway(rpm=30), "b": a_gateway(rpm=20, concurrency=4)}
    quota = with_limits(Quota.parse(""), replace(a_catalogue(), gateways=both), {PRO: ["a", "b"]})
    assert quota.limits(GATEWAY_4K.pool) == Limits(rpm=20, concurrency=4)


def test_every_capability_is_looked_at_before_a_request_leaves() -> None:
    ask = Requirements.of(a_request(**CONSENT))
    assert incapable("g", a_gateway(), GATEWAY_4K, ask) is None
    elsewhere = {"purpose", "model", "image_size", "lane", "prompt_tokens", "max_cost_micros", "priority", "exact"}
    elsewhere |= {"floor_size", "floor_model", "allow_gateway", "allow_batch", "allow_vertex", "above"}
    elsewhere |= {"thinking", "output_format"}  # no reason to leave a gateway
    checked = {"aspect_ratio", "references", "grounding", "safety", "instructed"}
    assert set(Requirements.__struct_fields__) - elsewhere == checked


@pytest.mark.parametrize(
    ("form", "parameters", "reason"),
    [
        ("chat", {"safety": {"harassment": "off"}}, "gateway g takes no safety thresholds (its form is chat)"),
        ("images", {"safety": {"harassment": "off"}}, "gateway g takes no safety thresholds (its form is images)"),
        ("images", {"system_instruction": "flat"}, "gateway g takes no system instruction (its form is images)"),
        ("chat", {"system_instruction": "flat"}, None),
        ("native", {"system_instruction": "flat", "safety": {"harassment": "off"}, "thinking": "high"}, None),
        ("images", {"thinking": "high", "output_format": "png"}, None),
    ],
)
def test_a_parameter_goes_only_to_a_gateway_whose_form_has_a_place_for_it(
    form: str, parameters: dict[str, Any], reason: str | None
) -> None:
    row = replace(a_gateway(), form=form, sizes=("1K",))
    assert incapable("g", row, Route(GATEWAY, PRO, "1K"), Requirements.of(a_request(**CONSENT | parameters))) == reason


@pytest.mark.parametrize(
    ("form", "wanted", "level", "note"),
    [
        ("native", "high", "high", None),
        ("native", "low", "minimal", f"thinking low -> minimal: {NB21} has minimal, medium, high"),
        ("chat", "high", None, "thinking high was not sent: gateway g takes no level (its form is chat)"),
        ("chat", None, None, None),
    ],
)
def test_a_gateway_names_a_level_where_its_form_has_a_place_for_it(
    form: str, wanted: str | None, level: str | None, note: str | None
) -> None:
    ask = Requirements.of(a_request(**CONSENT | ({"thinking": wanted} if wanted else {})))
    taken = gateway.thought("g", replace(a_gateway(), form=form), a_catalogue().models[NB21], ask, {})
    assert (taken.level, taken.note) == (level, note)


@pytest.mark.parametrize(
    ("written", "instead", "message"),
    [
        ('form = "native"', 'form = "soap"', "gateways.laozhang.form: found 'soap'; allowed: native, chat, images"),
        ('form = "native"', 'form = "chat"\nsizes = ["4K"]', "gateways.laozhang.sizes: found ['4K']; allowed"),
        ('"https://api.laozhang.ai"', '"api.laozhang.ai"', "gateways.laozhang.base_url: found 'api.laozhang.ai'"),
        ('rejected = "free"', 'rejected = "cheap"', "gateways.laozhang.failed_calls.rejected: found 'cheap'"),
        (', broken_off = "unknown"', "", "gateways.laozhang.failed_calls.broken_off: found nothing"),
        ('form = "native"', 'form = "native"\ntimeout_4k_seconds = 600', "whole number from 1 to 539"),
        ('form = "native"', 'form = "native"\naliases = { "gpt" = "x" }', "gateways.laozhang.aliases.gpt: found an"),
        ("[gateways.laozhang]", '[gateways."lao zhang"]', "found the name 'lao zhang'"),
        ('image_output = 120.00\n', 'image_output = 120.00\napi = "rest"\n', "api: found 'rest'; allowed"),
    ],
)  # fmt: skip
def test_a_broken_row_is_refused_with_its_line(written: str, instead: str, message: str) -> None:
    assert written in TEXT
    with pytest.raises(BrokenCatalogue, match=re.escape(message)):
        read_catalogue(TEXT.replace(written, instead, 1))


def test_a_row_says_what_differs_from_the_usual() -> None:
    more = 'form = "native"\naliases = { "gemini-3-pro-image" = "pro" }\nrpm = 9\nconcurrency = 2\nfresh_days = 7'
    row = read_catalogue(TEXT.replace('form = "native"', more)).gateways["laozhang"]
    assert gateway.alias(row, PRO) == "pro"
    assert gateway.alias(row, "gemini-nano-banana-2.1") == "gemini-nano-banana-2.1"
    assert (row.rpm, row.concurrency, row.fresh_for) == (9, 2, timedelta(days=7))


@pytest.mark.parametrize(("kind", "status"), [(FailureKind.TIMEOUT, 408), (FailureKind.CONNECTION_LOST, 499)])
def test_a_call_that_was_given_up_is_not_one_that_was_rejected(kind: FailureKind, status: int) -> None:
    """Their numbers are those of a client's mistake; the picture may have been made anyway."""
    assert event(Failure(kind, "gave up", http_status=status)) == "broken_off"
