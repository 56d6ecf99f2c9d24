"""GitHub's CI runs what everybody runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

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


WORKFLOWS = {path.name: path.read_text("utf-8") for path in sorted(Path(".github/workflows").glob("*.yml"))}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_by_its_commit_and_leaves_no_credentials(name: str) -> None:
    """A tag can be moved to other code: https://docs.github.com/en/actions/security-guides."""
    used = re.findall(r"uses: (\S+)", WORKFLOWS[name])
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []
    assert WORKFLOWS[name].count("actions/checkout@") == WORKFLOWS[name].count("persist-credentials: false")


def test_it_checks_the_oldest_python_promised_and_the_one_of_the_image() -> None:
    (versions,) = re.findall(r"python: \[([^\]]+)\]", WORKFLOW)
    tested = re.findall(r"\d+\.\d+", versions)
    (oldest,) = re.findall(r'requires-python = ">=(\d+\.\d+)"', Path("pyproject.toml").read_text("utf-8"))
    (image,) = set(re.findall(r"^FROM python:(\d+\.\d+)-slim", Path("Dockerfile").read_text("utf-8"), re.MULTILINE))
    assert {oldest, image} <= set(tested)


def test_what_plans_may_not_apply_and_what_applies_waits_for_an_approval() -> None:
    text = WORKFLOWS["deploy.yml"]
    plan, apply = text.split("\n  apply:\n")
    assert "renderlane-planner@" in plan
    assert "renderlane-deployer@" not in plan
    assert "environment: production" in apply
    assert apply.index("--plan") < apply.index("--yes")
    assert "credentials_json" not in text
