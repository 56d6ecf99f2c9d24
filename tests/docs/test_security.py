"""The threat model names tests that exist, and the ways in which a fault can be reported."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

MODEL = Path("docs/security.md").read_text("utf-8")
POLICY = Path("SECURITY.md").read_text("utf-8")


TABLES = MODEL.partition("## Attacks and defences")[2].partition("## What is not")[0]
ROWS = [row for row in TABLES.splitlines() if row.startswith("| ") and not row.startswith("| attack |")]
TEST = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")


def exists(named: str) -> bool:
    match = TEST.fullmatch(named)
    if match is None or not Path(match[1]).is_file():
        return False
    tree = ast.parse(Path(match[1]).read_text("utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == match[2] for node in tree.body)


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:60] for row in ROWS])
def test_each_attack_has_a_defence_and_tests_that_exist(row: str) -> None:
    attack, defence, tests = (cell.strip() for cell in row.strip("|").split("|"))
    assert attack
    assert defence
    named = re.findall(r"`([^`]+)`", tests)
    assert named
    assert [name for name in named if not exists(name)] == []


def test_a_test_that_does_not_exist_is_noticed() -> None:
    assert exists("tests/docs/test_security.py::test_a_test_that_does_not_exist_is_noticed")
    assert not exists("tests/docs/test_security.py::test_of_nobody")
    assert not exists("tests/docs/test_security.py::exists")
    assert not exists("tests/docs/test_nothing.py::test_of_nobody")
    assert not exists("tests/docs/test_security.py")


def test_the_table_holds_every_attack_that_was_ever_tried() -> None:
    """It only grows."""
    assert len(ROWS) >= 63


def test_the_policy_says_how_to_report_and_leads_to_the_model() -> None:
    assert "security advisory" in POLICY
    assert "docs/security.md" in POLICY
