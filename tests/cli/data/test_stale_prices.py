"""Old prices are said aloud."""

from __future__ import annotations

from datetime import timedelta

from scripts.cli.data.stale_prices import warning
from shared.core.catalogue.catalogue import STALE_AFTER
from tests.builders import a_catalogue


def test_fresh_prices_need_no_words() -> None:
    assert warning(a_catalogue(), a_catalogue().gateways["laozhang"].checked) is None


def test_old_prices_are_counted_named_and_to_be_checked() -> None:
    text = warning(a_catalogue(), a_catalogue().oldest_price + STALE_AFTER + timedelta(days=1))
    assert text is not None
    assert "gateway laozhang: checked on 2026-10-07" in text
    assert "and " in text
    assert "update price and date in the catalogue" in text
