"""The console changes flags and requests by a form of its own, in the name of the person who sent it."""

from __future__ import annotations

import getpass
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.routing import Route

from functions.console.app import app
from functions.console.desk import ConsoleContext
from shared.core.lifecycle import queries, request_record
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.core.routing.flag import BREAKER, Flag, Scope
from shared.core.routing.flag_board import Board
from shared.core.routing.flag_kinds import NAMES
from shared.core.values.documents import Create, Document
from shared.flows.operations import flags
from shared.flows.operations.flags import read_own
from tests.builders import a_record, a_request
from tests.console.conftest import ORIGIN, Browser, client_of

NOW = datetime.now(UTC)
ME = getpass.getuser()
LOWER = {
    "name": "lower-resolution",
    "to": "1K",
    "share": "100",
    "lasts": "30m",
    "reason": "overload",
    "flag_id": "1a2b",
}


async def board(desk: ConsoleContext) -> Board:
    return await read_own(desk.ports.store)


async def tripped(desk: ConsoleContext, flag_id: str = "use-flex-1a2b", **more: Any) -> Flag:
    flag = Flag(flag_id, "use-flex", "ann", "it is dear", NOW, NOW + timedelta(hours=1), **more)
    await flags.trip(desk.ports.store, desk.ports.signals, flag)
    return flag


