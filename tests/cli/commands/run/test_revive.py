"""`revive` and `cancel`: singly and by filter, with a look first."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.core.lifecycle import head_changes, request_record
from shared.core.provider.outcome import EXPIRED, Outcome
from shared.core.values.documents import Create
from shared.core.values.status import FinalStatus
from tests.builders import a_record, a_request
from tests.cli import stores
from tests.cli.conftest import json_lines, renderlane
from tests.cli.stores import TRIPPED_AT

OVERLOAD = Outcome("overload", "The model is overloaded.", "Revive it when it is well.")
REFUSED = Outcome("refused", "The safety filters said no.")


def ended(request_id: str, status: FinalStatus, outcome: Outcome, *, age: int = 0, **fields: Any) -> Create:
    """A request that ended; `age` minutes before the newest."""
    at = TRIPPED_AT - timedelta(minutes=age)
    written = a_record(a_request(request_id=request_id, **fields), now=at) | head_changes.ended(status, outcome, at)
    return Create(request_record.path(request_id), written)


def sent(home: Path) -> list[dict[str, Any]]:
    """What was published on render-requests and nobody has taken yet."""
    file = sqlite3.connect(home / "state.db")
    try:
        if file.execute("SELECT 1 FROM sqlite_master WHERE name = 'messages'").fetchone() is None:
            return []
        sql = "SELECT data FROM messages WHERE subscription = 'render-requests-intake' ORDER BY id"
        return [json.loads(data) for (data,) in file.execute(sql)]
    finally:
        file.close()


@pytest.fixture
def burnt(home: Path) -> Path:
    """A home after an outage."""
    stores.write(
        home,
        ended("a", "failed", OVERLOAD, tenant="web", purpose="final", image_size="2K"),
        ended("b", "failed", OVERLOAD, age=10, tenant="web"),
        ended("c", "failed", OVERLOAD, age=200, tenant="press"),
        ended("late", "expired", EXPIRED, tenant="web", deadline="2026-11-22T11:00:00Z"),
        ended("no", "refused", REFUSED, tenant="web"),
        stores.queued("lives", tenant="web"),
    )
    return home


def revived(home: Path) -> dict[str, str]:
    return {
        document.id: document.data["revived_as"] for document in stores.read("requests") if document.data["revived_as"]
    }


def test_an_id_is_revived_at_once(burnt: Path) -> None:
    result = renderlane("revive", "a", "no", "--actor", "ann")
    assert result.exit_code == 0
    assert "revived a as a-r2" in result.stdout
    assert revived(burnt) == {"a": "a-r2", "no": "no-r2"}
    published = {item["request_id"]: item for item in sent(burnt)}
    assert (published["a-r2"]["image_size"], published["a-r2"]["tenant"]) == ("2K", "web")
    assert {document.data["revived_by"] for document in stores.read("requests") if document.data["revived_as"]} == {
        "ann"
    }


def test_what_cannot_be_revived_is_told_and_the_rest_is_revived(burnt: Path) -> None:
    result = renderlane("revive", "lives", "a", "never-seen", "--json")
    assert result.exit_code == 1
    assert [json_line["revived_as"] for json_line in json_lines(result.stdout)] == ["a-r2"]
    assert "lives: not revived: status: found queued; allowed: a request that is failed" in result.stderr
    assert "never-seen: not revived" in result.stderr


def test_a_filter_shows_first_and_revives_with_yes(burnt: Path) -> None:
    look = renderlane("revive", "--outcome", "overload", "--tenant", "web")
    assert look.exit_code == 0
    assert "2 requests would be retried, for about $" in look.stdout
    assert "preview only, nothing was revived" in look.stdout
    assert revived(burnt) == {}
    assert sent(burnt) == []
    done = renderlane("revive", "--outcome", "overload", "--tenant", "web", "--yes")
    assert done.exit_code == 0
    assert "revived 2" in done.stdout
    assert revived(burnt) == {"a": "a-r2", "b": "b-r2"}


def test_a_filter_takes_no_refusal_and_nothing_that_lives(burnt: Path) -> None:
    (preview,) = json_lines(renderlane("revive", "--tenant", "web", "--json").stdout)
    assert set(preview["request_ids"]) == {"a", "b", "late"}
    for arguments in (("--status", "refused"), ("--outcome", "refused")):
        result = renderlane("revive", *arguments)
        assert result.exit_code == 2
        assert "by id" in result.stderr


def test_time_and_model_choose_too(burnt: Path) -> None:
    def chosen(*arguments: str) -> set[str]:
        (preview,) = json_lines(renderlane("revive", *arguments, "--json").stdout)
        return set(preview["request_ids"])

    assert chosen("--status", "failed", "--since", "2026-11-22T11:00:00Z") == {"a", "b"}
    assert chosen("--status", "failed", "--until", "2026-11-22T11:00:00Z") == {"c"}
    assert chosen("--status", "failed", "--model", "nano-banana-pro") == {"a"}
    wrong = renderlane("revive", "--model", "midjourney")
    assert wrong.exit_code == 2
    assert "allowed" in wrong.stderr
    assert renderlane("revive", "--since", "yesterday").exit_code == 2


def test_the_same_filter_again_leaves_what_came_back_and_makes_good_what_did_not(burnt: Path) -> None:
    assert renderlane("revive", "--outcome", "overload", "--yes").exit_code == 0
    stores.write(
        burnt, Create(request_record.path("a-r2"), a_record(a_request(request_id="a-r2", tenant="web"), revives="a"))
    )
    (preview,) = json_lines(renderlane("revive", "--outcome", "overload", "--json").stdout)
    assert (set(preview["request_ids"]), preview["revived_before"]) == ({"b", "c"}, 1)


def test_a_passed_deadline_is_told_and_can_be_given_anew(burnt: Path) -> None:
    assert "1 with an expired deadline" in renderlane("revive", "--status", "expired").stdout
    assert renderlane("revive", "--status", "expired", "--deadline", "2096-01-01T00:00:00Z", "--yes").exit_code == 0
    assert [item["deadline"] for item in sent(burnt)] == ["2096-01-01T00:00:00Z"]
    assert renderlane("revive", "b", "--deadline", "2h").exit_code == 0
    assert sent(burnt)[-1]["deadline"] > "2026-11-22T12"
    again = renderlane("revive", "a", "--deadline", "2020-01-01T00:00:00Z")
    assert again.exit_code == 1
    assert "deadline" in again.stderr


@pytest.mark.parametrize("verb", ["revive", "cancel"])
def test_ids_and_a_filter_do_not_go_together_and_nothing_is_wrong_usage(burnt: Path, verb: str) -> None:
    assert renderlane(verb).exit_code == 2
    assert renderlane(verb, "a", "--tenant", "web").exit_code == 2


def test_both_sides_say_so(burnt: Path) -> None:
    renderlane("revive", "a")
    assert "a-r2" in renderlane("status", "a").stdout
    assert json_lines(renderlane("status", "a", "--raw").stdout)[0]["revived_as"] == "a-r2"


# -- cancel -----------------------------------------------------------------------------------------------------------


def test_cancel_by_filter_shows_first_and_asks_with_yes(home: Path) -> None:
    stores.write(
        home,
        stores.queued("a", tenant="web", priority="bulk"),
        stores.queued("b", tenant="web"),
        stores.queued("c", tenant="press"),
        stores.queued("begun", tenant="web", changes={"status": "rendering"}),
        ended("over", "failed", OVERLOAD, tenant="web"),
    )
    look = renderlane("cancel", "--tenant", "web")
    assert look.exit_code == 0
    assert "2 requests would be cancelled" in look.stdout
    assert sent(home) == []
    assert renderlane("cancel", "--tenant", "web", "--priority", "bulk", "--yes").exit_code == 0
    assert sent(home) == [{"cancel": "a", "tenant": "web"}]
    (cancelled,) = json_lines(renderlane("cancel", "--status", "queued", "--yes", "--json").stdout)
    assert (cancelled["chosen"], cancelled["asked"]) == (3, True)
    assert "no such requests" in renderlane("cancel", "--tenant", "nobody").stderr


@pytest.mark.slow
def test_ten_thousand_of_one_instant_are_cancelled_each_once_and_with_progress(home: Path) -> None:
    """A page's edge lies between requests that were accepted at once."""
    template = stores.queued("r").data
    writes = [Create(request_record.path(f"r-{number}"), template) for number in range(10_000)]
    for start in range(0, len(writes), 500):
        stores.write(home, *writes[start : start + 500])
    result = renderlane("cancel", "--status", "queued", "--yes")
    assert result.exit_code == 0
    assert "10,000 requests would be cancelled" in result.stdout
    assert "asked to cancel 10,000/10,000" in result.stderr
    assert len({item["cancel"] for item in sent(home)}) == 10_000


