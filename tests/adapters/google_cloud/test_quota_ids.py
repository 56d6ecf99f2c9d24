"""Which of the Gemini API's many quotas are the limits of our models."""

from __future__ import annotations

import pytest

from shared.adapters.google_cloud.quota_ids import Counter, Row, Value, model_id, read
from tests.builders import a_catalogue

PRO, LITE = "gemini-3-pro-image", "gemini-3.1-flash-lite-image"
IDS = {PRO: PRO, "nano-banana-pro": PRO, LITE: LITE}
MINUTE = "GenerateRequestsPerMinutePerProjectPerModel"
DAY = "GenerateRequestsPerDayPerProjectPerModel"
TOKENS = "GenerateContentInputTokensPerModelPerMinute"
PAID_TOKENS = "GenerateContentPaidTierInputTokensPerModelPerMinute"
IMAGES = "GenerateImagesPerMinutePerProjectPerModel"
METRIC = "generativelanguage.googleapis.com/generate_requests_per_model"


def row(quota_id: str, value: int, metric: str = METRIC, **dimensions: str) -> Row:
    return Row(quota_id, metric, dimensions, value)


def pro(*rows: Row, tier: int | None = None) -> dict[str, Value]:
    return dict(read(rows, IDS).limits(PRO, tier))


@pytest.mark.parametrize("tier", ["", "-PaidTier1", "-PaidTier3", "-FreeTier"])
@pytest.mark.parametrize(
    ("quota_id", "dimension"),
    [(MINUTE, "rpm"), (DAY, "rpd"), (TOKENS, "tpm"), (PAID_TOKENS, "tpm"), (IMAGES, "ipm")],
)
def test_every_id_that_was_seen_is_a_dimension_with_and_without_a_tier(
    quota_id: str, dimension: str, tier: str
) -> None:
    assert pro(row(quota_id + tier, 60, model=PRO)) == {dimension: 60}


@pytest.mark.parametrize(
    "quota_id",
    [
        "GenerateRequestsPerMinutePerProject",
        "GenerateRequestsPerMinutePerProjectPerRegion",
        "GenerateContentInputTokensPerModelPerDay",
        "GenerateImagesPerDayPerProjectPerModel",
        "GenerateContentOutputTokensPerModelPerMinute",
        "BatchGenerateContentRequestsPerMinutePerProjectPerModel",
        "GenerateRequestsPerMinutePerDayPerModel",
        "EmbedContentRequestsPerMinutePerProjectPerModel",
        "",
    ],
)
def test_every_other_quota_is_passed_over(quota_id: str) -> None:
    assert pro(row(quota_id, 60, model=PRO)) == {}
    assert pro(row(quota_id, 60)) == {}


@pytest.mark.parametrize("value", [-1, 9_223_372_036_854_775_807, 9_220_000_000_000_000_000])
def test_minus_one_and_the_largest_number_are_unlimited(value: int) -> None:
    assert pro(row(MINUTE, value, model=PRO)) == {"rpm": None}


def test_a_value_without_a_model_holds_for_each_model_that_has_none_of_its_own() -> None:
    rows = [row(MINUTE, 10), row(MINUTE, 60, model=PRO)]
    for items in (rows, rows[::-1]):
        assert {model: read(items, IDS).limits(model, None) for model in (PRO, LITE)} == {
            PRO: {"rpm": 60},
            LITE: {"rpm": 10},
        }


@pytest.mark.parametrize(
    ("dimensions", "holds"),
    [
        ({"location": "global"}, True),
        ({"region": "global"}, True),
        ({"region": "europe-west1"}, False),
        ({"user": "somebody"}, False),
    ],
)
def test_a_value_for_another_place_or_for_a_part_of_the_project_is_passed_over(
    dimensions: dict[str, str], holds: bool
) -> None:
    assert pro(row(MINUTE, 60, model=PRO, **dimensions)) == ({"rpm": 60} if holds else {})


@pytest.mark.parametrize(
    "name",
    [
        PRO,
        f"models/{PRO}",
        f"publishers/google/models/{PRO}",
        "nano-banana-pro",
        "models/nano-banana-pro",
        f"{PRO}-001",
        f"{PRO}-latest",
        f"{PRO}@default",
        PRO.upper(),
    ],
)
def test_a_model_is_known_by_each_name_it_is_given(name: str) -> None:
    assert model_id(name, IDS) == PRO
    assert pro(row(MINUTE, 60, base_model=name)) == {"rpm": 60}


