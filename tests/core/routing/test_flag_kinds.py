"""One row per flag: every place that offers flags, or describes them, follows from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from functions.console import flag_forms
from scripts.cli.commands.steer import flags as command
from shared.core.routing import flag_form
from shared.core.routing.flag_kinds import FLAGS, NAMES, TO, WITH_TO, FlagName, lane_of, values_of_to
from shared.core.values.lanes import LANES
from tests.builders import a_catalogue

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "flags-and-breakers.md"


def test_every_name_has_its_row_in_the_same_order() -> None:
    assert get_args(FlagName) == NAMES


def test_what_follows_from_the_rows_is_what_it_was() -> None:
    assert WITH_TO == ("lower-resolution",)
    assert TO == ("2K", "1K")
    assert {name: lane_of(name) for name in NAMES if lane_of(name)} == {
        "use-flex": "flex", "use-batch": "batch", "use-vertex": "vertex", "use-gateway": "gateway"
    }  # fmt: skip


def test_a_flag_leads_only_to_a_lane_that_there_is() -> None:
    assert {kind.lane for kind in FLAGS.values() if kind.lane} <= set(LANES)


def test_a_name_of_another_release_has_no_lane_and_no_parameter() -> None:
    assert lane_of("use-carrier-pigeons") is None
    assert values_of_to("use-carrier-pigeons") == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_form_is_filled_in_with_what_can_be_tripped(name: FlagName) -> None:
    """No size stands in the form of a flag that has none."""
    filled = flag_forms.Filled.empty(name).of(name, "to")
    assert not filled or filled in values_of_to(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_help_and_the_page_name_every_flag(name: str) -> None:
    assert name in (command.trip.help or "")
    assert f"`{name}" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_form_says_in_a_sentence_what_the_flag_does(name: FlagName) -> None:
    """From the row alone, except where it depends on what is configured here."""
    sentence = flag_form.meaning(name, a_catalogue(), LANES, ("spare",))
    assert re.fullmatch(r"[A-Z].*\.", sentence)
    assert "None" not in sentence


def test_a_form_says_when_the_flag_would_change_nothing() -> None:
    for name in ("use-vertex", "use-gateway"):
        assert flag_form.meaning(name, a_catalogue(), (), ()).endswith("here: this changes nothing today.")
    assert flag_form.meaning("use-gateway", a_catalogue(), (), ("b", "a")).endswith("sent to a, b.")
