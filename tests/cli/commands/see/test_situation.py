"""`renderlane status` without an id says what the console's first line says."""

from __future__ import annotations

import asyncio
import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest

from functions.console.app import desk_of
from scripts.cli.data import worker_home
from shared import wiring
from shared.core.lifecycle import request_record
from shared.core.observability.verdict import State
from shared.core.values.documents import Create
from shared.flows.status import summary
from shared.wiring import Worker
from tests.builders import a_record, a_request
from tests.cli.conftest import json_lines, renderlane
from tests.console import states
from tests.console.browser.test_five_seconds import MUST_SAY
from tests.console.conftest import Browser, client_of

SIGNS = {"green": "●", "amber": "▲", "red": "■"}


async def title_on_the_console(state: State) -> str:
    """Of this home, which is in that state from here on."""
    settings = worker_home.read_settings()
    worker = Worker.of(wiring.build(settings, io.StringIO()))
    await states.furnish(worker.ports, state)
    async with client_of(desk_of(worker, settings)) as client:
        page = (await Browser(client).look()).text
    await worker.close()
    title = re.search(r'<h1 id="verdict-title">(.*?)</h1>', page)
    assert title is not None
    return unescape(title[1])


@pytest.mark.parametrize("state", MUST_SAY)
def test_the_first_line_is_the_consoles_with_the_same_next_step(
    home: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    level, title, phrases = MUST_SAY[state]
    home.mkdir()
    monkeypatch.setattr(worker_home, "may_run", lambda _: True)  # as far as this process can tell
    assert asyncio.run(title_on_the_console(state)) == title
    shown = renderlane("status")
    first, *rest = shown.stdout.splitlines()
    assert first == f"{SIGNS[level]} {title}"
    assert shown.exit_code == (1 if level == "red" else 0)
    words = " ".join(line.strip() for line in rest)
    for phrase in phrases:
        if phrase not in ("Open the flag", "Raise"):  # buttons of the page
            assert phrase in words
    (document,) = json_lines(renderlane("status", "--json").stdout)
    assert (document["state"], document["level"], document["title"]) == (state, level, title)
    assert document["next_step"] in words
    if document["cost_today_usd"] is not None:  # read once a minute: its age is said
        assert re.search(r"\$[\d.,]+ today, as read \d+ \w+ ago", words)
        assert document["cost_read_at"] is not None


def test_a_home_whose_worker_was_killed_is_not_called_idle(home: Path) -> None:
    home.mkdir()
    asyncio.run(title_on_the_console("idle"))
    shown = renderlane("status")
    assert shown.stdout.splitlines()[0] == "▲ No worker is running"
    assert "Start one: `renderlane up`" in " ".join(shown.stdout.split())
    (document,) = json_lines(renderlane("status", "--json").stdout)
    assert document["state"] == "worker gone"


def test_what_awaits_the_provider_is_counted_with_its_age(home: Path) -> None:
    home.mkdir()
    asyncio.run(_away())
    assert "2 awaiting the provider, the longest for 7" in " ".join(renderlane("status").stdout.split())
    (document,) = json_lines(renderlane("status", "--json").stdout)
    assert (document["awaiting_provider"], document["in_flight"]) == (2, 2)
    assert document["awaiting_since"]


async def _away() -> None:
    ports = wiring.build(worker_home.read_settings(), io.StringIO())
    now = datetime.now(UTC)
    for number, minutes in ((1, 7), (2, 3)):
        slot_at = now - timedelta(minutes=minutes)
        record = a_record(
            a_request(request_id=f"away-{number}"), now=slot_at, status="rendering", attempt_count=1,
            interaction_id=f"v1_{number}", collect_at=now, slot_at=slot_at,
        )  # fmt: skip
        await ports.store.commit(Create(request_record.path(f"away-{number}"), record))
    await summary.write(ports)
    await ports.store.close()


def test_a_request_that_has_not_ended_says_what_comes_next_as_its_page_does(home: Path) -> None:
    home.mkdir()
    page = asyncio.run(page_of("one route failing", "shop-3-000"))
    shown = " ".join(renderlane("status", "shop-3-000").stdout.split())
    for words in re.findall(r"<strong>Next:</strong> (.*?)</p>", page):
        assert unescape(words) in shown
    assert "waits every route is unavailable" in shown
    assert "next It continues" in shown or "next It takes" in shown


async def page_of(state: State, request_id: str) -> str:
    settings = worker_home.read_settings()
    worker = Worker.of(wiring.build(settings, io.StringIO()))
    await states.furnish(worker.ports, state)
    async with client_of(desk_of(worker, settings)) as client:
        page = (await Browser(client).look(f"/requests/{request_id}")).text
    await worker.close()
    assert "<strong>Next:</strong>" in page
    return page


def test_a_home_that_never_ran_says_so_and_options_of_requests_need_an_id(home: Path) -> None:
    assert renderlane("status").exit_code == 2
    assert "no worker has ever run here" in renderlane("status").stderr
    refused = renderlane("status", "--watch")
    assert (refused.exit_code, "Name the requests" in refused.stderr) == (2, True)