@pytest.mark.parametrize("name", ["gemini-3-pro", "gemini-3-pro-image-next", "gemini", "", "models/", "-001"])
def test_a_model_that_we_do_not_have_is_passed_over(name: str) -> None:
    assert model_id(name, IDS) is None
    assert pro(row(MINUTE, 60, model=name)) == {}


def test_every_name_of_the_catalogue_is_known() -> None:
    ids = a_catalogue().ids_by_name
    assert {model_id(name, ids) for name in ids} == set(a_catalogue().models)


@pytest.mark.parametrize(
    ("by_tier", "in_effect"),
    [
        ({"-FreeTier": 5, "": 60}, 60),
        ({"-FreeTier": 500, "-PaidTier1": 60}, 60),
        ({"-FreeTier": 0, "": 60}, 60),
        ({"-FreeTier": 5}, 5),
        ({"-FreeTier": 5, "-PaidTier1": 0}, 5),
        ({"-FreeTier": 0, "-PaidTier1": 0}, 0),
        ({"": 60, "-PaidTier2": 300, "-PaidTier3": 1_000}, 1_000),
        ({"": 2_000, "-PaidTier1": 60}, 2_000),
        ({"": 1_000, "-PaidTier2": 5_000, "-PaidTier3": -1}, None),
        ({"": -1, "-FreeTier": 5}, None),
        ({"": 0, "-PaidTier2": 60}, 60),
    ],
)
def test_where_the_tier_is_not_known_no_other_one_holds_the_project_back(
    by_tier: dict[str, int], in_effect: int | None
) -> None:
    rows = [row(MINUTE + tier, value, model=PRO) for tier, value in by_tier.items()]
    for items in (rows, rows[::-1]):
        assert pro(*items) == {"rpm": in_effect}


@pytest.mark.parametrize(("tier", "in_effect"), [(0, 5), (1, 60), (2, 300), (3, None)])
def test_where_the_tier_is_known_its_own_value_holds(tier: int, in_effect: int | None) -> None:
    """The ids of tier 1 have no ending."""
    by_tier = {"-FreeTier": 5, "": 60, "-PaidTier2": 300, "-PaidTier3": -1}
    rows = [row(MINUTE + ending, value, model=PRO) for ending, value in by_tier.items()]
    assert pro(*rows, tier=tier) == {"rpm": in_effect}


def test_a_tier_that_says_nothing_of_a_model_leaves_what_the_others_say() -> None:
    rows = [row(f"{MINUTE}-PaidTier2", 300, model=PRO), row(f"{DAY}-PaidTier3", 1_000, model=PRO)]
    assert pro(*rows, tier=3) == {"rpm": 300, "rpd": 1_000}


def test_both_ids_of_tokens_speak_of_the_same_limit() -> None:
    rows = [row(PAID_TOKENS, 4_000_000, model=PRO), row(f"{TOKENS}-FreeTier", 250_000, model=PRO)]
    assert pro(*rows) == {"tpm": 4_000_000}
    assert pro(*rows, tier=1) == {"tpm": 4_000_000}
    assert pro(*rows, tier=0) == {"tpm": 250_000}


def test_each_metric_of_a_dimension_is_counted_once() -> None:
    rows = [
        row(MINUTE, 60, model=PRO),
        row(MINUTE, 60, model=LITE),
        row(f"{MINUTE}-PaidTier2", 60, model=PRO),
        row(f"{MINUTE}-PaidTier3", 60, metric="generativelanguage.googleapis.com/paid_3", model=PRO),
        row(DAY, 1_000, model=PRO),
        row(DAY, 1_000, metric="generativelanguage.googleapis.com/of_nobody", model="gemini-3-pro"),
    ]
    assert read(rows, IDS).counters == (
        Counter("rpd", 1, METRIC, DAY),
        Counter("rpm", 1, METRIC, MINUTE),
        Counter("rpm", 3, "generativelanguage.googleapis.com/paid_3", f"{MINUTE}-PaidTier3"),
    )
