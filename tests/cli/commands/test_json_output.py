"""What `--json` of every verb has in common: one JSON value a line, money in dollars, no prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from scripts.cli.main import cli
from shared.core.values.money import in_dollars
from tests.cli.conftest import json_lines, renderlane
from tests.cli.money import other_units

pytestmark = pytest.mark.usefixtures("in_running_home")

PROMPT = "an ultramarine cube"
WHY = ("--reason", "a test", "--actor", "ann")
FILE = "REQUESTS.jsonl"
VERBS: dict[str, tuple[str, ...]] = {
    "submit": ("submit", PROMPT, "--id", "of-verbs", "--tenant", "web", "--wait", "--json"),
    "cancel": ("cancel", "--tenant", "web", "--json"),
    "revive": ("revive", "--status", "failed", "--json"),
    "status": ("status", "web~of-verbs", "--json"),
    "list": ("list", "--json"),
    "explain": ("explain", FILE, "--json"),
    "trace": ("trace", "web~of-verbs", "--json"),
    "packet": ("packet", "web~of-verbs", "--json"),
    "quota": ("quota", "--json"),
    "flags": ("flags", "--json"),
    "flags list": ("flags", "list", "--json"),
    "flags trip": ("flags", "trip", "use-flex", "--tenant", "nobody", *WHY, "--json"),
    "flags history": ("flags", "history", "--json"),
    "gateway": ("gateway", "--json"),
    "gateway list": ("gateway", "list", "--json"),
    "gateway show": ("gateway", "show", "laozhang", "--json"),
    "tenant": ("tenant", "web", "--json"),
    "tenant webhook add": ("tenant", "web", "webhook", "add", "https://93.184.216.34/hook", "--json"),
    "tenant webhook list": ("tenant", "web", "webhook", "list", "--json"),
    "tenant webhook deliveries": ("tenant", "web", "webhook", "deliveries", "--json"),
    "tenant webhook replay": ("tenant", "web", "webhook", "replay", "--dead", "--json"),
    "cost": ("cost", "--json"),
    "budget": ("budget", "web", "--limit", "5", "--json"),
    "plan": ("plan", "--backlog", "20", "--limits", "*=rpm:20,spend10m_usd:5", "--json"),
    "doctor": ("doctor", "--json"),
}
ELSEWHERE = {
    "drill": "test_drill.py: a drill takes its time",
    "gateway prove": "test_gateway.py: it needs a gateway",
    "tenant webhook rotate": "test_webhook.py: it needs an endpoint's id",
}
"""Run by the same `renderlane` of the tests, which looks for other units in all JSON."""


def with_json(command: click.Command, name: str = "") -> Iterator[str]:
    """Names of the verbs that have `--json`."""
    context = click.Context(command)
    if name and any("--json" in parameter.opts for parameter in command.params):
        yield name
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            below = command.get_command(context, verb)
            assert below is not None
            yield from with_json(below, f"{name} {verb}".strip())


def test_every_verb_with_json_is_looked_at() -> None:
    assert set(with_json(cli)) == set(VERBS) | set(ELSEWHERE)


@pytest.mark.parametrize("verb", VERBS)
def test_json_is_a_line_a_thing_with_money_in_dollars_and_without_a_prompt(verb: str, tmp_path: Path) -> None:
    renderlane(*VERBS["submit"])
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"request_id": "r-1", "prompt": PROMPT, "max_cost_usd": "0.30"}))
    result = renderlane(*(str(file) if word == FILE else word for word in VERBS[verb]))
    assert result.exit_code == 0 or verb == "doctor", result.stderr
    for document in json_lines(result.stdout):
        assert list(other_units(document)) == []
    assert "ultramarine" not in result.stdout


@pytest.mark.parametrize(
    ("verb", "names"),
    [
        ("submit", {"cost_usd"}),
        ("cost", {"cost_usd", "usd_first", "saved_lane_usd"}),
        ("budget", {"limit_usd", "spent_usd", "held_usd", "available_usd"}),
        ("plan", {"cost_usd", "spend10m_usd"}),
        ("packet", {"cost_usd", "estimate_usd"}),
        ("explain", {"estimate_usd"}),
    ],
)
def test_amounts_have_names_that_say_their_unit(verb: str, names: set[str], tmp_path: Path) -> None:
    renderlane(*VERBS["submit"])
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"request_id": "r-1", "prompt": PROMPT}))
    text = renderlane(*(str(file) if word == FILE else word for word in VERBS[verb])).stdout
    assert {name for name in names if f'"{name}"' in text} == names


def test_a_second_unit_would_be_noticed() -> None:
    wrong = {"cost_micros": 1, "limit_usd": 2, "price": 3, "by_usd": {"a": 4}, "spent_usd": "1.5", "cents": "5"}
    assert len(list(other_units(wrong))) == len(wrong)
    assert list(other_units({"labels": {"cost_micros": "7"}, "attempts": 3, "cost_unknown_attempts": 1})) == []


def test_a_documents_amounts_become_dollars_whatever_it_nests() -> None:
    document = {
        "cost_micros": 134_400, "micros_first": 1, "left_micros_after": {"as asked": -5, "none": None}, "images": 3,
        "limits": {"spend10m_micros": {"value": 2_000_000, "unlimited": False, "source": "live"}},
        "attempts": ({"cost_micros": None},), "labels": {"cost_micros": "as given"}, "microseconds": 4,
    }  # fmt: skip
    assert in_dollars(document) == {
        "cost_usd": "0.134400", "usd_first": "0.000001", "left_usd_after": {"as asked": "-0.000005", "none": None},
        "images": 3, "limits": {"spend10m_usd": {"value": "2.000000", "unlimited": False, "source": "live"}},
        "attempts": [{"cost_usd": None}], "labels": {"cost_micros": "as given"}, "microseconds": 4,
    }  # fmt: skip
