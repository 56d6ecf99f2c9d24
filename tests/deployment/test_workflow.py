"""GitHub's CI runs what everybody runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

WORKFLOW = Path(".github/workflows/ci.yml").read_text("utf-8")


def test_the_workflow_calls_ci_run_which_can_be_run() -> None:
    assert "- run: .ci/run" in WORKFLOW
    assert os.access(".ci/run", os.X_OK)
    assert "exec ./scripts/test --all" in Path(".ci/run").read_text("utf-8")


def test_it_may_only_read() -> None:
    assert "permissions:\n  contents: read\n" in WORKFLOW


def test_its_terraform_is_one_that_ours_takes() -> None:
    (given,) = re.findall(r"terraform_version: (\d+)\.(\d+)", WORKFLOW)
    (needed,) = re.findall(r'required_version = ">= (\d+)\.(\d+)"', Path("terraform/versions.tf").read_text("utf-8"))
    assert tuple(map(int, given)) >= tuple(map(int, needed))
