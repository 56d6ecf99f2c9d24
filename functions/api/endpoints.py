"""One function for each call of the API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from functions.api import body, query
from functions.api.door import tenant_of
from functions.api.places import Places, StreamInPlace
from functions.api.problems import ProblemAnswer
from functions.api.query import takes
from shared.adapters.payloads.image_header import PICTURE_TYPES, content_type
from shared.core.catalogue.catalogue import UnknownModel
from shared.core.lifecycle.request_view import ENDED, REJECTED, STATUSES_IN_LISTS, RequestView, has_ended
from shared.core.messages.render_request import ID_LIMIT, ID_WORDS, InvalidRequest, named_id, named_tenant
from shared.core.validation.shapes import Problem, shown
from shared.core.values.trace_context import caller_of
from shared.flows.api import cancelling, estimating, reading
from shared.flows.api.reading import Filter, InvalidCursor, Lookup
from shared.flows.api.submit import OtherContent, submit
from shared.ports import Ports
from shared.wiring import Worker

LONGEST_WAIT = 60.0
"""Seconds of `?wait=`."""
STREAM_LASTS = timedelta(seconds=240)
"""A client that is still interested reconnects, as EventSource does automatically."""
LINK_LASTS = timedelta(minutes=15)
NOTHING_OF_A_REJECTION = "Of a rejected message only its id, tenant and time are known: leave this filter out."
EVENT_STREAM = "text/event-stream"
TRACE_ATTRIBUTES = ("traceparent", "tracestate")


class ApiContext:
    """What the endpoints work with. One per process."""

    def __init__(self, worker: Worker, places: Places) -> None:
        self.worker = worker
        self.places = places

    @property
    def ports(self) -> Ports:
        return self.worker.ports


def desk_of(request: Request) -> ApiContext:
    desk: ApiContext = request.app.state.desk
    return desk


@takes()
async def create(request: Request) -> Response:
    """`POST /v1/requests`."""
    ports = desk_of(request).ports
    now = ports.clock.now()
    new_id = f"{now:%Y%m%d-%H%M%S}-{ports.fresh(12)}"
    ordered, data = await body.render_request(request, new_id)
    headers = {name: request.headers[name] for name in TRACE_ATTRIBUTES if name in request.headers}
    attributes = headers if caller_of(headers) is not None else {}
    try:
        view = await submit(ports, ordered, data, attributes, origin_of(request))
    except OtherContent as error:
        raise ProblemAnswer.of_field(409, error.problem) from error
    except InvalidRequest as error:
        raise body.invalid(error) from error
    return _answer(view, 202, {"location": view.links.self})


@takes("tenant", "wait")
async def one(request: Request) -> Response:
    """`GET /v1/requests/{request_id}`; with `?wait=SECONDS` when it has ended or the time is up."""
    tenant, request_id = _named(request)
    seconds = query.number(request, "wait", 0.0, 0.0, LONGEST_WAIT)
    ports, origin = desk_of(request).ports, origin_of(request)
    if not seconds:
        return _answer(_existing(await reading.find(ports, tenant, request_id, origin), tenant, request_id).view)
    with desk_of(request).places.place(tenant):
        current = await reading.wait(ports, tenant, request_id, origin, seconds)
        return _answer(_existing(current, tenant, request_id).view)


@takes("tenant")
async def image(request: Request) -> Response:
    """`GET /v1/requests/{request_id}/image`."""
    tenant, request_id = _named(request)
    ports = desk_of(request).ports
    lookup = _existing(await reading.find(ports, tenant, request_id, origin_of(request)), tenant, request_id)
    if lookup.image_uri is None:
        raise _no_image(lookup.view)
    link = await ports.images.link(lookup.image_uri, LINK_LASTS)
    if link is not None:
        return RedirectResponse(link, 302)
    data = await ports.images.read(lookup.image_uri)
    kind = content_type(data)
    headers = {"content-security-policy": "default-src 'none'; sandbox"}
    return Response(
        data, media_type=kind if kind in PICTURE_TYPES else "application/octet-stream", headers=headers
    )  # fmt: skip


@takes("tenant")
async def events(request: Request) -> Response:
    """`GET /v1/requests/{request_id}/events`: server-sent events."""
    tenant, request_id = _named(request)
    ports, origin = desk_of(request).ports, origin_of(request)
    current = _existing(await reading.find(ports, tenant, request_id, origin), tenant, request_id)
    if has_ended(current.view) and request.headers.get("last-event-id") == _last_id(current.view):
        return Response(status_code=204)  # an EventSource that has the end would connect again and again
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if request.method == "HEAD":
        return Response(media_type=EVENT_STREAM, headers=headers)
    desk_of(request).places.take(tenant)
    stream = StreamInPlace(_events(ports, tenant, request_id, origin), media_type=EVENT_STREAM, headers=headers)
    stream.places, stream.tenant = desk_of(request).places, tenant
    return stream


@takes("tenant")
async def cancel(request: Request) -> Response:
    """`POST /v1/requests/{request_id}/cancel`."""
    tenant, request_id = _named(request)
    try:
        current = await cancelling.cancel(desk_of(request).ports, tenant, request_id, origin_of(request))
        lookup = _existing(current, tenant, request_id)
    except cancelling.HasEnded as error:
        view = error.current.view
        problem = Problem("status", view.status, "a request that has not ended", "There is nothing left to cancel.")
        raise ProblemAnswer.of_field(409, problem, title="The request has ended") from error
    return _answer(lookup.view, 200 if has_ended(lookup.view) else 202)


@takes("tenant", "status", "model", "group", "since", "limit", "cursor")
async def many(request: Request) -> Response:
    """`GET /v1/requests`: newest first."""
    ports = desk_of(request).ports
    named = request.query_params
    status = named.get("status")
    if status is not None and status not in STATUSES_IN_LISTS:
        allowed = ", ".join(STATUSES_IN_LISTS)
        raise ProblemAnswer.of_field(422, Problem("status", shown(status), allowed, "Use one of them."))
    for name in ("model", "group") if status == REJECTED else ():
        if name in named:
            problem = Problem(name, shown(named[name]), f"none with status={REJECTED}", NOTHING_OF_A_REJECTION)
            raise ProblemAnswer.of_field(422, problem)
    wanted = Filter(
        tenant=_tenant(request),
        status=status,
        model=_models(ports, named.get("model")),
        group=named.get("group"),
        since=query.moment(request, "since"),
    )
    limit = query.whole(request, "limit", 50, 1, reading.LONGEST_PAGE)
    read_page = reading.rejected_page if status == REJECTED else reading.page
    try:
        page = await read_page(ports, wanted, limit, named.get("cursor"), origin_of(request))
    except InvalidCursor as error:
        raise ProblemAnswer.of_field(422, reading.CURSOR) from error
    return JSONResponse({"requests": [msgspec.to_builtins(view) for view in page.views], "cursor": page.cursor})


@takes()
async def estimate(request: Request) -> Response:
    """`POST /v1/estimate`: nothing is queued."""
    ordered, _ = await body.render_request(request, "estimate")
    try:
        result = await estimating.estimate(desk_of(request).ports, ordered)
    except InvalidRequest as error:
        raise body.invalid(error) from error
    return JSONResponse(msgspec.to_builtins(result))


async def healthy(request: Request) -> Response:
    return JSONResponse({"status": "ok", "boot": desk_of(request).ports.boot})


def origin_of(request: Request) -> str:
    """As the caller wrote it. Cloud Run terminates TLS and routes by the host, so the host is ours."""
    host = request.headers.get("host", "")
    local = request.scope.get("server") and host.partition(":")[0] in ("localhost", "127.0.0.1", "[")
    return f"{'http' if local or host.startswith('[') else 'https'}://{host}" if host else ""


def _answer(view: RequestView, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(msgspec.to_builtins(view), status, headers)


def _named(request: Request) -> tuple[str, str]:
    """Tenant and id in the address. Raises ProblemAnswer."""
    request_id = request.path_params["request_id"]
    if named_id({"request_id": request_id}) is None:
        problem = Problem("request_id", shown(request_id), f"1 to {ID_LIMIT} {ID_WORDS}", "Use the id of a request.")
        raise ProblemAnswer.of_field(422, problem)
    return _tenant(request), request_id


def _tenant(request: Request) -> str:
    """From the query, else the caller's own. Raises ProblemAnswer."""
    named = request.query_params.get("tenant")
    if named is not None and named_tenant({"tenant": named}) is None:
        problem = Problem("tenant", shown(named), f"1 to 64 {ID_WORDS}", "Use the name of a tenant.")
        raise ProblemAnswer.of_field(422, problem)
    return tenant_of(request, named)


