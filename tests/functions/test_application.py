"""The console and the API log their failures as a delivery's are logged: no 5xx in silence."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from functions.application import FunctionAnswer, note_cause
from shared.config import InvalidSetting
from shared.core.observability import events
from tests.world import World

TRACE = "0af7651916cd43dd8448eb211c80319c"
PROMPT = "a secret lighthouse"
HEADERS = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


async def fine(_request: Request) -> Response:
    return PlainTextResponse("fine")


async def away(request: Request) -> Response:
    note_cause(request, RuntimeError("the store is away"))
    return PlainTextResponse("try again", 503)


async def broken(_request: Request) -> Response:
    raise RuntimeError(PROMPT)


APPLICATION = Starlette(routes=[Route("/fine", fine), Route("/away", away), Route("/broken", broken)])


async def answered(world: World, path: str, application: ASGIApp = APPLICATION) -> httpx2.Response:
    async def outer(request: Request) -> Response:
        return FunctionAnswer("console", lambda: application, lambda: world.signals)

    served = Starlette(routes=[Route("/{path:path}", outer)])
    transport = httpx2.ASGITransport(app=served, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://console") as client:
        return await client.get(path, headers=HEADERS)


async def test_what_goes_well_is_not_logged() -> None:
    world = World()
    assert (await answered(world, "/fine")).text == "fine"
    assert world.signals.emitted == []


async def test_a_503_is_logged_with_its_cause_and_the_callers_trace() -> None:
    world = World()
    assert (await answered(world, "/away")).status_code == 503
    (line,) = world.signals.of(events.DELIVERY_DEFERRED)
    assert (line["function"], line["http_status"], line["cause"]) == ("console", 503, "the store is away")
    assert line["trace_id"] == TRACE


async def test_a_crash_is_logged_with_its_stack_trace_alone() -> None:
    world = World()
    assert (await answered(world, "/broken")).status_code == 500
    (line,) = world.signals.of(events.DELIVERY_CRASHED)
    assert "in broken" in str(line["stack_trace"])
    assert PROMPT not in str(line)


async def test_a_wrong_setting_is_said_at_each_request(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> ASGIApp:
        raise InvalidSetting("RENDERLANE_CONSOLE_AUDIENCE: found 'x'; allowed: …")

    async def outer(request: Request) -> Response:
        return FunctionAnswer("console", refuse)

    transport = httpx2.ASGITransport(app=Starlette(routes=[Route("/", outer)]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://console") as client:
        answer: Any = await client.get("/")
    assert answer.status_code == 500
    assert "RENDERLANE_CONSOLE_AUDIENCE: found" in capsys.readouterr().err
