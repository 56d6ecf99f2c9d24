"""What programs rely on: the public view, rejections, exit codes, and no publish of what would be rejected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.adapters.sqlite.store import SqliteStore
from shared.core.lifecycle.request_view import RequestView
from shared.ports.store import StoreUnavailable
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
        (("--reference", ""), "references[0].uri"),
        (("--lane", "flex"), "lane"),
        (("--lane", "vertex"), "lane"),
        (("--tenant", ""), "tenant"),
        (("--model", ""), "model"),
        (("--max-cost", ""), "max_cost_usd"),
    ],
)
def test_submit_refuses_what_intake_would_reject(arguments: tuple[str, ...], field: str) -> None:
    refused = renderlane("submit", "a cube", "--id", "never-published", *arguments)
    assert refused.exit_code == 2
    assert field in refused.stderr
    assert "Nothing was published" in refused.stderr
    assert renderlane("status", "never-published").exit_code == 1


@pytest.mark.parametrize("prompt", ["", " ", "\t\n", "\u200b"])
def test_an_empty_prompt_is_named_and_not_taken_for_a_folder(prompt: str) -> None:
    refused = renderlane("submit", prompt)
    assert refused.exit_code == 2
    assert "Error: prompt: found" in refused.stderr
    assert "folder" not in refused.stderr


def test_an_empty_id_is_refused_and_no_new_one_is_made_up() -> None:
    """`--id "$ID"` of a shell where ID is not set: each try would be another request, and be paid."""
    refused = renderlane("submit", "a cube", "--id", "")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert 'request_id: found ""' in refused.stderr


def test_an_id_that_has_other_content_is_refused_before_it_is_published(tmp_path: Path) -> None:
    renderlane("submit", "a cube", "--id", "taken", "--tenant", "press-2", "--wait")
    refused = renderlane("submit", "a ball", "--id", "taken", "--tenant", "press-2")
    assert refused.exit_code == 2
    assert 'request_id: found "taken", which a request on record has with other content' in refused.stderr
    assert "Nothing was published" in refused.stderr
    assert "ball" not in refused.stderr
    for again in (("a cube", "press-2"), ("a ball", "press-3")):  # the same request, and another tenant's
        assert renderlane("submit", again[0], "--id", "taken", "--tenant", again[1]).exit_code == 0
    assert renderlane("list", "--status", "rejected", "--tenant", "press-2").stderr == "no rejected messages\n"
    published = renderlane("submit", "a ball", "--id", "taken", "--tenant", "press-2", "--no-check", "--wait")
    assert (published.exit_code, "1 rejected" in published.stdout) == (1, True)
    file = tmp_path / "two.jsonl"
    file.write_text("".join(json.dumps({"request_id": "twice", "prompt": prompt}) + "\n" for prompt in "aba"))
    refused = renderlane("submit", str(file))
    assert refused.exit_code == 2
    assert f'{file}:2: request_id: found "twice", which line 1 has with other content' in refused.stderr
    assert ":3:" not in refused.stderr


def test_a_lane_that_the_worker_has_is_taken_and_one_that_it_has_not_is_named() -> None:
    for lane in ("batch", "priority"):
        assert renderlane("submit", "a cube", "--lane", lane).exit_code == 0
    refused = renderlane("submit", "a cube", "--lane", "vertex")
    assert 'lane: found "vertex"; allowed: batch, flex, priority, standard.' in refused.stderr
    refused = renderlane("submit", "a cube", "--lane", "flex")
    assert 'lane: found "flex"; allowed: standard, priority, batch (for gemini-nano-banana-2.1).' in refused.stderr


def test_a_store_that_cannot_be_read_leaves_the_rest_to_intake(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("no access")

    monkeypatch.setattr(SqliteStore, "get_all", away)
    monkeypatch.setattr(SqliteStore, "get", away)
    assert renderlane("submit", "a cube", "--id", "unseen").exit_code == 0
    assert renderlane("submit", "a cube", "--lane", "vertex").exit_code == 0
    assert renderlane("submit", "a cube", "--lane", "flex").exit_code == 2  # the catalogue knows it
