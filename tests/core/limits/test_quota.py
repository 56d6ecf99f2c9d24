"""RENDERLANE_QUOTA: read whole, or refused with what was found and what is allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.limits.quota import DIMENSIONS, EXAMPLE, InvalidQuota, Limits, Quota


def test_the_example_of_the_contract_means_what_it_says() -> None:
    quota = Quota.parse(EXAMPLE)
    assert quota.by_model == {
        "gemini-3-pro-image": Limits(rpm=60, rpd=1_000),
        "*": Limits(rpm=100, concurrency=20),
    }


def test_a_model_is_completed_dimension_by_dimension_from_the_star() -> None:
    quota = Quota.parse("a=rpm:60,rpd:0;*=rpm:100,concurrency:20,rpd:7")
    assert quota.limits("a") == Limits(rpm=60, rpd=0, concurrency=20)
    assert quota.limits("b") == Limits(rpm=100, concurrency=20, rpd=7)


def test_without_a_star_a_model_that_is_not_named_has_no_known_limit() -> None:
    assert Quota.parse("a=rpm:60").limits("b") == Limits()
    assert Quota.parse("").limits("a") == Limits()


def test_every_dimension_can_be_set_and_spend_is_in_dollars() -> None:
    text = ",".join(f"{name}:{number}" for number, name in enumerate(DIMENSIONS, 1)).replace("_usd:6", "_usd:10.50")
    assert Quota.parse(f"a={text}").limits("a") == Limits(1, 2, 3, 4, 5, 10_500_000)


@pytest.mark.parametrize("text", [" a = rpm : 60 , rpd : 5 ; ", ";a=rpm:60,rpd:5;", "a=rpm:60,rpd:5"])
def test_spaces_and_empty_parts_do_not_matter(text: str) -> None:
    assert Quota.parse(text).by_model == {"a": Limits(rpm=60, rpd=5)}


@pytest.mark.parametrize(
    ("text", "quoted", "allowed"),
    [
        ("a", "'a'", "MODEL=dim:n"),
        ("a=", "'a='", "MODEL=dim:n"),
        ("=rpm:5", "'=rpm:5'", "MODEL=dim:n"),
        ("a=rpm", "'rpm'", "one of rpm, ipm, tpm"),
        ("a=60", "'60'", "one of rpm, ipm, tpm"),
        ("a=RPM:60", "'RPM:60'", "one of rpm, ipm, tpm"),
        ("a=rpm:60,", "''", "one of rpm, ipm, tpm"),
        ("a=rph:60", "'rph:60'", "one of rpm, ipm, tpm"),
        ("a=rpm:60;a=rpd:5", "'a' is named twice", "once"),
        ("a=rpm:60,rpm:61", "rpm appears twice", "once"),
        ("a=rpm:", "rpm:", "a number of zero or more"),
        ("a=rpm:-1", "rpm:-1", "a number of zero or more"),
        ("a=rpm:1.5", "rpm:1.5", "a number of zero or more"),
        ("a=rpm:many", "rpm:many", "a number of zero or more"),
        ("a=spend10m_usd:-1", "spend10m_usd:-1", "a number of zero or more"),
        ("a=spend10m_usd:inf", "spend10m_usd:inf", "a number of zero or more"),
        ("a=spend10m_usd:nan", "spend10m_usd:nan", "a number of zero or more"),
        ("a=spend10m_usd:0.0000001", "spend10m_usd:0.0000001", "a number of zero or more"),
        ("a=spend10m_usd:ten", "spend10m_usd:ten", "a number of zero or more"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_found_and_allowed(text: str, quoted: str, allowed: str) -> None:
    with pytest.raises(InvalidQuota) as refused:
        Quota.parse(text)
    assert quoted in str(refused.value)
    assert allowed in str(refused.value)


@given(st.text(st.sampled_from("ab*=:;, .-0159rpmdusinf_e"), max_size=30) | st.text(max_size=30))
def test_any_text_is_read_or_refused_and_nothing_worse(text: str) -> None:
    try:
        quota = Quota.parse(text)
    except InvalidQuota:
        return
    for limits in quota.by_model.values():
        values = (limits.rpm, limits.ipm, limits.tpm, limits.rpd, limits.concurrency, limits.spend10m_micros)
        assert all(value is None or value >= 0 for value in values)
        assert any(value is not None for value in values)


def test_a_name_that_no_model_has_is_refused_and_an_alias_stands_for_its_model() -> None:
    names = {"gemini-3-pro-image": "gemini-3-pro-image", "nano-banana-pro": "gemini-3-pro-image"}
    by_alias = Quota.parse("nano-banana-pro=rpm:5;*=rpm:9").for_models(names)
    assert by_alias.limits("gemini-3-pro-image").rpm == 5
    with pytest.raises(InvalidQuota, match="nano-banana-9"):
        Quota.parse("nano-banana-9=rpm:5").for_models(names)
    with pytest.raises(InvalidQuota, match="second time"):
        Quota.parse("nano-banana-pro=rpm:5;gemini-3-pro-image=rpm:6").for_models(names)
