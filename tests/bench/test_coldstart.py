"""Cold start: what is compared with what, and how a figure becomes a verdict."""

from __future__ import annotations

import re
from pathlib import Path

from scripts.bench.coldstart.against import _compared
from scripts.bench.coldstart.main import (
    FLOOR_ALONE,
    FUNCTIONS,
    WITH_GENAI,
    MeasuredStart,
    Pair,
    ServerRow,
    _shown,
)
from scripts.bench.coldstart.server import Took
from scripts.deployment import contents

INTAKE = MeasuredStart("intake", "main.py", "intake", FLOOR_ALONE)


def a_pair(wall: float, cpu: float, *floors: float) -> Pair:
    before, after = (Took(floor, 900) for floor in floors)
    return Pair(Took(wall, cpu), (before, after))


def test_each_start_is_divided_by_its_neighbours_and_the_median_decides() -> None:
    pairs = [a_pair(1_100, 990, 900, 1_100), a_pair(2_300, 900, 1_900, 2_100), a_pair(5_000, 810, 1_000, 1_000)]
    row = ServerRow.of(INTAKE, pairs)
    assert (row.wall_of_floor, row.cpu_of_floor, row.met) == (1.15, 1.0, True)
    assert _shown(row) == ["intake", "2,300", "1.15", "1.12 to 3.08", "met", "900", "1.00"]


def test_more_than_the_goal_is_missed_and_a_floor_has_no_verdict() -> None:
    assert _shown(ServerRow.of(INTAKE, [a_pair(1_160, 900, 1_000, 1_000)] * 2))[4] == "MISSED"
    floor = ServerRow.of_floor(FLOOR_ALONE, [Took(1_000, 900), Took(1_200, 1_000)])
    assert (floor.met, _shown(floor)) == (None, ["floor", "1,100", "", "", "", "950", ""])


def test_every_function_is_measured_and_has_a_key_only_where_terraform_gives_it_one() -> None:
    described = Path("terraform/services.tf").read_text("utf-8")
    given = dict(re.findall(r"^    (\w+) = \{\n(?:.*\n)*?.*key = (true|false)", described, re.MULTILINE))
    starts = {function.name.partition(",")[0]: function for function in FUNCTIONS}
    assert set(given) == {"intake", "pump", "render", "collect", "watch", "bury", "deliver"}
    assert {name: starts[name].has_key for name in given} == {name: key == "true" for name, key in given.items()}
    browsers_and_strangers = {"console", "api", "arrive"}  # these stand in Terraform files of their own
    assert set(contents.targets(Path.cwd())) - browsers_and_strangers == set(given)


def test_what_calls_a_model_is_compared_with_a_floor_that_loads_its_library() -> None:
    compared = {function.name: function.floor for function in FUNCTIONS}
    assert compared.pop("render, first call") is WITH_GENAI
    assert set(compared.values()) == {FLOOR_ALONE}


def test_beside_another_checkout_the_median_of_neighbours_counts() -> None:
    compared = _compared("intake", [(500, 400), (900, 1_000), (600, 600)])
    assert (compared.ours_ms, compared.theirs_ms, compared.ratio) == (600, 600, 1.0)