def form_of(text: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that is sent there."""
    form = re.search(rf'<form[^>]* action="{re.escape(action)}".*?</form>', text, re.DOTALL)
    assert form is not None, action
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0]))


async def published(desk: ConsoleContext, function: str) -> list[dict[str, Any]]:
    name = next(subscription.name for subscription in SUBSCRIPTIONS if subscription.function == function)
    messages = await desk.ports.topics.pull(name, 10, timedelta(0))  # type: ignore[attr-defined]
    return [json.loads(item.data) for item in messages]


async def test_a_flag_is_tripped_in_the_name_of_whoever_looks_at_the_page_and_wakes_the_pump(
    desk: ConsoleContext, browser: Browser
) -> None:
    answer = await browser.send("/flags/trip", **LOWER, tenant="web", model="nano-banana-pro", share_of="x")
    assert answer.status_code == 303, answer.text
    (flag,) = (await board(desk)).flags.values()
    assert (flag.id, flag.actor, flag.reason, flag.to) == ("lower-resolution-1a2b", ME, "overload", "1K")
    assert flag.scope == Scope(tenant="web", model="gemini-3-pro-image")
    assert flag.expires_at - flag.tripped_at == timedelta(minutes=30)
    assert len(await published(desk, "pump")) == 1
    page = await browser.client.get(answer.headers["location"])
    assert "Tripped: lower-resolution-1a2b" in page.text
    (line,) = await desk.ports.store.query(queries.flag_history(10))
    assert (line.data["action"], line.data["actor"]) == ("trip", ME)


async def test_a_form_that_is_sent_twice_trips_one_flag_and_says_so(desk: ConsoleContext, browser: Browser) -> None:
    await browser.send("/flags/trip", **LOWER)
    again = await browser.send("/flags/trip", **LOWER)
    assert again.status_code == 409
    assert "is already active" in again.text
    assert len((await board(desk)).flags) == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "lower", "found &#39;lower&#39;; allowed: pause, lower-resolution"),
        ("to", "", "found nothing; allowed: 2K or 1K"),
        ("lasts", "soon", "found &#39;soon&#39;; allowed: a number and s, m, h or d"),
        ("lasts", "8d", "at most 7 days"),
        ("reason", "  ", "found nothing; allowed: 1 to 300 characters"),
        ("share", "0", "found &#39;0&#39;; allowed: a whole number from 1 to 100"),
        ("model", "gpt", "found &#39;gpt&#39;; allowed:"),
        ("tenant", "no tenant", "tenant"),
        ("lane", "fast", "allowed: standard"),
    ],
)
async def test_what_is_wrong_comes_back_beside_its_field_with_the_rest_as_it_was_filled_in(
    desk: ConsoleContext, browser: Browser, field: str, value: str, message: str
) -> None:
    answer = await browser.send("/flags/trip", **{**LOWER, "reason": "a reason to keep", field: value})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text or field == "name"
    assert message in answer.text
    assert ("a reason to keep" in answer.text) == (field not in ("reason", "name"))
    assert not (await board(desk)).flags


async def test_a_preview_says_how_many_of_what_waits_would_change_and_changes_nothing(
    desk: ConsoleContext, browser: Browser
) -> None:
    for number in range(4):
        size = "4K" if number else "1K"
        request = a_request(request_id=f"r-{number}", model="gemini-3-pro-image", image_size=size)
        await desk.ports.store.commit(Create(request_record.path(f"r-{number}"), a_record(request)))
    fields = {name: value for name, value in LOWER.items() if name != "reason"}
    whole = await browser.send("/flags/preview", **fields)
    assert "<html" in whole.text
    assert "<strong>3</strong> of the next 4 change" in whole.text
    assert "3: standard gemini-3-pro-image 4K -&gt; standard gemini-3-pro-image 1K" in whole.text
    assert not (await board(desk)).flags
    browser.client.headers["hx-request"] = "true"
    part = await browser.send("/flags/preview", **fields)
    assert "<html" not in part.text
    assert "<strong>3</strong> of the next 4 change" in part.text


async def test_a_flag_is_reset_and_extended_by_its_own_forms(desk: ConsoleContext, browser: Browser) -> None:
    flag = await tripped(desk)
    path = f"/flags/{flag.id}"
    page = (await browser.look("/flags")).text
    assert page.count(f'id="reason-{flag.id}"') == 1  # one reason for both
    answer = await browser.post(f"{path}/extend", **form_of(page, f"/console{path}/reset"), lasts="6h", reason="more")
    assert answer.status_code == 303, answer.text
    longer = (await board(desk)).flags[flag.id]
    assert timedelta(hours=5, minutes=59) < longer.expires_at - datetime.now(UTC) <= timedelta(hours=6)
    page = (await browser.look("/flags")).text
    answer = await browser.post(f"{path}/reset", **form_of(page, f"/console{path}/reset"), reason="it is over")
    assert answer.status_code == 303
    assert not (await board(desk)).flags
    lines = await desk.ports.store.query(queries.flag_history(10))
    assert [(line.data["action"], line.data["actor"]) for line in lines] == [
        ("reset", ME), ("extend", ME), ("trip", "ann"),
    ]  # fmt: skip


async def test_what_was_done_to_a_flag_is_undone_by_one_button_for_a_minute(
    desk: ConsoleContext, browser: Browser
) -> None:
    flag = await tripped(desk)
    answer = await browser.send(f"/flags/{flag.id}/reset", reason="too early")
    page = await browser.client.get(answer.headers["location"])
    assert 'id="undo"' in page.text
    undone = await browser.post(f"/flags/{flag.id}/undo", **form_of(page.text, f"/console/flags/{flag.id}/undo"))
    assert undone.status_code == 303
    assert (await board(desk)).flags == {flag.id: flag}
    page = await browser.client.get(undone.headers["location"])
    assert "Undone: use-flex-1a2b" in page.text
    assert 'id="undo"' not in page.text
    lines = await desk.ports.store.query(queries.flag_history(10))
    assert [(line.data["action"], line.data["actor"]) for line in lines] == [
        ("undo", ME), ("reset", ME), ("trip", "ann"),
    ]  # fmt: skip
    again = await browser.send(f"/flags/{flag.id}/undo")
    assert again.status_code == 409
    assert "nothing to undo" in again.text


async def test_a_preview_that_is_wrong_comes_back_as_a_part_that_names_the_field(browser: Browser) -> None:
    browser.client.headers["hx-request"] = "true"
    answer = await browser.send("/flags/preview", **{**LOWER, "share": "0"})
    assert answer.status_code == 422
    assert "<html" not in answer.text
    assert "found &#39;0&#39;; allowed: a whole number from 1 to 100" in answer.text
    assert 'href="#lower-resolution-share"' in answer.text


async def test_each_flags_form_has_the_fields_that_mean_something_and_says_what_it_does_today(
    desk: ConsoleContext, browser: Browser
) -> None:
    text = (await browser.look("/flags")).text
    forms = dict(re.findall(r'<details class="panel trip" id="trip-([a-z0-9-]+)"(.*?)</details>', text, re.DOTALL))
    assert list(forms) == list(NAMES)
    assert [name for name, form in forms.items() if 'name="to"' in form] == ["lower-resolution"]
    assert "Today this means gemini-nano-banana-2.1" in forms["use-nano-banana-2"]
    assert "No gateway is verified here: this changes nothing today." in forms["use-gateway"]
    assert " open>" not in text  # nothing is chosen for anybody


async def test_a_change_without_a_reason_or_with_a_strange_time_is_not_made(
    desk: ConsoleContext, browser: Browser
) -> None:
    flag = await tripped(desk)
    without = await browser.send(f"/flags/{flag.id}/reset")
    assert without.status_code == 422
    assert "found nothing; allowed: 1 to 300 characters" in without.text
    strange = await browser.send(f"/flags/{flag.id}/extend", reason="more", lasts="a while")
    assert strange.status_code == 422
    assert "found &#39;a while&#39;" in strange.text
    assert (await board(desk)).flags[flag.id].expires_at == flag.expires_at


async def test_a_flag_that_somebody_changed_meanwhile_is_left_and_the_page_says_so(
    desk: ConsoleContext, browser: Browser
) -> None:
    flag = await tripped(desk)
    page = (await browser.look("/flags")).text
    hidden = form_of(page, f"/console/flags/{flag.id}/reset")
    await flags.extend(desk.ports.store, desk.ports.signals, flag.id, NOW + timedelta(hours=3), "bob", "not yet")
    answer = await browser.post(f"/flags/{flag.id}/reset", **hidden, reason="it is over")
    assert answer.status_code == 409
    assert "has changed meanwhile" in answer.text
    assert flag.id in (await board(desk)).flags
    await flags.reset(desk.ports.store, desk.ports.signals, flag.id, "bob", "now")
    answer = await browser.post(f"/flags/{flag.id}/reset", **hidden, reason="it is over")
    assert answer.status_code == 409
    assert "is no longer active" in answer.text


async def test_a_breakers_flag_that_is_reset_here_stays_reset_for_a_while(
    desk: ConsoleContext, browser: Browser
) -> None:
    circuit = Scope(model="gemini-3-pro-image", lane="standard")
    flag = Flag("breaker-x", "use-nano-banana-2", BREAKER, "overload", NOW, NOW + timedelta(hours=1), scope=circuit)
    await flags.trip(desk.ports.store, desk.ports.signals, flag)
    assert (await browser.send("/flags/breaker-x/reset", reason="it is well")).status_code == 303
    assert "standard/gemini-3-pro-image" in (await board(desk)).overruled
    assert "Reset by hand: the breaker of standard/gemini-3-pro-image" in (await browser.look()).text


async def test_a_cancellation_is_confirmed_then_published_as_any_publisher_would(
    desk: ConsoleContext, browser: Browser
) -> None:
    await desk.ports.store.commit(Create(request_record.path("r-1"), a_record(a_request(request_id="r-1"))))
    assert "Cancel…" in (await browser.look("/requests/r-1")).text
    assert "Cancel it" in (await browser.look("/requests/r-1/cancel")).text
    assert await published(desk, "intake") == []
    answer = await browser.send("/requests/r-1/cancel", page="/requests/r-1/cancel")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/requests/r-1?did=cancel")
    assert await published(desk, "intake") == [{"cancel": "r-1"}]


async def test_a_revival_goes_round_again_in_the_name_of_whoever_asked_and_a_refused_one_says_why(
    desk: ConsoleContext, browser: Browser
) -> None:
    outcome = {"code": "overload", "message": "The provider said no.", "advice": ""}
    ended = {"status": "failed", "outcome": outcome, "finished_at": NOW, "announce": None}
    failed = a_record(a_request(request_id="r-1"), now=NOW - timedelta(minutes=1), **ended)
    await desk.ports.store.commit(
        Create(request_record.path("r-1"), failed),
        Create(request_record.path("r-2"), a_record(a_request(request_id="r-2"))),
    )
    assert "Revive…" in (await browser.look("/requests/r-1")).text
    assert "Revive…" not in (await browser.look("/requests/r-2")).text
    answer = await browser.send("/requests/r-1/revive", page="/requests/r-1/revive")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/requests/r-1?did=revive")
    (message,) = await published(desk, "intake")
    old = await desk.ports.store.get(request_record.path("r-1"))
    assert isinstance(old, Document)
    assert (old.data["revived_as"], old.data["revived_by"]) == (message["request_id"], ME)
    assert f'href="/console/requests/{message["request_id"]}"' in (await browser.look("/requests/r-1?did=revive")).text
    refused = await browser.send("/requests/r-2/revive", page="/requests/r-2/revive")
    assert refused.status_code == 409
    assert "found queued; allowed" in refused.text


def posts(desk: ConsoleContext) -> list[str]:
    routes = [route for route in app(desk).routes if isinstance(route, Route) and "POST" in (route.methods or ())]
    return [route.path.format(flag_id="use-flex-1a2b", request_id="r-1", tenant="web") for route in routes]


async def test_no_form_is_taken_without_its_token_from_elsewhere_or_under_another_name(
    desk: ConsoleContext, browser: Browser
) -> None:
    flag = await tripped(desk)
    await desk.ports.store.commit(Create(request_record.path("r-1"), a_record(a_request(request_id="r-1"))))
    page = (await browser.look("/flags")).text
    token = form_of(page, "/console/flags/trip")["token"]
    fields = {**LOWER, "reason": "forged"}
    assert len(posts(desk)) == 13
    for path in posts(desk):
        for answer in (
            await browser.post(path, **fields),
            await browser.post(path, token="0" * 64, **fields),
            await browser.post(path, token=token, origin="http://evil.example", **fields),
            await browser.post(path, token=token, origin="null", **fields),
            await browser.post(path, token=token, origin=None, **fields),
        ):
            assert answer.status_code == 403, (path, answer.text)
            assert "Nothing was changed" in answer.text
    async with client_of(desk) as other:  # the same person, in a browser that was given another cookie
        assert (await Browser(other).post("/flags/trip", token=token, **fields)).status_code == 403
    desk.identities = Named("eve")
    assert (await browser.post("/flags/trip", token=token, **fields)).status_code == 403
    assert list((await board(desk)).flags) == [flag.id]
    assert await published(desk, "intake") == []


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    async def actor(self, caller: object) -> str:
        return self.name


async def test_looking_changes_nothing(desk: ConsoleContext, browser: Browser) -> None:
    """But for the key that forms are signed with, which is made once."""
    await tripped(desk)
    await desk.ports.store.commit(Create(request_record.path("r-1"), a_record(a_request(request_id="r-1"))))
    await browser.look("/flags")
    paths = ("flags/board", "keys/console", "requests/r-1", "summary/summary", "pump/pump")
    before = await desk.ports.store.get_all(paths)
    for path in ("/", "/live", "/flags", "/failures", "/runbook", "/requests/r-1", "/requests/r-1/cancel",
                 "/requests/r-1/revive", "/requests/r-1/trace", "/search?id=r-1"):  # fmt: skip
        assert (await browser.look(path)).status_code in (200, 303)
    after = await desk.ports.store.get_all(paths)
    assert [document.version for document in before if isinstance(document, Document)] == [
        document.version for document in after if isinstance(document, Document)
    ]
    assert await published(desk, "intake") == await published(desk, "pump") == []


async def test_a_form_too_large_or_of_another_kind_is_refused(browser: Browser) -> None:
    large = await browser.send("/flags/trip", **{**LOWER, "reason": "x" * 70_000})
    assert large.status_code == 403
    assert "larger than 65,536 bytes" in large.text
    other = await browser.client.post("/console/flags/trip", json={}, headers={"origin": ORIGIN})
    assert other.status_code == 403
    assert "application/x-www-form-urlencoded" in other.text


async def test_the_cookie_is_for_this_site_alone_and_no_script(browser: Browser) -> None:
    text = (await browser.look("/flags")).headers["set-cookie"].lower()
    assert "samesite=strict" in text
    assert "httponly" in text
    assert "set-cookie" not in (await browser.look("/flags")).headers
