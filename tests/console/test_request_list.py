"""The list of requests: filters, pages, links from each number, and bulk changes of exactly what was previewed."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from PIL import Image

from functions.console.desk import ConsoleContext
from functions.console.request_pages import SIZE
from shared.adapters.payloads.thumbnail import EDGE
from shared.core.accounting.ledger import Cell
from shared.core.lifecycle import request_record
from shared.core.messages.request_key import key_of
from shared.core.provider.call import Picture
from shared.core.provider.outcome_code import OF_REQUESTS
from shared.core.values.documents import Create, Document, Update
from shared.flows.operations import request_list, tenants
from shared.flows.status import summary
from tests.builders import a_record, a_request
from tests.console.conftest import Browser
from tests.console.test_changes import form_of, published

PRO, LITE = "gemini-3-pro-image", "gemini-3.1-flash-lite-image"


async def put(
    desk: ConsoleContext, request_id: str, *, minutes: float = 1, tenant: str = "default", **changes: Any
) -> str:
    model = changes.pop("model", PRO)
    request = a_request(request_id=request_id, model=model, tenant=tenant)
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    key = key_of(tenant, request_id)
    await desk.ports.store.commit(Create(request_record.path(key), a_record(request, now=at, **changes)))
    return key


def an_end(status: str, code: str, minutes: float = 0.5) -> dict[str, Any]:
    outcome = {"code": code, "message": "The provider said no.", "advice": ""}
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    return {"status": status, "outcome": outcome, "finished_at": at, "announce": None}


def keys(text: str) -> list[str]:
    return re.findall(r'href="/console/requests/([^"?]+)" id="r-', text)


async def some(desk: ConsoleContext) -> None:
    await put(desk, "hero-1", minutes=4)
    await put(desk, "hero-2", minutes=3, tenant="web", model=LITE)
    await put(desk, "poster-3", minutes=2, tenant="web", flags=["use-flex-1a2b"], **an_end("failed", "overload"))
    await put(desk, "poster-4", minutes=90, **an_end("failed", "budget", 80), cost_micros=90_000)
    await put(desk, "poster-5", minutes=1, **an_end("succeeded", "succeeded"), cost_micros=134_000)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ["poster-5", "web~poster-3", "web~hero-2", "hero-1", "poster-4"]),
        ("status=failed", ["web~poster-3", "poster-4"]),
        ("status=queued&tenant=web", ["web~hero-2"]),
        ("tenant=web", ["web~poster-3", "web~hero-2"]),
        ("outcome=budget", ["poster-4"]),
        (f"model={LITE}", ["web~hero-2"]),
        ("flag=use-flex", ["web~poster-3"]),
        ("flag=use-flex-1a2b", ["web~poster-3"]),
        ("lane=flex", []),
        ("since=1h&status=failed", ["web~poster-3"]),
        ("until=1h", ["poster-4"]),
        ("text=HERO", ["web~hero-2", "hero-1"]),
        ("sort=dearest&text=poster", ["poster-5", "poster-4", "web~poster-3"]),
        ("sort=longest&status=queued", ["hero-1", "web~hero-2"]),
    ],
)
async def test_a_list_shows_what_its_filters_mean(
    desk: ConsoleContext, browser: Browser, query: str, wanted: list[str]
) -> None:
    await some(desk)
    answer = await browser.look(f"/requests?{query}")
    assert answer.status_code == 200
    assert [key.replace("%7E", "~") for key in keys(answer.text)] == wanted


async def test_the_overview_counts_what_awaits_the_provider_and_leads_to_its_list(
    desk: ConsoleContext, browser: Browser
) -> None:
    now = datetime.now(UTC)
    rendering: dict[str, Any] = {"status": "rendering", "attempt_count": 1}
    for number, minutes in ((1, 7), (2, 2)):
        away: dict[str, Any] = {
            "interaction_id": f"v1_{number}",
            "collect_at": now,
            "slot_at": now - timedelta(minutes=minutes),
        }
        await put(desk, f"away-{number}", minutes=minutes, **rendering, **away)
    await put(desk, "held", **rendering, slot_at=now, lease_holder="b", lease_until=now)
    await summary.write(desk.ports)
    overview = (await browser.look("/")).text
    (link,) = re.findall(r'<a href="/console/(requests[^"]*)" id="awaiting-all">2 awaiting the provider</a>', overview)
    assert re.search(r"the longest for (<[^>]*>)?7 ?m", overview)
    assert keys((await browser.look(f"/{link}")).text) == ["away-2", "away-1"]


@pytest.mark.parametrize("name", ["status", "model", "since", "lane", "text"])
async def test_a_filter_that_means_nothing_is_named_and_the_list_still_shows(browser: Browser, name: str) -> None:
    answer = await browser.look(f"/requests?{name}=%3Cb%3E")
    assert answer.status_code == 422
    assert "allowed:" in answer.text
    assert "<b>" not in answer.text


async def test_pages_follow_each_other_without_a_gap_or_a_repetition(desk: ConsoleContext, browser: Browser) -> None:
    for index in range(SIZE + 30):  # ten at a time at the same moment
        await put(desk, f"r-{index:03}", minutes=1 + index // 10)
    shown: list[str] = []
    path = "/requests?status=queued"
    for _ in range(5):
        text = (await browser.look(path)).text
        shown += keys(text)
        older = re.search(r'id="next" rel="next" href="/console([^"]+)"', text)
        if older is None:
            break
        path = older[1].replace("&amp;", "&")
    assert len(shown) == SIZE + 30
    assert sorted(shown) == [f"r-{index:03}" for index in range(SIZE + 30)]


async def test_a_search_looks_behind_all_that_is_newer_and_says_where_it_stopped(
    desk: ConsoleContext, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(desk, "the-needle", minutes=600)
    for number in range(2 * SIZE + 7):
        await put(desk, f"hay-{number:03}", minutes=number)
    for query in ("text=needle", "text=needle&sort=longest", f"text=needle&model={PRO}"):
        page = (await browser.look(f"/requests?{query}")).text
        assert keys(page) == ["the-needle"], query
    monkeypatch.setattr(request_list, "MOST_READ", 2 * SIZE)
    page = (await browser.look("/requests?text=needle")).text
    assert re.search(r"among the newest [12]\d\d", page)
    older = re.search(r'rel="next" href="([^"]+)"', page)
    assert older is not None
    assert keys((await browser.client.get(unescape(older[1]))).text) == ["the-needle"]


async def test_all_that_match_are_cancelled_after_a_preview_that_names_them(
    desk: ConsoleContext, browser: Browser
) -> None:
    await some(desk)
    preview = (await browser.look("/bulk/cancel?text=hero")).text
    assert "Cancel 2 requests?" in preview
    assert "web 1" in preview
    assert await published(desk, "intake") == []
    form = form_of(preview, "/console/bulk/cancel")
    assert set(form["keys"].split()) == {"hero-1", "web~hero-2"}
    await put(desk, "hero-9")  # came after the preview: not meant
    done = await browser.post("/bulk/cancel", **form)
    assert done.status_code == 303
    messages = await published(desk, "intake")
    assert sorted((message["cancel"], message.get("tenant", "default")) for message in messages) == [
        ("hero-1", "default"), ("hero-2", "web"),
    ]  # fmt: skip
    after = (await browser.client.get(done.headers["location"])).text
    assert "Cancellation requested: 2 requests" in after
    assert 'value="hero"' in after


async def test_failed_requests_are_retried_in_bulk_and_one_that_changed_meanwhile_is_left(
    desk: ConsoleContext, browser: Browser
) -> None:
    await some(desk)
    await put(desk, "no-1", **an_end("refused", "refused"))
    preview = (await browser.look("/bulk/revive?text=o-&status=")).text
    assert "no-1" not in form_of(preview, "/console/bulk/revive")["keys"]
    assert "refused 1" in preview
    preview = (await browser.look("/bulk/revive?status=failed")).text
    assert "overload 1" in preview
    form = form_of(preview, "/console/bulk/revive")
    document = await desk.ports.store.get(request_record.path("poster-4"))
    assert isinstance(document, Document)
    await desk.ports.store.commit(Update(document.path, {"revived_as": "poster-4-r1"}, document.version))
    done = await browser.post("/bulk/revive", **form)
    assert "count=1&failed=1" in done.headers["location"]
    assert [row["request_id"] for row in await published(desk, "intake")] == ["poster-3-r2"]
    assert "1 had changed meanwhile" in (await browser.client.get(done.headers["location"])).text


async def test_images_are_a_gallery_of_small_ones(desk: ConsoleContext, browser: Browser) -> None:
    out = io.BytesIO()
    Image.new("RGB", (2048, 1024), "teal").save(out, "PNG")
    stored = await desk.ports.images.put("web/2026-11-22/a/1.png", Picture(out.getvalue(), "image/png", 2048, 1024), {})
    await put(desk, "made", **an_end("succeeded", "succeeded"), image_uri=stored.uri)
    text = (await browser.look("/requests?view=gallery")).text
    assert 'src="/console/requests/made/thumbnail"' in text
    answer = await browser.look("/requests/made/thumbnail")
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (EDGE, EDGE // 2)
    odd = await desk.ports.images.put("web/2026-11-22/b/1.png", Picture(b"<script>", "image/png", 8, 8), {})
    await put(desk, "odd", **an_end("succeeded", "succeeded"), image_uri=odd.uri)
    answer = await browser.look("/requests/odd/thumbnail")
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_a_part_of_an_id_leads_to_the_list_and_a_whole_one_to_its_request(
    desk: ConsoleContext, browser: Browser
) -> None:
    await some(desk)
    whole = await browser.look("/search?id=%20web~hero-2%20")
    assert whole.headers["location"] == "/console/requests/web~hero-2"
    part = await browser.look("/search?id=hero")
    assert part.headers["location"] == "/console/requests?text=hero"
    wrong = await browser.look("/search?id=../etc")
    assert wrong.status_code == 422
    assert "allowed: 1 to 128" in wrong.text


async def test_every_outcome_of_the_runbook_can_be_asked_for_and_leads_back(browser: Browser) -> None:
    text = (await browser.look("/runbook")).text
    chapters = re.findall(r'<section class="panel" id="([a-z_-]+)"', text)
    assert len(chapters) > 40
    for outcome in OF_REQUESTS:
        assert outcome in chapters
        assert f'href="/console/requests?outcome={outcome}&amp;since=1d" id="list-{outcome}"' in text
    assert '<nav class="panel contents"' in text
    assert all(f'href="#{chapter}"' in text for chapter in chapters)
    assert "<code>renderlane" in text


async def test_a_budget_is_raised_with_a_reason_and_a_changed_one_is_left(
    desk: ConsoleContext, browser: Browser
) -> None:
    await tenants.set_budget(desk.ports.store, "press", limit_micros=3_000_000, period="month")
    page = (await browser.look("/budgets")).text
    assert "of $3.00 spent" in page
    form = form_of(page, "/console/budgets/press")
    wrong = await browser.post("/budgets/press", **form, limit="a lot", reason="")
    assert wrong.status_code == 422
    assert "limit: found &#39;a lot&#39;; allowed: dollars such as 12.50" in wrong.text
    assert "reason: found nothing; allowed: 1 to 300 characters" in wrong.text
    assert 'value="a lot"' in wrong.text
    done = await browser.post("/budgets/press", **form, limit="$4.50", reason="a fair")
    assert (done.status_code, done.headers["location"]) == (303, "/console/budgets?did=set&tenant=press#press")
    assert "of $4.50 spent" in (await browser.look("/budgets")).text
    again = await browser.post("/budgets/press", **form, limit="9", reason="more")
    assert (again.status_code, "has changed meanwhile" in again.text) == (409, True)
    assert "of $4.50 spent" in again.text


async def test_a_change_of_a_budget_has_a_history_and_is_taken_back_within_a_minute(
    desk: ConsoleContext, browser: Browser
) -> None:
    await tenants.set_budget(desk.ports.store, "press", limit_micros=3_000_000)
    form = form_of((await browser.look("/budgets")).text, "/console/budgets/press")
    await browser.post("/budgets/press", **form, limit="6", reason="a fair")
    page = (await browser.look("/budgets?did=set&tenant=press")).text
    assert "Changed: the budget of press" in page
    assert "$3.00 → $6.00" in page
    assert "a fair" in page
    undone = await browser.post("/budgets/press/undo", **form_of(page, "/console/budgets/press/undo"))
    assert undone.headers["location"] == "/console/budgets?did=undo&tenant=press#press"
    page = (await browser.look("/budgets")).text
    assert "of $3.00 spent" in page
    assert "$6.00 → $3.00" in page
    assert "/budgets/press/undo" not in page
    again = await browser.post("/budgets/press/undo", **form)
    assert (again.status_code, "nothing was changed within a minute" in again.text) == (409, True)


async def test_what_was_paid_for_today_is_split_and_free_calls_are_counted(
    desk: ConsoleContext, browser: Browser
) -> None:
    now = (await desk.ports.store.get("summary/summary")).read_at
    cell = Cell(now.date().isoformat(), "web", "gemini-3-pro-image", "standard", ())
    amounts = {
        "attempts": 9, "images": 4, "cost_micros": 600_000, "micros_first": 400_000, "micros_retry": 200_000,
        "micros_retry_once": 134_000, "micros_retry_again": 66_000, "attempts_free": 5,
    }  # fmt: skip
    await desk.ports.store.commit(cell.increment(amounts, 0, now))
    await summary.write(desk.ports)
    page = (await browser.look("/budgets")).text
    assert re.search(r"paid again: [^<]+</th><td class=\"number warn\">\$0\.07<", page)
    assert "5 calls cost nothing" in page
    overview = (await browser.look("/")).text
    assert "$0.07 of it was paid again" in overview
    assert "5 rejected calls cost nothing" in overview
