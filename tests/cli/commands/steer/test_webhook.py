"""A tenant's webhooks from the command line."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scripts.cli.main import cli

URL = "http://127.0.0.1:9/hook?token=hush"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RENDERLANE_HOME", str(tmp_path))
    submitted = run("submit", "a lighthouse", "--id", "r-1", "--tenant", "web")
    assert submitted.exit_code == 0, submitted.output
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def hook(*words: str, tenant: str = "web") -> Result:
    return run("tenant", tenant, "webhook", *words)


def test_the_secret_is_shown_once_and_is_in_no_list_and_no_log(home: Path) -> None:
    added = json.loads(hook("add", URL, "--status", "succeeded", "--json").stdout)
    assert added["secret"].startswith("whsec_")
    listed = hook("list", "--json").stdout
    assert json.loads(listed) == {name: value for name, value in added.items() if name != "secret"}
    assert added["statuses"] == ["succeeded"]
    secret = added["secret"].removeprefix("whsec_")
    logs = [path for path in home.rglob("*") if path.suffix in (".jsonl", ".log")]
    assert logs, "the change is on record"
    assert not [path for path in logs if secret in path.read_text("utf-8")]
    assert any("webhook-add" in path.read_text("utf-8") for path in logs)
    assert secret not in run("tenant", "web", "--json").stdout


def test_the_file_with_the_secrets_is_readable_by_its_owner_only(home: Path) -> None:
    hook("add", URL)
    assert (home / "state.db").stat().st_mode & 0o077 == 0
    with sqlite3.connect(home / "state.db") as connection:
        tables = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
    assert tables
    connection.close()


def test_a_rotation_shows_a_new_secret(home: Path) -> None:
    added = json.loads(hook("add", URL, "--json").stdout)
    rotated = json.loads(hook("rotate", added["endpoint"], "--json").stdout)
    assert rotated["secret"] != added["secret"]
    shown = hook("rotate", added["endpoint"]).output
    assert "secret: whsec_" in shown
    assert "not shown again" in shown


def test_an_endpoint_is_removed_and_enabled_by_its_own_tenant_only(home: Path) -> None:
    endpoint = json.loads(hook("add", URL, "--json").stdout)["endpoint"]
    for verb in ("remove", "rotate", "enable"):
        refused = hook(verb, endpoint, tenant="print")
        assert refused.exit_code == 2
        assert "has no webhook endpoint" in refused.output
    assert hook("enable", endpoint).exit_code == 0
    assert hook("remove", endpoint).exit_code == 0
    assert "no webhook endpoints" in hook("list").output


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "https://169.254.169.254/", "ftp://x/", "https://user:p@x/"])
def test_an_address_that_is_not_public_is_refused_with_what_is_allowed(url: str, home: Path) -> None:
    refused = hook("add", url)
    assert refused.exit_code == 2
    assert "allowed:" in refused.output


def test_a_tenant_has_at_most_ten_endpoints(home: Path) -> None:
    for number in range(10):
        assert hook("add", f"http://127.0.0.1:9/{number}").exit_code == 0
    refused = hook("add", URL)
    assert refused.exit_code == 1
    assert "allowed: 10" in refused.output


def test_a_replay_names_what_is_not_finished(home: Path) -> None:
    hook("add", URL)
    answer = hook("replay", "r-1", "--json")
    assert answer.exit_code == 1
    assert json.loads(answer.stdout) == {"deliveries": [], "errors": ["tenant web has no finished request r-1"]}
    assert hook("replay").exit_code == 2
    assert hook("replay", "r-1", "--dead").exit_code == 2
    assert hook("replay", "--dead").exit_code == 0


def test_deliveries_are_listed_with_the_reason_of_the_last_failure(home: Path) -> None:
    asyncio.run(_dead_delivery(home))
    (row,) = [json.loads(line) for line in hook("deliveries", "--state", "dead", "--json").stdout.splitlines()]
    assert (row["request_id"], row["state"], row["http_status"]) == ("r-1", "dead", 500)
    assert "the endpoint answered HTTP 500" in hook("deliveries").output
    assert hook("deliveries", "--state", "delivered").output == "no deliveries\n"
    assert json.loads(hook("replay", "--dead", "--json").stdout)["deliveries"] == [row["delivery"]]
    assert json.loads(hook("deliveries", "--json").stdout)["state"] == "pending"


async def _dead_delivery(home: Path) -> None:
    from shared.adapters.process.system_clock import SystemClock
    from shared.adapters.sqlite.store import SqliteStore
    from shared.core.lifecycle.queries import INDEXES
    from shared.core.values.documents import Create
    from shared.core.webhooks import delivery as deliveries
    from shared.core.webhooks.delivery import Attempted, WebhookDelivery

    clock = SystemClock()
    store = SqliteStore(home / "state.db", clock, INDEXES)
    dead = WebhookDelivery.new("web", "we_1", "r-1", "msg_1", "succeeded", clock.now()).dead(
        Attempted(clock.now(), 500, "the endpoint answered HTTP 500")
    )
    await store.commit(Create(deliveries.path("msg_1-we_1"), dead.to_json()))
    await store.close()
