"""Whole numbers that come from outside as text."""

from __future__ import annotations

import pytest

from shared.core.validation.numbers import whole_number


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), ("999999999", 999_999_999), ("1000000000", None), ("9" * 5_000, None), ("", None),
     ("-1", None), ("+1", None), ("1.0", None), (" 1", None), ("1e3", None), ("\u00b2", None)],
)  # fmt: skip
def test_a_whole_number_has_digits_alone_and_not_too_many(text: str, number: int | None) -> None:
    assert whole_number(text) == number


def test_how_many_digits_is_the_callers_choice() -> None:
    assert whole_number("1000", 3) is None
    assert whole_number("9" * 15, 15) == 10**15 - 1
