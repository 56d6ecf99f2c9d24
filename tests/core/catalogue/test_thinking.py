"""How much a model thinks: the level that is taken, what of it is sent, and what it may take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.catalogue.capabilities import POLICIES
from shared.core.catalogue.reader import read_catalogue
from shared.core.catalogue.thinking import Thought, nearest, thought
from shared.core.catalogue.toml_errors import BrokenCatalogue
from shared.core.values.parameters import THINKING
from tests.builders import CATALOGUE_FILE, a_catalogue

PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
LEGACY = "gemini-2.5-flash-image"
TEXT = CATALOGUE_FILE.read_text("utf-8")
MODELS = [model for model in a_catalogue().models.values() if model.status != "retired"]


def level_on(model: str, wanted: Any = None, purpose: str = "default") -> Thought:
    return thought(a_catalogue().models[model], wanted, purpose, a_catalogue().thinking)


@pytest.mark.parametrize(
    ("model", "wanted", "purpose", "level", "sent", "note"),
    [
        (NB21, None, "default", "medium", None, None),
        (NB21, None, "final", "medium", None, None),
        (NB21, None, "draft", "minimal", "minimal", None),
        (LITE, None, "draft", "minimal", None, None),
        (PRO, None, "draft", None, None, None),
        (LEGACY, None, "draft", None, None, None),
        (NB21, "medium", "draft", "medium", "medium", None),
        (NB21, "high", "default", "high", "high", None),
        (NB21, "low", "default", "minimal", "minimal", f"thinking low -> minimal: {NB21} has minimal, medium, high"),
        (LITE, "low", "draft", "minimal", "minimal", f"thinking low -> minimal: {LITE} has minimal, high"),
        (LITE, "medium", "draft", "high", "high", f"thinking medium -> high: {LITE} has minimal, high"),
        (PRO, "low", "final", None, None, f"thinking low was not sent: {PRO} has no levels, it thinks as it does"),
        (LEGACY, "low", "draft", None, None, f"thinking low was not sent: {LEGACY} has no levels, it does not think"),
    ],
)
def test_the_nearest_level_is_taken_and_only_a_level_that_was_asked_for_is_explained(
    model: str, wanted: str | None, purpose: str, level: str | None, sent: str | None, note: str | None
) -> None:
    taken = level_on(model, wanted, purpose)
    assert (taken.level, taken.sent, taken.note) == (level, sent, note)


def test_of_two_levels_equally_near_the_lesser_is_taken() -> None:
    assert nearest("low", ("minimal", "medium")) == "minimal"
    assert nearest("medium", ("low", "high")) == "low"


@given(
    st.sampled_from(MODELS), st.none() | st.sampled_from(THINKING), st.sampled_from(["draft", "default", "final"]),
    st.sampled_from(POLICIES),
)  # fmt: skip
def test_no_model_is_ever_sent_a_level_that_it_has_not(model: Any, wanted: Any, purpose: str, policy: Any) -> None:
    taken = thought(model, wanted, purpose, {purpose: policy})
    assert taken.sent in (None, *model.capabilities.thinking)
    assert taken.level in (None, *model.capabilities.thinking)
    assert taken.tokens == model.thought_tokens_at(taken.level)
    assert (taken.note is None) == (wanted is None or wanted == taken.level)


def test_each_level_has_an_allowance_that_grows_with_it_and_covers_what_was_seen() -> None:
    for model in MODELS:
        allowances = [model.thought_tokens_at(level) for level in model.capabilities.thinking]
        assert allowances == sorted(allowances)
        assert model.thought_tokens == model.thought_tokens_at(model.capabilities.default_thinking)
    assert a_catalogue().models[NB21].thought_tokens == 2_000, "900 to 2,000 were seen at the default level"
    lite = a_catalogue().models[LITE]
    assert lite.capabilities.output_limit is not None
    assert lite.thought_tokens_at("high") + lite.image_tokens["1K"] <= lite.capabilities.output_limit


def test_a_draft_thinks_least_and_the_other_purposes_as_their_model_does() -> None:
    assert a_catalogue().thinking == {"draft": "least", "default": "own", "final": "own"}


def test_a_catalogue_without_the_table_leaves_it_to_the_models() -> None:
    start, end = TEXT.index("[thinking]"), TEXT.index("# Best first")
    silent = read_catalogue(TEXT[:start] + TEXT[end:])
    assert silent.thinking == {}
    assert thought(silent.models[NB21], None, "draft", silent.thinking).sent is None


@pytest.mark.parametrize(
    ("written", "instead", "error"),
    [
        ('draft = "least"', 'draft = "none"', "thinking.draft: found 'none'; allowed: least, own, minimal"),
        ('draft = "least"', 'drafts = "least"', "thinking.drafts: found an unknown name"),
        ("{ minimal = 500, medium = 2000, high = 4000 }", "{ minimal = 500, high = 4000 }", "medium: found nothing"),
        ("{ minimal = 500, medium = 2000, high = 4000 }", "{ least = 500 }", "least: found an unknown name"),
        ("{ minimal = 500, medium = 2000, high = 4000 }", '"some"', "thought_tokens: found 'some'; allowed: a whole"),
        ('chosen_formats = { interactions = ["jpeg"]', 'chosen_formats = { rest = ["jpeg"]', "rest: found an"),
        ('interactions = ["hate_speech",', 'interactions = ["hate",', "requests.safety.interactions: found"),
    ],
)
def test_a_broken_row_is_refused_with_its_line(written: str, instead: str, error: str) -> None:
    assert written in TEXT
    with pytest.raises(BrokenCatalogue) as refused:
        read_catalogue(TEXT.replace(written, instead, 1))
    assert error in str(refused.value)
    assert str(refused.value).startswith("line ")
