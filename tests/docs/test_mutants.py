"""The list of planted faults is current, and says what a run finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.mutants import MUTANTS, Mutant, verdict

SOURCE = "def double(number):\n    return 2 * number\n"


@pytest.mark.parametrize("name", MUTANTS)
def test_its_text_stands_once_and_its_tests_exist(name: str) -> None:
    mutant = MUTANTS[name]
    assert Path(mutant.path).read_text("utf-8").count(mutant.before) == 1, f"rewrite {name!r} in scripts/mutants.py"
    assert all(Path(test).exists() for test in mutant.tests)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "doubled.py").write_text(SOURCE, "utf-8")
    (tmp_path / "test_doubled.py").write_text("import doubled\n\ndef test(): assert doubled.double(3) == 6\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("2 * number", "3 * number", "killed"),
        ("2 * number", "number * 2", "survived"),
        ("4 * number", "3 * number", "stale"),
    ],
)
def test_a_fault_is_killed_survives_or_is_stale_and_the_source_stays(
    sources: Path, before: str, after: str, expected: str
) -> None:
    assert verdict(sources, Mutant("doubled.py", before, after, ("test_doubled.py",))) == expected
    assert (sources / "doubled.py").read_text("utf-8") == SOURCE


def test_tests_that_cannot_run_are_no_verdict(sources: Path) -> None:
    with pytest.raises(RuntimeError, match="could not be run"):
        verdict(sources, Mutant("doubled.py", "2 *", "3 *", ("test_nothing_of_that_name.py",)))
