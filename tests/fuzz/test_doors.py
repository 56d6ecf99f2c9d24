"""Every door takes rubbish; and the fuzzer finds a fault where there is one, and plays it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from functions.api import body
from functions.api.problems import ProblemAnswer
from scripts.fuzzing import finding, registry
from scripts.fuzzing.door import Input, chance, problems_of
from scripts.fuzzing.doors import bombs
from scripts.fuzzing.main import main
from scripts.fuzzing.run import DoorTally, run
from shared.adapters.gemini import bounded_body, http_call
from shared.adapters.signatures.gemini_signatures import GeminiSignatures
from shared.core.catalogue.toml_errors import TomlFields
from shared.core.routing import flag_form
from shared.flows.intake import intake
from shared.ports.signatures import Genuine

SEED = 22
CASES: Mapping[str, int] = {
    "push": 100, "request": 300, "catalogue": 100, "answers": 80, "bombs": 3, "command": 80, "console": 300, "api": 60,
    "arrive": 300,
}  # fmt: skip


def problems_in(tally: DoorTally) -> list[Any]:
    return [json.loads(path.read_text("utf-8"))["problems"] for path in tally.files]


def test_each_door_is_played() -> None:
    assert {*CASES} == {*registry.DOORS}


@pytest.mark.parametrize("door", CASES)
def test_rubbish_breaks_nothing(door: str, tmp_path: Path) -> None:
    tally = run(registry.door(door), SEED, tmp_path, cases=CASES[door])
    assert (tally.cases, tally.findings) == (CASES[door], 0), problems_in(tally)


@pytest.mark.parametrize("door", registry.DOORS)
def test_a_case_is_drawn_again_by_its_seed_and_number(door: str) -> None:
    made = registry.door(door)
    first, again = (made.draw(chance(SEED, door, 7)) for _ in range(2))
    assert json.dumps(first) == json.dumps(again) != json.dumps(made.draw(chance(SEED, door, 8)))


# -- a fault is found ------------------------------------------------------------------------------------------------


async def _nothing(*arguments: Any, **more: Any) -> None:
    return None


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_reject", _nothing)


def _believe_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def genuine(*arguments: Any) -> Genuine:
        return Genuine("static")

    monkeypatch.setattr(GeminiSignatures, "verify", genuine)


def _let_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_call, "OTHER_ERRORS", ())


def _negative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TomlFields, "amount", lambda self, table, key, at: -abs(table[key]))


def _no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(text: str) -> None:
        raise OverflowError("date value out of range")

    monkeypatch.setattr(flag_form, "parse_duration", raises)


def _unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*arguments: Any) -> ProblemAnswer:
        raise RecursionError("too deep")

    monkeypatch.setattr(body, "invalid", raises)


SLOW = ("answers", "api", "push")
FAULTS = {
    "push": _forget, "request": _forget, "arrive": _believe_all, "answers": _let_out, "catalogue": _negative,
    "console": _no_time, "api": _unread,
}  # fmt: skip


@pytest.mark.parametrize("door", FAULTS)
def test_a_fault_is_found_written_down_and_found_again(
    door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        FAULTS[door](patched)
        tally = run(registry.door(door), SEED, tmp_path, cases=40 if door in SLOW else 150)
        assert tally.findings
        replayed = CliRunner().invoke(main, ["--replay", str(tally.files[0])])
        assert (replayed.exit_code, "still found" in replayed.output) == (1, True), replayed.output
    sound = CliRunner().invoke(main, ["--replay", str(tally.files[0])])
    assert (sound.exit_code, "not found any more" in sound.output) == (0, True), sound.output


def test_a_body_without_a_bound_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    item: Input = {
        "verb": "generate", "status": 200, "headers": {}, "body": "", "bomb": "gzip", "megabytes": 150,
        "encoding": "gzip",
    }  # fmt: skip
    monkeypatch.setattr(bounded_body, "MAX_ANSWER_BYTES", 8 * 1024 * 1024)
    monkeypatch.setattr(bombs, "MEGABYTES", 60)
    door = bombs.BombsDoor()
    assert problems_of(door, item) == []
    monkeypatch.setattr(bounded_body, "bound", _nothing)
    assert any(" MB" in problem for problem in problems_of(door, item))


class _Broken:
    """A door whose every third case does not hold."""

    name = "arrive"

    def draw(self, random: Any) -> Input:
        return {"number": random.randrange(1_000)}

    def play(self, item: Input) -> list[str]:
        if item["number"] % 3 == 0:
            raise KeyError(f"of case {item['number']}")
        return []


def test_findings_of_one_kind_are_counted_and_written_down_three_times(tmp_path: Path) -> None:
    tally = run(_Broken(), SEED, tmp_path, cases=60)
    assert tally.findings > 10
    assert list(tally.kinds.values()) == [tally.findings]
    assert len(tally.files) == 3
    written = finding.read(tally.files[0])
    assert (written.door, written.seed, written.input["number"] % 3) == ("arrive", SEED, 0)


def test_the_time_ends_a_run(tmp_path: Path) -> None:
    moments = iter(range(100))
    tally = run(_Broken(), SEED, tmp_path, seconds=5, now=lambda: float(next(moments)))
    assert 1 <= tally.cases <= 5


def test_the_command_prints_a_table_and_fails_with_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--door", "arrive", "--seed", "22", "--cases", "30", "--folder", str(tmp_path)]
    sound = CliRunner().invoke(main, arguments)
    assert sound.exit_code == 0
    assert [line.split()[0] for line in sound.stdout.splitlines()] == ["door", "arrive"]
    monkeypatch.setattr(registry, "door", lambda name: _Broken())
    broken = CliRunner().invoke(main, [*arguments, "--json"])
    assert broken.exit_code == 1
    row = json.loads(broken.stdout)
    assert (row["door"], row["cases"], row["seed"]) == ("arrive", 30, 22)
    assert row["findings"] == sum(row["kinds"].values()) > 0


def test_an_unknown_door_and_a_file_that_is_no_finding_are_refused(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["--door", "window"]).exit_code == 2
    (tmp_path / "other.json").write_text('{"a": 1}')
    refused = CliRunner().invoke(main, ["--replay", str(tmp_path / "other.json")])
    assert (refused.exit_code, "no finding" in refused.stderr) == (2, True)
