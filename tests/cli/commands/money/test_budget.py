"""A budget from the command line, on the one-machine home: SQLite, the courier, the simulator, a process of its own."""

from __future__ import annotations

import getpass
import json
import time
from pathlib import Path
from typing import Any

import pytest

from shared.core.accounting.budget import OVER_BUDGET
from shared.core.values.money import usd
from tests.cli.conftest import json_lines, renderlane, started
from tests.flows.pump.test_budgets import TEN_CENTS, a_catalogue_text

REQUESTS = 1_000
PATIENCE = 150.0


def budget_status(tenant: str = "web") -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(renderlane("budget", tenant, "--json").stdout)
    return payload


def until(ready: Any) -> dict[str, Any]:
    """The budget as soon as it is as awaited."""
    ends = time.monotonic() + PATIENCE
    while not ready(status := budget_status()):
        assert time.monotonic() < ends, status
        time.sleep(0.3)
    return status


def test_a_thousand_requests_at_once_spend_five_dollars_exactly_and_a_raise_lets_more_go_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text(a_catalogue_text(image_tokens=1120), "utf-8")
    monkeypatch.setenv("RENDERLANE_CATALOGUE", str(catalogue))
    requests = tmp_path / "requests.jsonl"
    a_draft = {"prompt": "a red cube", "tenant": "web", "purpose": "draft", "priority": "bulk", "floor": "exact"}
    lines = [json.dumps({"request_id": f"r-{number}", **a_draft}) for number in range(REQUESTS)]
    requests.write_text("\n".join(lines), "utf-8")
    assert renderlane("submit", str(requests)).exit_code == 0
    assert renderlane("budget", "web", "--limit", "5").exit_code == 0
    with started(home, "up", "--port", "0", "--latency", "fixed:0.05", RENDERLANE_CATALOGUE=str(catalogue)) as up:
        assert up.first_line, "".join(up.errors)
        status = until(lambda status: status["waiting"] == REQUESTS - 50 and not float(status["budget"]["held_usd"]))
        assert status["budget"]["spent_usd"] == "5.000000" == usd(50 * TEN_CENTS)
        assert status["budget"]["available_usd"] == "0.000000"
        assert renderlane("budget", "web", "--limit", "6").exit_code == 0
        until(lambda status: status["budget"]["spent_usd"] == "6.000000")
        assert up.stop() == 0
    bill = json.loads(renderlane("cost", "--by", "tenant", "--json").stdout)["google"]["total"]
    assert (bill["cost_usd"], bill["images"], bill["unknown_attempts"]) == ("6.000000", 60, 0)
    waits = json_lines(renderlane("list", "--status", "queued", "--limit", "1", "--json").stdout)
    assert waits[0]["reason"] == OVER_BUDGET


@pytest.fixture
def begun(home: Path) -> Path:
    assert renderlane("submit", "a red cube", "--id", "r-1").exit_code == 0
    return home


def test_a_budget_is_set_in_parts_shown_and_lifted(begun: Path) -> None:
    assert budget_status() == {"tenant": "web", "budget": None, "waiting": 0, "history": []}
    assert "no budget" in renderlane("budget", "web").stdout
    renderlane("budget", "web", "--limit", "12.50", "--period", "month", "--over", "step-down")
    renderlane("budget", "web", "--over", "refuse")
    budget = budget_status()["budget"]
    assert (budget["limit_usd"], budget["period"], budget["over"]) == ("12.500000", "month", "refuse")
    assert (budget["spent_usd"], budget["available_usd"]) == ("0.000000", "12.500000")
    output = renderlane("budget", "web").stdout
    assert "web: $12.5000 a month, more fails" in output
    renderlane("budget", "web", "--limit", "none")
    assert budget_status()["budget"] is None


def test_a_budget_leaves_the_tenants_weight_alone(begun: Path) -> None:
    renderlane("tenant", "web", "--weight", "2")
    renderlane("budget", "web", "--limit", "1")
    assert json.loads(renderlane("tenant", "web", "--json").stdout)["weight"] == 2.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("web", "--limit", "much"), "--limit: found 'much'; allowed: dollars such as 12.50, or none"),
        (("web", "--limit", "-1"), "found '-1'"),
        (("web", "--over", "queue"), "web has no budget"),
        (("no spaces", "--limit", "1"), "tenant"),
    ],
)
def test_what_is_no_budget_is_refused_with_what_is_allowed(begun: Path, words: tuple[str, ...], message: str) -> None:
    result = renderlane("budget", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_change_is_kept_with_who_made_it_and_why(home: Path) -> None:
    with started(home, "up", "--port", "0") as up:
        assert up.first_line, "".join(up.errors)
    assert renderlane("budget", "web", "--limit", "5", "--reason", "the  spring sale").exit_code == 0
    assert renderlane("budget", "web", "--limit", "none").exit_code == 0
    newest, first = budget_status()["history"]
    assert (first["actor"], first["reason"], first["before"]) == (getpass.getuser(), "the spring sale", None)
    assert (first["after"]["limit_usd"], newest["after"]) == ("5.000000", None)
    text = renderlane("budget", "web").stdout
    assert f"none -> $5.0000, by {getpass.getuser()}: the spring sale" in text
    refused = renderlane("budget", "web", "--reason", "no change")
    assert (refused.exit_code, "--reason: found no change" in refused.stderr) == (2, True)
