"""The price tables to the cent, each contract in its own; what served is paid; nothing is zero in silence."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

import pytest
from msgspec.structs import replace

from shared.core.catalogue import price
from shared.core.catalogue.catalogue import STALE_AFTER
from shared.core.lifecycle.attempt_cost import cost_of
from shared.core.provider.failure import RULES, Charge, FailureKind
from shared.core.provider.usage import Usage
from tests.builders import a_catalogue, a_delivered, a_failure, a_request, a_usage, an_attempt

PRO = "gemini-3-pro-image"
SEED = [
    ("standard", "1K", "0.134"),
    ("standard", "2K", "0.134"),
    ("standard", "4K", "0.24"),
    ("batch", "1K", "0.067"),
    ("batch", "2K", "0.067"),
    ("batch", "4K", "0.12"),
    ("flex", "1K", "0.067"),
    ("flex", "2K", "0.067"),
    ("flex", "4K", "0.12"),
]
"""Google's own tables of Pro, US dollars an image, as checked on 2026-07-01 and again since."""
MOVED = {"standard": ("priority", "flex"), "priority": ("standard",), "flex": ("standard",)}
"""Tiers that may serve in place of the one that was asked for."""


@pytest.mark.parametrize(("lane", "size", "listed"), SEED)
def test_googles_table_is_reproduced_to_the_cent(lane: str, size: str, listed: str) -> None:
    model = a_catalogue().models[PRO]
    dollars = Decimal(listed)
    assert model.lanes[lane].listed[size] == dollars * 1_000_000
    metered = price.metered(Usage(image_out=model.image_tokens[size]), model.lanes[lane])
    places = Decimal("0.001")
    assert (Decimal(metered.micros) / 1_000_000).quantize(places, ROUND_HALF_UP) == dollars.quantize(places)


def test_a_providers_price_stands_in_a_table_of_its_own_and_is_no_rate_of_googles() -> None:
    catalogue = a_catalogue()
    assert catalogue.gateways["laozhang"].prices[PRO] == 90_000
    assert all("gateway" not in model.lanes for model in catalogue.models.values())
    for tokens in (0, 1120):
        usage = Usage(image_out=tokens)
        assert price.of_made(catalogue, usage, PRO, "gateway", PRO, "1K") == price.UNKNOWN


@pytest.mark.parametrize(
    ("ordered", "served"), [(ordered, name) for ordered, served in MOVED.items() for name in served]
)
def test_a_tier_that_was_moved_up_or_down_is_paid_at_the_tier_that_served(ordered: str, served: str) -> None:
    _, attempt = an_attempt(a_request(model=PRO, lane=ordered))
    assert attempt.record.route.lane == ordered
    delivered = a_delivered(model=PRO, lane=served)
    rates = a_catalogue().models[PRO].lanes[served]
    assert cost_of(delivered, attempt.record, a_catalogue()) == price.metered(a_usage(), rates)


def test_searches_are_charged_also_where_the_image_is_paid_as_listed() -> None:
    usage = Usage(grounding_searches=2)
    cost = price.of_made(a_catalogue(), usage, PRO, "standard", PRO, "4K")
    assert (cost.micros, cost.basis) == (240_000 + 28_000, "listed")
    assert cost.parts == {"image": 240_000, "grounding": 28_000}


@pytest.mark.parametrize("kind", [kind for kind, rule in RULES.items() if rule.charge is Charge.UNKNOWN])
def test_what_nobody_states_is_unknown_and_what_was_counted_is_paid(kind: FailureKind) -> None:
    _, attempt = an_attempt()
    counted = Usage(text_in=100, thought=200)
    if kind is not FailureKind.IMAGE_STORE:
        assert cost_of(a_failure(kind), attempt.record, a_catalogue()) == price.UNKNOWN
    if kind is FailureKind.CRASHED:
        return  # a worker that died read no answer, so it has no usage
    if kind is not FailureKind.IMAGE_STORE:
        assert cost_of(a_failure(kind, usage=Usage()), attempt.record, a_catalogue()) == price.UNKNOWN
    paid = cost_of(a_failure(kind, usage=counted), attempt.record, a_catalogue())
    assert paid.micros > 0
    assert paid.basis != "unknown"


def test_only_what_is_called_free_never_arrived_or_met_a_limit_is_zero() -> None:
    free = {kind for kind, rule in RULES.items() if rule.charge is Charge.NOTHING}
    assert free == {
        FailureKind.CREDENTIAL, FailureKind.PERMISSION, FailureKind.BALANCE, FailureKind.SERVER_ERROR,
        FailureKind.CONNECTION, FailureKind.INVALID_REQUEST, FailureKind.MODEL_GONE, FailureKind.LANE_UNSUPPORTED,
        FailureKind.REFERENCE, FailureKind.LATE, FailureKind.BACKGROUND_REFUSED,
        FailureKind.QUOTA_MINUTE, FailureKind.QUOTA_DAY, FailureKind.QUOTA_SPEND, FailureKind.QUOTA_UNKNOWN,
    }  # fmt: skip


def test_a_price_is_stale_once_it_was_checked_more_than_sixty_days_ago() -> None:
    catalogue = a_catalogue()
    oldest = min(catalogue.oldest_price, *(gateway.checked for gateway in catalogue.gateways.values()))
    assert timedelta(days=60) == STALE_AFTER
    assert catalogue.stale_prices(oldest + STALE_AFTER) == ()
    [first, *_] = catalogue.stale_prices(oldest + STALE_AFTER + timedelta(days=1))
    assert first.checked == oldest
    assert str(first) == "gateway laozhang: checked on 2026-10-07"


def test_a_stale_price_is_named_by_its_table() -> None:
    catalogue = a_catalogue()
    model = catalogue.models[PRO]
    old = replace(model.lanes["batch"], checked=date(2020, 1, 1))
    aged = replace(catalogue, models={PRO: replace(model, lanes={**model.lanes, "batch": old})}, gateways={})
    assert [stale_price.what for stale_price in aged.stale_prices(catalogue.oldest_price)] == [f"google {PRO} batch"]
