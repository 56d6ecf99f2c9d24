"""The page of one request: why it stands, what happens next and when, its ladder, and what has not ended yet."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from functions.console.desk import ConsoleContext
from functions.console.one_request import find, spans_of
from shared.core.accounting.budget import OVER_BUDGET
from shared.core.lifecycle import request_record
from shared.core.observability.trace_tree import SpanView
from shared.core.routing.flag import BREAKER, Flag, Scope
from shared.core.values.documents import Create
from shared.flows.operations import flags
from shared.flows.status import summary
from tests.builders import a_record, a_request, an_attempt
from tests.console.conftest import Browser

PRO = "gemini-3-pro-image"


def now() -> datetime:
    return datetime.now(UTC)


async def queued(desk: ConsoleContext, **changes: Any) -> None:
    fields = {name: changes.pop(name) for name in ("floor", "image_size") if name in changes}
    request = a_request(request_id="r-1", model=PRO, **fields)
    record = a_record(request, now=now() - timedelta(minutes=1), **changes)
    await desk.ports.store.commit(Create(request_record.path("r-1"), record))
    await summary.write(desk.ports)


async def breakers(desk: ConsoleContext) -> None:
    """On every lane that the request may take."""
    until = now() + timedelta(hours=1)
    for lane in ("standard", "flex"):
        why, scope = f"{lane}/{PRO}: overload, 5 of 5 calls in 10 s", Scope(model=PRO, lane=lane)
        flag = Flag(f"breaker-{lane}", "use-nano-banana-2", BREAKER, why, now(), until, scope=scope)
        await flags.trip(desk.ports.store, desk.ports.signals, flag)


async def test_a_request_that_waits_says_which_route_it_takes_and_shows_its_ladder(
    desk: ConsoleContext, browser: Browser
) -> None:
    await queued(desk)
    text = (await browser.look("/requests/r-1")).text
    assert "Queued for 1 min: next in turn." in text
    assert f"It takes standard {PRO} 1K, estimated $" in text
    assert "as soon as there is a slot" in text or "no pump leads: unknown" in text
    ladder = re.search(r'<h2 id="ladder-title">.*?</table>', text, re.DOTALL)
    assert ladder is not None
    assert "● chosen" in ladder[0]
    assert "rejected" in ladder[0]


async def test_a_request_that_accepts_no_other_route_says_that_it_waits_for_the_breaker(
    desk: ConsoleContext, browser: Browser
) -> None:
    await queued(desk, floor={"model": PRO})
    await breakers(desk)
    text = (await browser.look("/requests/r-1")).text
    assert "It continues when one of its routes opens:" in text
    assert "breaker" in text
    assert "breakers are probed every 15 s" in text
    part = (await browser.look("/requests/r-1?part=facts")).text
    assert "It continues when one of its routes opens:" in part


async def test_a_paused_request_says_until_when(desk: ConsoleContext, browser: Browser) -> None:
    await queued(desk)
    flag = Flag("pause-1a2b", "pause", "ann", "the lamp burns", now(), now() + timedelta(minutes=90))
    await flags.trip(desk.ports.store, desk.ports.signals, flag)
    text = (await browser.look("/requests/r-1")).text
    assert "paused by ann: the lamp burns" in text
    assert "It continues when the pause is reset or expires." in text
    assert "at the latest in" in text
    assert "1 h 29 min" in text


async def test_a_request_that_waits_for_its_budget_leads_to_it(desk: ConsoleContext, browser: Browser) -> None:
    await queued(desk, wake_at=now() + timedelta(hours=3), reason=OVER_BUDGET)
    text = (await browser.look("/requests/r-1")).text
    assert "when the budget is raised, else in" in text
    assert re.search(r'id="to-budget" href="/console/budgets#\w+"', text)


async def test_an_attempt_in_flight_says_how_long_it_runs(desk: ConsoleContext, browser: Browser) -> None:
    request, attempt = an_attempt(a_request(request_id="r-1", model=PRO), now=now())
    await desk.ports.store.commit(Create(request.path, request.data), Create(attempt.path, attempt.data))
    text = (await browser.look("/requests/r-1")).text
    assert "Attempt 1 runs for" in text
    assert "Its image is stored and announced" in text


async def test_a_request_that_has_ended_has_nothing_before_it(desk: ConsoleContext, browser: Browser) -> None:
    outcome = {"code": "overload", "message": "The provider said no.", "advice": "Try again."}
    await queued(desk, status="failed", outcome=outcome, finished_at=now(), announce=None)
    text = (await browser.look("/requests/r-1")).text
    assert "<strong>Next:</strong>" not in text
    assert "ladder-title" not in text


async def test_the_open_wait_is_a_running_bar_also_where_spans_are_kept(desk: ConsoleContext, browser: Browser) -> None:
    await queued(desk)
    page = (await browser.look("/requests/r-1/trace")).text
    assert '<tr class="open">' in page
    assert "queue wait" in page
    one = await find(desk.ports.store, "r-1")
    assert one is not None
    kept = SpanView("a" * 16, None, "intake", one.now - timedelta(minutes=3), one.now - timedelta(minutes=3))
    spans, complete = spans_of(one, lambda _: [kept], one.now)
    assert complete
    wait = next(span for span in spans if span.name == "queue wait")
    assert wait.open
    assert wait.ended_at == one.now
    assert timedelta(seconds=50) < wait.duration < timedelta(minutes=2)


async def test_each_repeat_of_a_publish_stands_apart(desk: ConsoleContext, browser: Browser) -> None:
    """Spans of this home lie in a file: one that was accepted and one that repeated it."""
    await queued(desk)
    one = await find(desk.ports.store, "r-1")
    assert one is not None
    lines = [_intake(one.record.trace_id, number, effect) for number, effect in enumerate(("accepted", "repeated"))]
    desk.settings.traces.write_text(
        "\n".join(
            json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [line]}]}]}, separators=(",", ":"))
            for line in lines
        )
        + "\n",
        "utf-8",
    )
    text = (await browser.look("/requests/r-1/trace")).text
    table = re.search(r'<table class="list publishes">.*?</table>', text, re.DOTALL)
    assert table is not None
    assert "message-0" in table[0]
    assert "accepted" in table[0]
    assert "message-1" in table[0]
    assert "repeated" in table[0]


def _intake(trace_id: str, number: int, effect: str) -> dict[str, Any]:
    """One line of the file, as OTLP writes it."""
    at = int((now() - timedelta(minutes=3 - number)).timestamp() * 1e9)
    attributes = {"messaging.message.id": f"message-{number}", "renderlane.effect": effect}
    return {
        "traceId": trace_id, "spanId": f"{number:016x}", "name": "intake", "startTimeUnixNano": str(at),
        "endTimeUnixNano": str(at + 10**6), "status": {},
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }  # fmt: skip
