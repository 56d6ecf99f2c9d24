"""No answer but an acknowledgement leaves without a declared log line: Pub/Sub throws bodies away."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import main, push
from functions.unacknowledged import stack_trace
from shared import wiring
from shared.adapters.telemetry.json_log import REPORTED, JsonSignals
from shared.core.observability import events
from shared.core.values.release import Release
from shared.flows.requests.message import Message
from shared.ports.images import ImagesUnavailable
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable
from shared.wiring import Flights, Worker
from tests.fakes.virtual_clock import VirtualClock
from tests.world import World

TRACE = "0af7651916cd43dd8448eb211c80319c"
ATTRIBUTES = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
PROMPT = "a secret lighthouse"
Flow = Callable[[Worker, Message], Awaitable[None]]


def a_push(**message: Any) -> bytes:
    body = {"data": base64.b64encode(b"{}").decode(), "messageId": "m-7", "attributes": ATTRIBUTES, **message}
    envelope = {"message": body, "subscription": "projects/p/subscriptions/s", "deliveryAttempt": 3}
    return json.dumps(envelope).encode()


def a_request(worker: object, body: bytes = b"{}") -> Request:
    application = Starlette()
    application.state.worker = worker

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": [], "app": application}, receive)


async def answered(world: World, flow: Flow, body: bytes | None = None) -> Response:
    return await push.answer(a_request(Worker.of(world.ports), body or a_push()), "render", flow)


def raising(error: BaseException) -> Flow:
    async def flow(_worker: Worker, _message: Message) -> None:
        raise error

    return flow


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), TopicsUnavailable("gone"), ImagesUnavailable("gone")])
async def test_a_503_is_logged_with_function_message_attempt_cause_and_trace(error: Exception) -> None:
    world = World()
    answer = await answered(world, raising(error))
    assert answer.status_code == 503
    assert world.signals.of(events.DELIVERY_DEFERRED) == [
        {
            "function": "render",
            "message_id": "m-7",
            "delivery_attempt": 3,
            "http_status": 503,
            "cause": "gone",
            "trace_id": TRACE,
        }
    ]


async def test_a_crash_is_logged_with_its_stack_trace_and_without_the_words_of_the_error() -> None:
    world = World()
    answer = await answered(world, raising(RuntimeError(PROMPT)))
    assert answer.status_code == 500
    (line,) = world.signals.of(events.DELIVERY_CRASHED)
    assert line["cause"] == "RuntimeError"
    assert str(line["stack_trace"]).startswith("Traceback (most recent call last):\n")
    assert "in flow" in str(line["stack_trace"])
    assert (line["message_id"], line["delivery_attempt"], line["trace_id"]) == ("m-7", 3, TRACE)
    assert PROMPT not in str(line)
    assert PROMPT.encode() not in bytes(answer.body)


def test_a_stack_trace_names_the_causes_first() -> None:
    try:
        try:
            raise ValueError(PROMPT)
        except ValueError as cause:
            raise RuntimeError(PROMPT) from cause
    except RuntimeError as error:
        text = stack_trace(error)
    assert text.index("ValueError") < text.index("RuntimeError")
    assert text.count("Traceback (most recent call last):") == 2
    assert text.endswith("RuntimeError")


def test_a_crash_reaches_error_reporting_with_its_release() -> None:
    stream = io.StringIO()
    signals = JsonSignals(stream, VirtualClock(), "p", Release("9f8e7d6c5b4a-0123456789ab"))
    fields = {"function": "render", "message_id": "m", "delivery_attempt": 1, "http_status": 500, "cause": "X"}
    signals.emit(events.DELIVERY_CRASHED, **fields, stack_trace="Traceback …", trace_id=TRACE)
    line = json.loads(stream.getvalue())
    assert line["severity"] == "ERROR"
    assert line["@type"] == REPORTED
    assert line["serviceContext"] == {
        "service": "renderlane-render",
        "version": "0.1.0+9f8e7d6c5b4a-0123456789ab",
    }
    assert line["logging.googleapis.com/trace"] == f"projects/p/traces/{TRACE}"
    assert line["logging.googleapis.com/labels"] == {"release": "0.1.0+9f8e7d6c5b4a-0123456789ab"}


async def test_a_body_that_is_no_push_is_logged_too_since_it_comes_again() -> None:
    world = World()
    answer = await answered(world, raising(AssertionError()), b"{}")
    assert answer.status_code == 400
    (line,) = world.signals.of(events.DELIVERY_DEFERRED)
    assert (line["http_status"], line["message_id"]) == (400, None)
    assert "wrapped push" in str(line["cause"])


async def test_watch_logs_what_stopped_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.flows.upkeep import watch as story

    async def away(*_: Any) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(story, "watch", away)
    world = World()
    function: Callable[[Request], Awaitable[Response]] = main.watch  # type: ignore[assignment]
    answer = await function(a_request(Worker.of(world.ports)))
    assert answer.status_code == 503
    (line,) = world.signals.of(events.DELIVERY_DEFERRED)
    assert (line["function"], line["message_id"], line["cause"]) == ("watch", None, "away")


async def test_a_process_with_a_wrong_setting_says_so_at_each_delivery(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RENDERLANE_CAPACITY", "none")
    wiring.environment.cache_clear()
    wiring.worker.cache_clear()
    try:
        answer = await push.answer(a_request(None), "intake", raising(AssertionError()))
    finally:
        wiring.environment.cache_clear()
        wiring.worker.cache_clear()
    assert answer.status_code == 500
    line = json.loads(capsys.readouterr().err)
    assert (line["severity"], line["message"], line["function"]) == ("WARNING", "delivery_deferred", "intake")
    assert "RENDERLANE_CAPACITY: found 'none'; allowed: a whole number" in line["cause"]


async def test_a_delivery_that_is_cut_off_at_the_end_of_its_process_comes_again_and_says_why() -> None:
    world = World()
    worker = Worker.of(world.ports)

    flying = asyncio.Event()

    async def flow(_worker: Worker, _message: Message) -> None:
        flying.set()
        await asyncio.Event().wait()

    answering = asyncio.ensure_future(push.answer(a_request(worker, a_push()), "render", flow))
    await flying.wait()
    worker.leave()
    worker.flights.cut_off()
    answer = await answering
    assert answer.status_code == 503
    (line,) = world.signals.of(events.DELIVERY_DEFERRED)
    assert line["cause"] == push.CUT_OFF


async def test_flights_of_one_task_that_nest_flush_once() -> None:
    world = World()
    flushed: list[int] = []

    async def flush() -> None:
        flushed.append(1)

    world.signals.flush = flush  # type: ignore[method-assign]
    flights = Flights(world.signals)
    async with flights:
        async with flights:
            pass
        assert flushed == []
    assert flushed == [1]
