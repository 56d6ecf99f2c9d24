"""submit, status, list and cancel against a running home."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from shared.core.lifecycle.request_view import RequestView
from tests.cli.conftest import json_lines, renderlane

pytestmark = pytest.mark.usefixtures("in_running_home")

BANNER = "SIMULATOR"


def test_one_request_is_submitted_waited_for_and_shown() -> None:
    result = renderlane("submit", "a red cube", "--id", "shown", "--size", "2K", "--label", "k=v", "--wait")
    assert result.exit_code == 0
    assert BANNER in result.stderr
    for part in ("shown", "succeeded", "2048 x 2048", "metered", "1.jpg"):
        assert part in result.stdout
    assert "cube" not in result.stdout + result.stderr


def test_json_of_a_waiting_is_the_public_view_that_status_and_list_print() -> None:
    waited = renderlane("submit", "a red cube", "--id", "viewed", "--tenant", "viewers", "--wait", "--json")
    (view,) = json_lines(waited.stdout)
    assert set(view) == set(RequestView.__struct_fields__)
    assert view == json.loads(renderlane("status", "viewed", "--json").stdout)
    assert view == json.loads(renderlane("list", "--tenant", "viewers", "--json").stdout)
    assert Path(view["image_url"].removeprefix("file://")).is_file()


def test_prompts_are_printed_only_where_they_are_asked_for() -> None:
    prompt = "a mauve cube"
    sent = renderlane("submit", prompt, "--id", "asked-for", "--tenant", "curious", "--wait", "--json", "--with-prompt")
    assert json.loads(sent.stdout)["prompt"] == prompt
    for form in ("--json", "--raw"):
        assert "mauve" not in renderlane("list", "--tenant", "curious", form).stdout
        assert "mauve" in renderlane("list", "--tenant", "curious", form, "--with-prompt").stdout
    for wrong in (("list", "--with-prompt"), ("submit", "x y", "--with-prompt"), ("submit", "x y", "--raw")):
        assert renderlane(*wrong).exit_code == 2


def test_raw_json_of_a_waiting_is_the_status_document_and_nothing_else() -> None:
    waited = renderlane("submit", "a red cube", "--id", "as-json", "--tenant", "shop", "--wait", "--raw")
    looked = renderlane("status", "as-json", "--raw")
    assert waited.exit_code == looked.exit_code == 0
    (document,) = json_lines(waited.stdout)
    settled = {
        "announce",
        "updated_at",
        "leftovers",
        "leftovers_at",
    }  # the call is deleted at the provider after its end
    assert {name: document[name] for name in document if name not in settled} == {
        name: value for name, value in json.loads(looked.stdout).items() if name not in settled
    }
    assert document["request_id"] == document["request"]["request_id"] == "as-json"
    assert document["status"] == "succeeded"
    assert document["tenant"] == "shop"
    assert document["created_at"].endswith("Z")
    assert datetime.fromisoformat(document["created_at"]) < datetime.fromisoformat(document["finished_at"])
    (attempt,) = document["attempts"]
    assert attempt["number"] == 1
    assert float(attempt["cost_usd"]) == float(document["cost_usd"]) > 0
    assert Path(document["image_uri"].removeprefix("file://")).is_file()


def test_an_id_is_made_up_and_printed() -> None:
    result = renderlane("submit", "a red cube", "--prefix", "made-up-")
    assert result.exit_code == 0
    assert result.stdout.startswith("made-up-")


def test_a_file_ends_with_one_line_a_request(tmp_path: Path) -> None:
    lines = [
        {"request_id": "good", "prompt": "a red cube"},
        {"request_id": "good", "prompt": "a red cube"},
        {"request_id": "good", "prompt": "another cube"},
        {"request_id": "bad", "prompt": "a red cube", "image_size": "2k"},
        {"request_id": "refused", "prompt": "a red cube [refuse]"},
        {"cancel": "gone"},
        {"request_id": "gone", "prompt": "a red cube", "priority": "bulk"},
    ]
    file = tmp_path / "requests.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = renderlane("submit", str(file), "--no-check", "--prefix", "file-", "--wait", "--timeout", "60", "--json")
    assert result.exit_code == 1
    statuses = [(json_line["request_id"], json_line["status"]) for json_line in json_lines(result.stdout)]
    assert statuses == [
        ("file-good", "succeeded"),
        ("file-good", "rejected"),
        ("file-bad", "rejected"),
        ("file-refused", "refused"),
        ("file-gone", "cancelled"),
    ]
    assert "5/5" in result.stderr
    problems = [json_line["problems"] for json_line in json_lines(result.stdout) if json_line["status"] == "rejected"]
    assert [problem["field"] for (problem,) in problems] == ["request_id", "image_size"]

    why = renderlane("status", "file-bad")
    assert why.exit_code == 1
    assert 'Write "2K"' in why.stderr

    table = renderlane("submit", str(file), "--no-check", "--prefix", "file-", "--wait", "--timeout", "60")
    assert table.exit_code == 1
    for part in ("file-good", "succeeded", "rejected", "refused", "cancelled", "safety filters"):
        assert part in table.stdout


def test_standard_input_is_a_file_too() -> None:
    line = json.dumps({"request_id": "from-stdin", "prompt": "a red cube"})
    result = renderlane("submit", "-", "--json", stdin=f"{line}\n")
    assert result.exit_code == 0
    (published,) = json_lines(result.stdout)
    assert published["request_id"] == "from-stdin"
    assert published["message_id"]


def test_wrong_lines_keep_the_whole_file_back(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"request_id": "kept-back", "prompt": "a"}\n{"request_id": "x", "prompt": "a", "size": "2K"}\n')
    result = renderlane("submit", str(file))
    assert result.exit_code == 2
    assert f"{file}:2: size" in result.stderr
    assert "--no-check" in result.stderr
    assert renderlane("status", "kept-back").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("nowhere.jsonl",),
        ("a red cube", "--size", "2k"),
        ("a red cube", "--max-cost", "cheap"),
        ("a red cube", "--label", "nothing"),
        ("a red cube", "--timeout", "3"),
        ("-", "--tenant", "shop"),
    ],
)
def test_wrong_usage_publishes_nothing(arguments: tuple[str, ...]) -> None:
    result = renderlane("submit", *arguments, stdin='{"request_id": "a", "prompt": "a"}')
    assert result.exit_code == 2
    assert result.stdout == ""


def test_a_reference_may_be_a_path() -> None:
    result = renderlane(
        "submit", "a red cube", "--reference", "scripts/samples/rocket.png", "--id", "referred", "--wait", "--raw"
    )
    (document,) = json_lines(result.stdout)
    assert document["status"] == "succeeded"
    assert document["request"]["references"][0]["uri"].startswith("file:///")


def test_an_unknown_id_is_told_with_a_hint() -> None:
    renderlane("submit", "a red cube", "--id", "known", "--wait")
    result = renderlane("status", "known", "never-seen", "known", "--json")
    assert result.exit_code == 1
    assert "never-seen: no such request" in result.stderr
    assert [json_line["request_id"] for json_line in json_lines(result.stdout)] == ["known", "known"]
    assert renderlane("status", "known/attempts/0001").exit_code == 2


def test_a_prompt_is_shown_only_when_asked_for() -> None:
    renderlane("submit", f"a violet cube {'x' * 400}", "--id", "prompted", "--wait")
    assert "violet" not in renderlane("status", "prompted").stdout
    shown = renderlane("status", "prompted", "--prompt").stdout
    assert "violet" in shown
    assert "x" * 400 not in shown


def test_the_list_is_newest_first_and_filtered() -> None:
    for number in range(2):
        renderlane("submit", "a red cube", "--id", f"listed-{number}", "--tenant", "press", "--wait")
    result = renderlane("list", "--tenant", "press", "--limit", "2", "--json")
    assert [json_line["request_id"] for json_line in json_lines(result.stdout)] == ["listed-1", "listed-0"]
    assert BANNER in result.stderr
    assert len(json_lines(renderlane("list", "--limit", "1", "--json").stdout)) == 1
    succeeded = json_lines(renderlane("list", "--status", "succeeded", "--json").stdout)
    assert {item["status"] for item in succeeded} == {"succeeded"}
    table = renderlane("list", "--tenant", "press")
    assert table.stdout.index("listed-1") < table.stdout.index("listed-0")
    assert "cube" not in table.stdout
    assert "no such requests" in renderlane("list", "--tenant", "nobody").stderr


def test_tables_fit_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    long_id = f"narrow-{'x' * 60}"
    renderlane("submit", "a red cube", "--id", long_id, "--tenant", "y" * 60, "--wait")
    monkeypatch.setenv("COLUMNS", "80")
    for result in (renderlane("list"), renderlane("status", long_id)):
        assert max(len(line) for line in result.stdout.splitlines()) <= 80
        assert "succeeded" in result.stdout
        assert "nano-bana" in result.stdout


def test_a_cancellation_that_comes_first_ends_its_request_unpaid() -> None:
    assert renderlane("cancel", "cancelled-first").exit_code == 0
    result = renderlane("submit", "a red cube", "--id", "cancelled-first", "--wait", "--raw")
    assert result.exit_code == 1
    (document,) = json_lines(result.stdout)
    assert (document["status"], document["cost_usd"], document["attempts"]) == ("cancelled", "0.000000", [])


def test_a_request_that_ended_is_revived_and_ends_under_its_new_id() -> None:
    renderlane("submit", "a red cube [refuse]", "--id", "again", "--tenant", "revived", "--wait")
    assert renderlane("revive", "again").exit_code == 0
    while "no such request" in renderlane("status", "again-r2").stderr:
        pass  # not taken in yet
    watched = renderlane("status", "again-r2", "--watch", "--raw")
    document = json_lines(watched.stdout)[-1]
    assert (document["status"], document["revives"], document["tenant"]) == ("refused", "again", "revived")
    assert "again-r2" in renderlane("status", "again").stdout
    assert "already revived earlier" in renderlane("revive", "again").stdout


def test_a_cancellation_needs_an_id() -> None:
    result = renderlane("cancel", "two words")
    assert result.exit_code == 2
    assert "allowed" in result.stderr


def test_two_tenants_may_use_the_same_id_and_each_request_has_a_name_of_its_own() -> None:
    for tenant in ("shop", "web"):
        assert (
            renderlane("submit", f"a cube of {tenant}", "--id", "shared", "--tenant", tenant, "--wait").exit_code == 0
        )
    unclear = renderlane("status", "shared")
    assert unclear.exit_code == 2
    assert "shop~shared, web~shared" in unclear.stderr
    (document,) = json_lines(renderlane("status", "web~shared", "--json").stdout)
    assert (document["request_id"], document["tenant"], document["status"]) == ("shared", "web", "succeeded")
    for verb in ("explain", "trace", "packet"):
        assert renderlane(verb, "shop~shared").exit_code == 0
        assert renderlane(verb, "nobody~shared").exit_code == 1


def test_a_cancellation_by_id_is_sent_for_the_tenant_of_the_request() -> None:
    renderlane("submit", "a red cube", "--id", "ended-of-shop", "--tenant", "shop", "--wait")
    ended = renderlane("cancel", "ended-of-shop")
    assert (ended.exit_code, "already succeeded" in ended.stderr) == (1, True)
    assert renderlane("cancel", "web~to-come", "to-come").exit_code == 0
    renderlane("submit", "a red cube", "--id", "to-come", "--tenant", "web", "--wait")
    (document,) = json_lines(renderlane("status", "web~to-come", "--json").stdout)
    assert document["status"] == "cancelled"
