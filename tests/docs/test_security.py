"""The threat model names tests that exist, and the ways in which a fault can be reported."""

from __future__ import annotations

import re
from pathlib import Path

MODEL = Path("docs/security.md").read_text("utf-8")
POLICY = Path("SECURITY.md").read_text("utf-8")


def test_each_defence_names_a_test_that_exists() -> None:
    rows = [row for row in MODEL.splitlines() if row.startswith("| ") and "`tests/" in row]
    assert len(rows) >= 15
    missing = {name for row in rows for name in re.findall(r"`(tests/[\w/]+\.py)`", row) if not Path(name).is_file()}
    assert missing == set()


def test_each_attack_has_a_defence_and_a_proof() -> None:
    table = MODEL.partition("## Attacks and defences")[2].partition("## What is not")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][2:]
    assert all(all(cell.strip() for cell in row.strip("|").split("|")) for row in rows)


def test_the_policy_says_how_to_report_and_leads_to_the_model() -> None:
    assert "security advisory" in POLICY
    assert "docs/security.md" in POLICY