def test_a_list_is_filtered_by_everything_that_a_request_is_known_by(burnt: Path) -> None:
    def listed(*arguments: str) -> set[str]:
        return {json_line["request_id"] for json_line in json_lines(renderlane("list", *arguments, "--json").stdout)}

    assert listed("--status", "failed", "--status", "expired") == {"a", "b", "c", "late"}
    assert listed("--outcome", "overload", "--tenant", "press") == {"c"}
    assert listed("--model", "nano-banana-pro") == {"a"}
    assert listed("--since", "2026-11-22T11:55:00Z", "--tenant", "web") == {"a", "late", "no", "lives"}
    assert listed("--priority", "bulk") == set()
    assert listed("--flag", "pause") == set()
    assert len(listed("--limit", "2")) == 2


def test_a_list_knows_which_routes_a_flag_bent(home: Path) -> None:
    stores.write(home, stores.queued("bent", changes={"flags": ["lower-resolution-1a2b"]}), stores.queued("straight"))
    for named in ("lower-resolution", "lower-resolution-1a2b"):
        rows = json_lines(renderlane("list", "--flag", named, "--json").stdout)
        assert [item["request_id"] for item in rows] == ["bent"]


@pytest.mark.parametrize("columns", ["80", "120"])
def test_tables_fit_the_terminal(burnt: Path, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    long_id = "x" * 128
    stores.write(burnt, ended(long_id, "failed", OVERLOAD, tenant="y" * 64, purpose="final"))
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (
        ("list",), ("list", "--status", "failed"), ("status", long_id), ("revive", "--outcome", "overload"),
        ("cancel", "--tenant", "web"),
    ):  # fmt: skip
        shown = renderlane(*arguments).stdout
        assert shown
        assert max(len(line) for line in shown.splitlines()) <= int(columns), arguments
