"""The pages over a store with requests in it: what is on them, and what never is."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from functions.console import panels
from functions.console.desk import ConsoleContext
from shared.core.accounting.budget import OVER_BUDGET, OVERS, Over
from shared.core.admission.route_memory import Routing
from shared.core.lifecycle import request_record
from shared.core.observability.verdict import GRAVEST, State
from shared.core.provider.call import Picture
from shared.core.routing.flag import Flag, Scope
from shared.core.values.documents import Create, Document, Update
from shared.flows.operations import flags, tenants
from shared.flows.pump_status import PUMP
from shared.flows.status import summary
from tests.builders import a_record, a_request, an_attempt
from tests.console import states
from tests.console.conftest import Browser

PRO = "gemini-3-pro-image"
SECRET = "zebra-crossing-in-the-rain-4711"


def now() -> datetime:
    return datetime.now(UTC)


def waits(request_id: str, minutes: int = 3, **fields: object) -> Create:
    request = a_request(request_id=request_id, prompt=SECRET, **fields)
    return Create(request_record.path(request_id), a_record(request, now=now() - timedelta(minutes=minutes)))


def ended(request_id: str, code: str, status: str = "failed", minutes: int = 2) -> Create:
    request = a_request(request_id=request_id, prompt=SECRET)
    outcome = {"code": code, "message": "The provider said no.", "advice": "Try again."}
    at = now() - timedelta(minutes=minutes)
    changes = {"status": status, "outcome": outcome, "finished_at": at, "announce": None}
    return Create(request_record.path(request_id), a_record(request, now=at - timedelta(seconds=9), **changes))


async def rendering(desk: ConsoleContext, request_id: str) -> None:
    request, attempt = an_attempt(a_request(request_id=request_id, model=PRO, prompt=SECRET), now=now())
    await desk.ports.store.commit(Create(request.path, request.data), Create(attempt.path, attempt.data))


async def test_the_overview_shows_what_waits_what_runs_what_failed_and_what_is_tripped(
    desk: ConsoleContext, browser: Browser
) -> None:
    store = desk.ports.store
    await store.commit(
        *(waits(f"w-{number}", model=PRO, priority="bulk", tenant="web") for number in range(12)),
        waits("n-1", minutes=17, model=PRO, tenant="print"),
        ended("f-1", "overload"), ended("f-2", "overload"), ended("s-1", "refused", "refused"),
    )  # fmt: skip
    await rendering(desk, "run-1")
    await tenants.set_budget(store, "web", limit_micros=12_500_000)
    flag = Flag(
        "pause-1a2b", "pause", "ann", "the lamp burns", now(), now() + timedelta(hours=1), scope=Scope(tenant="shop")
    )
    await flags.trip(store, desk.ports.signals, flag)
    await summary.write(desk.ports)
    text = (await browser.look()).text
    assert f">Renderlane {desk.ports.release.name}</span></footer>" in text
    for shown in ("<strong>13</strong>", "bulk", ">12<", "print", "17 min", 'href="/console/requests/run-1"',
                  "overload", "$12.50", "the lamp burns", "tenant=shop", 'href="/console/requests/f-',
                  "/runbook#overload", "ann", 'href="/console/requests?status=queued&amp;model=gemini-3-pro-image"',
                  'href="/console/requests?status=failed&amp;outcome=overload&amp;since=1h"'):  # fmt: skip
        assert shown in text, shown
    assert text.index("overload") < text.index("refused</")
    assert SECRET not in text


async def test_a_console_of_an_empty_home_takes_no_space_for_what_is_not_there_and_says_how_to_begin(
    browser: Browser,
) -> None:
    answer = await browser.look()
    assert answer.status_code == 200
    for shown in ("No worker has reported yet", "No data yet", "renderlane submit"):
        assert shown in answer.text
    for panel in ("flags", "queue", "quota", "running", "failures", "cost", "workers", "routes"):
        assert re.search(rf'<section id="{panel}" class="panel"[^>]* hidden>\s*</section>', answer.text), panel


@pytest.mark.parametrize("state", GRAVEST)
async def test_each_state_is_named_on_top_with_its_next_step(
    desk: ConsoleContext, browser: Browser, state: State
) -> None:
    await states.furnish(desk.ports, state)
    text = (await browser.look()).text
    assert f'data-state="{state}"' in text
    assert text.index('id="verdict"') < text.index('id="time"')
    assert "<strong>Next:</strong>" in text
    assert 'class="timechart' in text
    part = (await browser.look("/live")).text
    assert f'data-state="{state}"' in part
    assert 'class="timechart' not in part


async def test_a_tenants_reason_is_its_own_and_never_somebody_elses(desk: ConsoleContext, browser: Browser) -> None:
    store = desk.ports.store
    await store.commit(
        *(waits(f"p-{number}", model=PRO, tenant="press") for number in range(3)),
        *(waits(f"w-{number}", model=PRO, tenant="web") for number in range(2)),
    )
    end = now() + timedelta(hours=1)
    flag = Flag("pause-1a2b", "pause", "ann", "press has no budget", now(), end, scope=Scope(tenant="press"))
    await flags.trip(store, desk.ports.signals, flag)
    tenants_why = {
        "press": {"reason": "paused", "why": "flag pause"},
        "web": {"reason": "no route", "why": "breaker: overload"},
    }
    reasons = {PRO: {"reason": "no route", "until": None, "why": "breaker: overload", "tenants": tenants_why}}
    await store.commit(Create(PUMP, {"routing": Routing().to_json(), "held": reasons, "lead_until": None}))
    await summary.write(desk.ports)
    view = await panels.look(desk.ports)
    (queue,) = view.queues
    assert {own.tenant: own.reason for own in queue.tenants} == {
        "press": "paused by ann: press has no budget",
        "web": "every route is unavailable: breaker: overload",
    }
    assert view.verdict.first.state == "one route failing"
    text = (await browser.look()).text
    assert "no route is available" in text
    assert "Paused for tenant=press by ann" in text


async def test_a_panel_refreshes_without_the_page_and_a_flag_shows_at_once_between_two_summaries(
    desk: ConsoleContext, browser: Browser
) -> None:
    await summary.write(desk.ports)
    flag = Flag("use-flex-1a2b", "use-flex", "ann", "it is dear", now(), now() + timedelta(hours=1))
    await flags.trip(desk.ports.store, desk.ports.signals, flag)
    part = (await browser.look("/live")).text
    assert "<html" not in part
    assert part.count('hx-swap-oob="true"') == 11
    assert "it is dear" in part


async def test_a_summary_that_nobody_renews_asks_for_a_person(desk: ConsoleContext, browser: Browser) -> None:
    await summary.write(desk.ports)
    document = await desk.ports.store.get("summary/summary")
    assert isinstance(document, Document)
    await desk.ports.store.commit(Update(document.path, {"at": now() - timedelta(minutes=9)}, document.version))
    text = (await browser.look()).text
    assert "No worker: silent for 9 min" in text
    assert 'class="verdict red"' in text
    assert "/runbook#watch-is-silent" in text


async def test_failures_stand_by_outcome_with_their_line_of_the_runbook_and_their_newest_requests(
    desk: ConsoleContext, browser: Browser
) -> None:
    await desk.ports.store.commit(*(ended(f"f-{number}", "overload", minutes=number + 1) for number in range(7)))
    await desk.ports.store.commit(ended("long-ago", "overload", minutes=61))
    await summary.write(desk.ports)
    text = (await browser.look("/failures")).text
    assert '<span class="count">7</span>' in text
    assert 'href="/console/requests/f-0"' in text
    assert "long-ago" not in text
    assert "/runbook#overload" in text
    assert "Next move" in text


async def test_a_requests_page_shows_receipt_attempts_and_advice_and_its_prompt_only_when_asked(
    desk: ConsoleContext, browser: Browser
) -> None:
    await rendering(desk, "run-1")
    text = (await browser.look("/requests/run-1")).text
    for shown in ("rendering", "Attempts", "in flight", "3-pro", "Show the prompt"):
        assert shown in text
    assert SECRET not in text
    assert "Cancel…" not in text  # it has begun
    assert (await browser.look("/requests/run-1/prompt")).status_code == 405
    shown_now = await browser.send("/requests/run-1/prompt", page="/requests/run-1")
    assert SECRET in shown_now.text
    assert SECRET not in str(shown_now.url)


async def test_a_packet_holds_the_prompt_only_when_asked_and_the_key_never(
    desk: ConsoleContext, browser: Browser
) -> None:
    await rendering(desk, "run-1")
    without = await browser.look("/requests/run-1/packet")
    assert SECRET not in without.text
    assert "curl -sS" in without.text
    assert "$GEMINI_API_KEY" in without.text
    with_it = await browser.send("/requests/run-1/packet", page="/requests/run-1/packet")
    assert SECRET in with_it.text


async def test_an_image_comes_through_the_console_with_its_own_type(desk: ConsoleContext, browser: Browser) -> None:
    data = b"\x89PNG\r\n\x1a\n" + b"pixels"
    stored = await desk.ports.images.put("web/2026-11-22/abc/1.png", Picture(data, "image/png", 8, 8), {})
    create = ended("made", "succeeded", "succeeded")
    await desk.ports.store.commit(Create(create.path, {**create.data, "image_uri": stored.uri}))
    answer = await browser.look("/requests/made/image")
    assert answer.content == data
    assert answer.headers["content-type"] == "image/png"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert 'src="/console/requests/made/image"' in (await browser.look("/requests/made")).text


async def test_bytes_that_are_no_image_are_never_shown_as_a_page(desk: ConsoleContext, browser: Browser) -> None:
    picture = Picture(b"<script>alert(1)</script>", "image/png", 8, 8)
    stored = await desk.ports.images.put("web/2026-11-22/abc/1.png", picture, {})
    create = ended("odd", "succeeded", "succeeded")
    await desk.ports.store.commit(Create(create.path, {**create.data, "image_uri": stored.uri}))
    answer = await browser.look("/requests/odd/image")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_trace_is_drawn_from_the_store_where_no_spans_are_kept(desk: ConsoleContext, browser: Browser) -> None:
    await rendering(desk, "run-1")
    page = await browser.look("/requests/run-1/trace")
    assert "queue wait" in page.text
    assert "<svg" in page.text
    assert "; from the store" in page.text
    part = await browser.look("/requests/run-1/trace", **{"hx-request": "true"})
    assert "<html" not in part.text


async def test_an_unknown_request_is_said_to_be_unknown(browser: Browser) -> None:
    unknown = await browser.look("/requests/run-1")
    assert unknown.status_code == 404
    assert "no such request" in unknown.text
    assert 'aria-label="Console"' in unknown.text
    assert 'href="/console/requests?text=run-1"' in unknown.text
    nowhere = await browser.look("/no-such-page")
    assert (nowhere.status_code, 'aria-label="Console"' in nowhere.text) == (404, True)


async def test_what_others_wrote_is_never_markup(desk: ConsoleContext, browser: Browser) -> None:
    reason = "<script>alert(1)</script> & more"
    flag = Flag("use-flex-1a2b", "use-flex", "<b>ann</b>", reason, now(), now() + timedelta(hours=1))
    await flags.trip(desk.ports.store, desk.ports.signals, flag)
    for path in ("/", "/flags", "/live"):
        text = (await browser.look(path)).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert "<script>alert" not in text
        assert "<b>ann" not in text


async def test_the_runbook_has_every_heading_to_jump_to(browser: Browser) -> None:
    text = (await browser.look("/runbook")).text
    for heading in ("overload", "no-route", "refused", "watch-is-silent"):
        assert f'id="{heading}"' in text


@pytest.mark.parametrize("over", OVERS)
async def test_a_budget_that_is_used_up_is_said_to_hold_requests_back(
    desk: ConsoleContext, browser: Browser, over: Over
) -> None:
    await tenants.set_budget(desk.ports.store, "web", limit_micros=1_000_000, over=over)
    create = waits("w-1", tenant="web")
    await desk.ports.store.commit(Create(create.path, {**create.data, "reason": OVER_BUDGET, "wake_at": now()}))
    await summary.write(desk.ports)
    text = (await browser.look()).text
    assert "Budget of web is used up" in text
    assert "1 request waits for budget" in text
    assert 'class="verdict amber"' in text


async def test_a_request_that_awaits_the_provider_says_so_and_can_be_cancelled(
    desk: ConsoleContext, browser: Browser
) -> None:
    await rendering(desk, "held-1")
    await rendering(desk, "away-1")
    document = await desk.ports.store.get(request_record.path("away-1"))
    assert isinstance(document, Document)
    changes = {"interaction_id": "v1_far", "collect_at": now(), "slot_at": now() - timedelta(seconds=42)}
    await desk.ports.store.commit(Update(document.path, changes, document.version))
    away = (await browser.look("/requests/away-1")).text
    assert "Awaiting the provider" in away
    assert "42 s" in away
    assert "v1_far" in away
    assert 'id="to-cancel"' in away
    by_worker = (await browser.look("/requests/held-1")).text
    assert "Awaiting the provider" not in by_worker
    assert 'id="to-cancel"' not in by_worker
