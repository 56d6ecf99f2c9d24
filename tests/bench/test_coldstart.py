"""Cold start: what is compared with what, and how a figure becomes a verdict."""

from __future__ import annotations

import re
from pathlib import Path

from scripts.bench.coldstart import STARTS, Figures, Start, Took, _row, _told
from scripts.deployment import contents

FLOOR = Start("floor", "floor", "floor", None)
INTAKE = Start("intake", "main.py", "intake", "floor")


def test_the_least_wall_time_decides_and_the_median_and_the_processor_stand_beside_it() -> None:
    floor = Figures.of([Took(1_000, 900), Took(1_400, 950), Took(1_100, 1_000)])
    assert floor == Figures(1_000, 1_100, 900)
    busy = Figures.of([Took(1_100, 810), Took(2_200, 990), Took(5_000, 900)])
    assert _row(INTAKE, {"floor": floor, "intake": busy})[1:] == [
        "1,100", "1.10", "met", "2,200", "2.00", "810", "0.90",
    ]  # fmt: skip
    slow = Figures.of([Took(1_151, 900)])
    assert _row(INTAKE, {"floor": floor, "intake": slow})[3] == "MISSED"
    assert _told(INTAKE, {"floor": floor, "intake": slow})["met"] is False
    assert "met" not in _told(FLOOR, {"floor": floor})


def test_every_function_is_measured_and_has_a_key_only_where_terraform_gives_it_one() -> None:
    described = Path("terraform/functions.tf").read_text("utf-8")
    given = dict(re.findall(r"^    (\w+) = \{\n(?:.*\n)*?.*key = (true|false)", described, re.MULTILINE))
    starts = {each.name.partition(",")[0]: each for each in STARTS if each.floor is not None}
    assert set(given) == {"intake", "pump", "render", "watch", "bury"}
    assert {name: starts[name].has_key for name in given} == {name: key == "true" for name, key in given.items()}
    assert set(contents.targets(Path.cwd())) - {"console"} == set(given)


def test_what_calls_a_model_is_compared_with_a_floor_that_loads_its_library() -> None:
    assert {each.floor for each in STARTS if each.target == "first_call"} == {"floor + google-genai"}
    assert {each.floor for each in STARTS if each.name in ("intake", "pump", "watch", "bury")} == {"floor"}
