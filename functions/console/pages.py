"""The console's pages. Opening one changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from functions.console import charts, panels, time_marks
from functions.console import runbook as texts
from functions.console.charts import Span
from functions.console.desk import desk_of
from functions.console.flag_forms import Choices, Filled, words
from functions.console.guard import keep_cookie, token_for
from functions.console.one_request import StoredRequestState, find, image_of, spans_of
from functions.console.panels import Overview
from functions.console.view import environment, page
from functions.shared_reading import SharedReading
from shared import wiring
from shared.adapters.payloads.thumbnail import thumbnail_of
from shared.core.lifecycle import queries
from shared.core.messages.request_key import KEY_WORDS, is_key
from shared.core.observability import repro_packet as packets
from shared.core.observability import series
from shared.core.observability.waterfall import waterfall
from shared.core.provider.outcome_code import OF_REQUESTS
from shared.core.routing.flag_history import HistoryLine
from shared.core.validation.shapes import Problem
from shared.core.values.undo import may_be_undone
from shared.flows.operations import repro_packet as packet_flow
from shared.flows.operations.flag_preview import FlagPreview as LookedAtFlag
from shared.flows.operations.repro_packet import Repeating
from shared.flows.status import series_point, summary
from shared.flows.status.prospect import Prospect, prospect

HISTORY_SHOWN = 20


async def overview(request: Request) -> Response:
    view, drawing = await asyncio.gather(_looked(request), _time_html(request))
    return page(request, "overview.html", **_overview(request, view), drawing=drawing, span=_span(request), whole=True)


async def live(request: Request) -> Response:
    """Only the overview's panels, for an open page."""
    view = await _looked(request)
    return page(request, "live.html", **_overview(request, view), whole=False)


async def time(request: Request) -> Response:
    """Only the overview's time lines, for an open page."""
    return HTMLResponse(await _time_html(request))


async def _looked(request: Request) -> Overview:
    """Shared by everyone who has the overview open; pages that change something read for themselves."""
    desk = desk_of(request)
    if desk.panels is None:
        desk.panels = SharedReading(lambda: panels.look(desk.ports), desk.ports.clock.monotonic)
    return await desk.panels.look()


def _overview(request: Request, overview: Overview) -> dict[str, Any]:
    return {
        "view": overview, "chart": panels.chart, "minutes": panels.CHART_MINUTES, "runbook": desk_of(request).runbook,
    }  # fmt: skip


async def _time_html(request: Request) -> Markup:
    """The time lines of a span, drawn once for each point that the series gets."""
    desk, span = desk_of(request), _span(request)
    if desk.series is None:
        desk.series = SharedReading(lambda: series_point.read_now(desk.ports), desk.ports.clock.monotonic)
    kept, now, version = await desk.series.look()
    minute = series.number(now, series.MINUTE)
    drawn = desk.drawn.get(span)
    if drawn is None or drawn[:2] != (version, minute):
        line = charts.time_line(kept, now, span)
        text = environment().get_template("time.html").render(
            base=request.scope.get("root_path", ""), line=line, spans=charts.SPANS,
            width=time_marks.WIDTH, height=charts.HEIGHT,
        )  # fmt: skip
        drawn = (version, minute, Markup(text))
        desk.drawn[span] = drawn
    return drawn[2]


def _span(request: Request) -> Span:
    return charts.span_of(request.query_params.get("span", ""))


async def failures(request: Request) -> Response:
    panels_view = await panels.look(desk_of(request).ports)
    return page(request, "failures.html", view=panels_view, runbook=desk_of(request).runbook)


async def runbook(request: Request) -> Response:
    desk = desk_of(request)
    counted = await summary.read(desk.ports)
    ended = {group.code: group.count for group in counted.failures} if counted is not None else {}
    return page(
        request, "runbook.html", sections=list(desk.runbook.values()), introduction=texts.introduction(),
        html=texts.html, outcomes=OF_REQUESTS, ended=ended,
    )  # fmt: skip


async def flags(request: Request) -> Response:
    return await flags_page(request, Filled.empty(request.query_params.get("trip", "")))


async def preview_part(request: Request, filled: Filled, looked: LookedAtFlag | None, status: int) -> Response:
    """What a flag would change, or what is wrong with its form: for an open page."""
    values = {"form": filled, "looked": looked, "part": True}
    return page(request, "preview.html", status, **values)


async def flags_page(
    request: Request,
    filled: Filled,
    *,
    status: int = 200,
    looked: LookedAtFlag | None = None,
    conflict: str | None = None,
    wrong_at: tuple[str, Problem] | None = None,
) -> Response:
    """`wrong_at` is the flag whose form was sent, with what is wrong in it."""
    desk = desk_of(request)
    view = await panels.look(desk.ports)
    documents = await desk.ports.store.query(queries.flag_history(HISTORY_SHOWN))
    history = [HistoryLine.from_json(document.data) for document in documents if document.is_readable]
    did = _did(request)
    values: dict[str, Any] = {
        "view": view,
        "form": filled,
        "choices": Choices.of(desk.ports.catalogue, view.routing.lanes(desk.ports.open_lanes), _gateways(view)),
        "models": desk.ports.catalogue.names,
        "looked": looked,
        "part": False,
        "conflict": conflict,
        "wrong_at": (wrong_at[0], "", wrong_at[1].field, words(wrong_at[1])) if wrong_at else ("", "", "", ""),
        "token": await token_for(request),
        "flag_id": secrets.token_hex(2),
        "did": did,
        "undoable": did[0] in ("trip", "reset", "extend")
        and any(
            line.flag_id == did[1] and line.action == did[0] and may_be_undone(line.at, view.now)
            for line in history[:5]
        ),
        "history": history,
    }
    return keep_cookie(request, page(request, "flags.html", status, **values))


