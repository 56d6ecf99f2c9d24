"""Everything that can wake on-call has a heading in the runbook."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.core.provider.failure import RULES, FailureKind

RUNBOOK = Path("RUNBOOK.md").read_text("utf-8")
SECTIONS = {
    text.partition("\n")[0].strip(): text.partition("\n")[2]
    for text in re.split(r"^### ", RUNBOOK, flags=re.MULTILINE)[1:]
}
SOURCES = {path: path.read_text("utf-8") for path in Path("shared").rglob("*.py")}


@pytest.mark.parametrize("kind", list(FailureKind))
def test_each_failure_has_a_heading_with_the_owner_of_the_table(kind: FailureKind) -> None:
    assert f"- Owner: {RULES[kind].owner}." in SECTIONS[kind.value]


@pytest.mark.parametrize("heading", list(SECTIONS))
def test_each_heading_says_what_it_means_who_owns_it_where_to_look_first_and_what_to_do(heading: str) -> None:
    lines = [line for line in SECTIONS[heading].splitlines() if line.startswith("- ")]
    assert [line.partition(":")[0] for line in lines] == ["- Means", "- Owner", "- First check", "- Next move"]
    assert all(line.endswith(".") for line in lines)


def test_each_alert_and_each_outcome_of_our_own_has_a_heading() -> None:
    text = "\n".join(SOURCES.values())
    alerts = set(re.findall(r'runbook="([a-z-]+)"', text)) | set(re.findall(r'RUNBOOK = "([a-z-]+)"', text))
    outcomes = set(re.findall(r'Outcome\(\s*"([a-z_]+)"', text))
    assert {"no-route", "no-balance", "credential", "permission"} <= alerts
    assert alerts | outcomes <= set(SECTIONS)


def test_no_heading_stands_twice() -> None:
    headings = re.findall(r"^### (.+)$", RUNBOOK, flags=re.MULTILINE)
    assert len(headings) == len(set(headings))