def _existing(lookup: Lookup | None, tenant: str, request_id: str) -> Lookup:
    if lookup is None:
        problem = Problem(
            "request_id",
            shown(request_id),
            f"the id of a request of tenant {tenant}; ids are kept for 30 days after the end",
            "Check the id, and name its tenant (?tenant=) if it is another one of yours.",
        )
        raise ProblemAnswer.of_field(404, problem)
    return lookup


def _no_image(view: RequestView) -> ProblemAnswer:
    ended = view.status in ENDED
    remedy = "See `outcome` of the request." if ended else "Wait until its status is succeeded: GET it with ?wait=30."
    return ProblemAnswer.of_field(
        409, Problem("status", view.status, "succeeded", remedy), title="The request has no image"
    )


def _models(ports: Ports, named: str | None) -> frozenset[str]:
    if named is None:
        return frozenset()
    try:
        model = ports.catalogue.find(named)
    except UnknownModel as error:
        allowed = ", ".join(ports.catalogue.names)
        raise ProblemAnswer.of_field(422, Problem("model", shown(named), allowed, "Use one of them.")) from error
    return frozenset({model.id, ports.catalogue.live(named).id})


def _last_id(view: RequestView) -> str:
    """Of the last event: of this end, should the request be revived and end again."""
    return f"{view.status}-{view.finished_at.isoformat() if view.finished_at else ''}"


async def _events(ports: Ports, tenant: str, request_id: str, origin: str) -> AsyncIterator[str]:
    """`status` events until a final one, comments as heartbeats between them."""
    yield "retry: 1000\n\n"
    count = 0
    async for view in reading.changes(ports, tenant, request_id, origin, STREAM_LASTS):
        if view is None:
            yield ": heartbeat\n\n"
            continue
        count += 1
        data = json.dumps(msgspec.to_builtins(view), ensure_ascii=False)
        event_id = _last_id(view) if has_ended(view) else count
        yield f"id: {event_id}\nevent: status\ndata: {data}\n\n"