def _gateways(view: Overview) -> set[str]:
    """Names of those that may serve a request now."""
    return {offer.name for offer in view.routing.offers.values() if offer.off is None and offer.shut is None}


async def one(request: Request) -> Response:
    desk, look = desk_of(request), await of_address(request)
    ended = look.record.is_final
    values: dict[str, Any] = {"one": look, "runbook": desk.runbook, "ended": ended, "did": _did(request)}
    values["prospect"] = None if ended else await _prospect(request, look)
    if request.query_params.get("part") == "facts":
        return page(request, "facts.html", **values)
    token = await token_for(request)
    return keep_cookie(request, page(request, "request.html", token=token, **values))


async def _prospect(request: Request, one: StoredRequestState) -> Prospect | None:
    """None if the request's document is of a release that this one cannot plan for."""
    ports = desk_of(request).ports
    view = await panels.look(ports)
    with contextlib.suppress(ValueError, KeyError, LookupError):
        return prospect(one.request_id, one.record, one.attempts, view.situation, ports.catalogue, ports.open_lanes)
    return None


async def thumbnail(request: Request) -> Response:
    """Small, for a gallery; an image that cannot be made smaller is shown as it is."""
    looked = await of_address(request)
    if looked.record.image_uri is None:
        raise HTTPException(404, "this request has no image")
    data, kind = await image_of(desk_of(request).ports, looked.record.image_uri)
    small = await asyncio.to_thread(thumbnail_of, data)
    headers = {"content-security-policy": "default-src 'none'; sandbox"}
    return Response(small or data, media_type="image/jpeg" if small else kind, headers=headers)


async def image(request: Request) -> Response:
    look = await of_address(request)
    if look.record.image_uri is None:
        raise HTTPException(404, "this request has no image")
    data, kind = await image_of(desk_of(request).ports, look.record.image_uri)
    return Response(data, media_type=kind, headers={"content-security-policy": "default-src 'none'; sandbox"})


async def trace(request: Request) -> Response:
    desk, look = desk_of(request), await of_address(request)
    spans, complete = await asyncio.to_thread(
        spans_of, look, lambda trace_id: wiring.spans(desk.settings, trace_id), datetime.now(UTC)
    )
    cloud = desk.cloud_trace(look.record.trace_id)
    publishes = [span for span in spans if span.name.startswith("intake")]
    values: dict[str, Any] = {"drawn": waterfall(spans), "complete": complete, "cloud": cloud}
    values["publishes"] = publishes if len(publishes) > 1 else []
    return page(request, "trace.html", one=look, part=_is_part(request), **values)


async def packet(request: Request) -> Response:
    return await packet_page(request, with_prompt=False)


async def packet_page(request: Request, *, with_prompt: bool) -> Response:
    desk, look = desk_of(request), await of_address(request)
    attempt = packets.chosen(look.attempts, None)
    if attempt is None:
        raise HTTPException(404, "this request has no attempt yet")
    how = Repeating(desk.settings.project, desk.settings.base_url, wiring.body_of)
    made = packet_flow.made(
        look.request_id, look.record, attempt, desk.ports.catalogue, how, with_prompt=with_prompt
    )  # fmt: skip
    token = await token_for(request)
    return keep_cookie(request, page(request, "packet.html", one=look, made=made, with_prompt=with_prompt, token=token))


async def prompt_page(request: Request) -> Response:
    look = await of_address(request)
    return page(request, "prompt.html", one=look, prompt=look.record.prompt, part=_is_part(request))


async def confirm_cancel(request: Request) -> Response:
    return await _confirm(request, "cancel")


async def confirm_revive(request: Request) -> Response:
    return await _confirm(request, "revive")


async def _confirm(request: Request, action: str) -> Response:
    look = await of_address(request)
    token = await token_for(request)
    return keep_cookie(request, page(request, "confirm.html", one=look, action=action, token=token))


def request_id(request: Request) -> str:
    """The key in the address. Raises HTTPException."""
    wanted = request.path_params["request_id"]
    if not is_key(wanted):
        raise HTTPException(404, f"not a request id; allowed: {KEY_WORDS}")
    return str(wanted)


async def of_address(request: Request) -> StoredRequestState:
    """The request of the address. Raises HTTPException."""
    looked = await find(desk_of(request).ports.store, request_id(request))
    if looked is None:
        raise HTTPException(404, "no such request; ids are kept for 30 days")
    return looked


def _did(request: Request) -> tuple[str, str]:
    """What was changed just before, and in which flag: our own words, not those of the address."""
    did = request.query_params.get("did", "")
    return (
        did if did in ("trip", "reset", "extend", "undo", "cancel", "revive") else "",
        request.query_params.get("flag", "")[:80],
    )


def _is_part(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"
