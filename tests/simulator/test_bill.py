"""Prices and token counts, held against Google's price table as it was checked on 2026-11-22."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.simulator.provider import models
from scripts.simulator.provider.bill import Ledger, cost_micros
from scripts.simulator.provider.models import Tier
from scripts.simulator.provider.tokens import TokenUsage
from shared.core.catalogue.reader import read_catalogue

MODELS = models.load()


@pytest.mark.parametrize(
    ("model", "size", "tier", "micros"),
    [
        ("gemini-3-pro-image", "1K", "standard", 134_400),
        ("gemini-3-pro-image", "2K", "standard", 134_400),
        ("gemini-3-pro-image", "4K", "standard", 240_000),
        ("gemini-3-pro-image", "2K", "batch", 67_200),
        ("gemini-3-pro-image", "2K", "flex", 67_200),
        ("gemini-3-pro-image", "4K", "batch", 120_000),
        ("gemini-3-pro-image", "4K", "flex", 120_000),
        ("gemini-3-pro-image", "1K", "priority", 241_920),
        ("gemini-nano-banana-2.1", "1K", "standard", 33_600),
        ("gemini-nano-banana-2.1", "2K", "standard", 50_400),
        ("gemini-nano-banana-2.1", "4K", "standard", 113_400),
        ("gemini-3.1-flash-image", "512", "standard", 44_820),
        ("gemini-3.1-flash-image", "1K", "standard", 67_200),
        ("gemini-3.1-flash-image", "2K", "standard", 100_800),
        ("gemini-3.1-flash-image", "4K", "standard", 151_200),
        ("gemini-3.1-flash-image", "512", "batch", 22_410),
        ("gemini-3.1-flash-image", "1K", "batch", 33_600),
        ("gemini-3.1-flash-image", "2K", "batch", 50_400),
        ("gemini-3.1-flash-image", "4K", "batch", 75_600),
        ("gemini-3.1-flash-lite-image", "1K", "standard", 33_600),
        ("gemini-3.1-flash-lite-image", "1K", "batch", 16_800),
        ("gemini-2.5-flash-image", "1K", "standard", 38_700),
        ("gemini-2.5-flash-image", "1K", "flex", 19_350),
    ],
)
def test_a_picture_costs_what_the_price_table_says(model: str, size: str, tier: Tier, micros: int) -> None:
    row = MODELS.by_id[model]
    assert cost_micros(row, tier, TokenUsage(image_out=row.image_tokens[size])) == micros


def test_every_modality_is_priced_at_its_own_rate_and_rounded_once() -> None:
    pro = MODELS.by_id["gemini-3-pro-image"]
    usage = TokenUsage(text_in=22, image_in=560, text_out=10, image_out=1120, thoughts=210, searches=2)
    assert cost_micros(pro, "standard", usage) == 582 * 2 + 220 * 12 + 134_400 + 28_000
    lite = MODELS.by_id["gemini-3.1-flash-lite-image"]
    assert [cost_micros(lite, "standard", TokenUsage(text_in=tokens)) for tokens in (1, 2, 3, 5, 6)] == [0, 1, 1, 1, 2]


def test_a_reference_costs_what_the_second_source_says() -> None:
    expected = {"gemini-3-pro-image": 1120, "gemini-nano-banana-2.1": 1680, "gemini-3.1-flash-lite-image": 280}
    for model, micros in expected.items():
        row = MODELS.by_id[model]
        assert cost_micros(row, "standard", TokenUsage(image_in=row.reference_tokens)) == micros


def test_half_price_lanes_cost_half_in_every_modality() -> None:
    for model in MODELS.by_id.values():
        for tier in ("flex", "batch"):
            if tier in model.rates:
                full, half = model.rates["standard"], model.rates[tier]
                assert (full.input, full.text, full.image) == (half.input * 2, half.text * 2, half.image * 2)


def test_each_row_says_where_it_comes_from_and_only_live_ones_are_served() -> None:
    for model in MODELS.by_id.values():
        assert model.source
        assert model.checked.year >= 2026
        assert (MODELS.served(model.id) is None) == (model.status == "gone")
        assert set(model.ratios) <= set(MODELS.pixels_1k)
        assert set(model.image_tokens) <= set(models.SIZES)
    assert MODELS.served("nano-banana-pro") is None, "market names are no ids of the API"
    assert {model.id for model in MODELS.by_id.values() if "flex" in model.rates} == {
        "gemini-3-pro-image",
        "gemini-2.5-flash-image",
    }


def test_a_call_that_began_before_a_reset_leaves_no_line_on_the_new_bill() -> None:
    ledger = Ledger()
    old = ledger.open(datetime(2026, 1, 1, tzinfo=UTC), "interactions")
    ledger.clear()
    ledger.update(old)
    assert ledger.since() == []
    new = ledger.open(datetime(2026, 1, 2, tzinfo=UTC), "interactions")
    ledger.update(old)
    assert ledger.since() == [new]


@pytest.mark.parametrize(
    "model", [model for model in MODELS.by_id.values() if model.thoughts], ids=lambda model: model.id
)
def test_an_estimate_allows_for_all_the_thoughts_that_are_billed(model: models.ImageModel) -> None:
    """Or a budget is overspent by the difference, request for request."""
    catalogue = read_catalogue(Path("shared/catalogue.toml").read_text("utf-8"))
    allowed = catalogue.models[model.id]
    for level, (_, most) in model.thoughts.items():
        assert most <= allowed.thought_tokens_at(None if level == "always" else level), level
