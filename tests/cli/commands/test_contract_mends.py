"""What programs rely on: the public view, rejections, exit codes, and no publish of what would be rejected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.core.lifecycle.request_view import RequestView
from tests.cli.conftest import json_lines, renderlane

pytestmark = pytest.mark.usefixtures("in_running_home")


def test_status_as_json_is_the_public_view_and_raw_is_everything_but_the_prompt() -> None:
    renderlane("submit", "a very secret cube", "--id", "viewed", "--tenant", "shop", "--wait")
    (view,) = json_lines(renderlane("status", "viewed", "--json").stdout)
    assert set(view) == set(RequestView.__struct_fields__)
    assert (view["request_id"], view["tenant"], view["cost_usd"][:2]) == ("viewed", "shop", "0.")
    (document,) = json_lines(renderlane("status", "viewed", "--raw").stdout)
    assert document["attempts"]
    assert float(document["cost_usd"]) > 0
    assert "secret" not in json.dumps(view) + json.dumps(document)
    (shown,) = json_lines(renderlane("status", "viewed", "--json", "--with-prompt").stdout)
    assert shown["prompt"] == "a very secret cube"
    (shown,) = json_lines(renderlane("status", "viewed", "--raw", "--with-prompt").stdout)
    assert shown["request"]["prompt"] == "a very secret cube"
    assert "secret" not in renderlane("list", "--tenant", "shop", "--json").stdout


def test_messages_that_could_not_be_taken_are_listed_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    bad = {"request_id": "bad", "prompt": "a", "size": "2K", "tenant": "press"}
    file.write_text("this is no JSON\n" + json.dumps(bad) + "\n")
    renderlane("submit", str(file), "--no-check", "--wait", "--timeout", "30")
    listed = renderlane("list", "--status", "rejected", "--limit", "100")
    assert listed.exit_code == 0
    for part in ("(no id)", "not JSON", "bad", "press", "size"):
        assert part in listed.stdout
    assert "rejected messages" in listed.stderr
    (message,) = json_lines(renderlane("list", "--status", "rejected", "--tenant", "press", "--json").stdout)
    assert (message["request_id"], message["status"], message["problems"][0]["field"]) == ("bad", "rejected", "size")
    assert "1 rejected message" in renderlane("list", "--status", "rejected", "--tenant", "press").stderr
    assert renderlane("list", "--status", "rejected", "--model", "nano-banana-pro").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("--model", "dalle-3"), "model"),
        (("--max-cost", "0.001"), "max_cost_usd"),
        (("--reference", "/nowhere/nope.png"), "references[0].uri"),
        (("--ratio", "99:1"), "aspect_ratio"),
    ],
)
def test_submit_refuses_what_intake_would_reject(arguments: tuple[str, ...], field: str) -> None:
    refused = renderlane("submit", "a cube", "--id", "never-published", *arguments)
    assert refused.exit_code == 2
    assert field in refused.stderr
    assert "Nothing was published" in refused.stderr
    assert renderlane("status", "never-published").exit_code == 1
