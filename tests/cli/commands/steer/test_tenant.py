"""A tenant's weight from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scripts.cli.main import cli


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RENDERLANE_HOME", str(tmp_path))
    submitted = run("submit", "a lighthouse", "--id", "r-1")
    assert submitted.exit_code == 0, submitted.output
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_a_tenant_has_the_weight_of_one_until_it_is_set(home: Path) -> None:
    assert json.loads(run("tenant", "web", "--json").stdout) == {
        "tenant": "web", "weight": 1.0, "set": False, "waiting": {},
    }  # fmt: skip
    assert json.loads(run("tenant", "web", "--weight", "2.5", "--json").stdout)["weight"] == 2.5
    assert json.loads(run("tenant", "web", "--json").stdout) == {
        "tenant": "web", "weight": 2.5, "set": True, "waiting": {},
    }  # fmt: skip
    assert json.loads(run("tenant", "web", "--weight", "1", "--json").stdout)["weight"] == 1.0


def test_a_weight_out_of_bounds_and_a_name_that_is_none_are_refused(home: Path) -> None:
    assert run("tenant", "web", "--weight", "0").exit_code == 2
    wrong = run("tenant", "no such/name", "--weight", "2")
    assert wrong.exit_code == 2
    assert "NAME" in wrong.output
