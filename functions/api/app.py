"""The API as an application: its addresses, and what an error becomes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from functions.api import endpoints, places
from functions.api.door import Identified
from functions.api.endpoints import ApiContext
from functions.api.openapi import description
from functions.api.places import Places
from functions.api.problems import TITLES, ProblemAnswer, document
from functions.application import note_cause
from shared import wiring
from shared.core.validation.shapes import Problem, shown
from shared.ports.identity import Callers
from shared.ports.images import ImagesUnavailable
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable
from shared.wiring import Worker

PAGE_HEADERS = ["authorization", "content-type", "idempotency-key", "traceparent", "tracestate"]
"""Headers that a page may send."""
UNAVAILABLE = {StoreUnavailable: "the store", TopicsUnavailable: "the topics", ImagesUnavailable: "the image store"}


async def _openapi(request: Request) -> Response:
    return JSONResponse(description())


ROUTES = (
    Route("/v1/requests", endpoints.create, methods=["POST"]),
    Route("/v1/requests", endpoints.many, methods=["GET"]),
    Route("/v1/requests/{request_id}", endpoints.one, methods=["GET"]),
    Route("/v1/requests/{request_id}/image", endpoints.image, methods=["GET"]),
    Route("/v1/requests/{request_id}/events", endpoints.events, methods=["GET"]),
    Route("/v1/requests/{request_id}/cancel", endpoints.cancel, methods=["POST"]),
    Route("/v1/estimate", endpoints.estimate, methods=["POST"]),
    Route("/v1/openapi.json", _openapi, methods=["GET"]),
    Route("/healthz", endpoints.healthy, methods=["GET"]),
)


def app(worker: Worker, callers: Callers, origins: Sequence[str] = (), most_waiting: int = places.MOST) -> Starlette:
    """`origins` are those of web pages that may call from a browser; `most_waiting` calls may wait at once."""
    application = Starlette(
        routes=list(ROUTES),
        middleware=[*_for_pages(origins), Middleware(Identified, callers=callers)],
        exception_handlers={
            ProblemAnswer: _problem,
            HTTPException: _http_problem,
            **dict.fromkeys(UNAVAILABLE, _unavailable),
        },
    )
    application.state.desk = ApiContext(worker, Places(most_waiting))
    return application


@cache
def of_this_process() -> ASGIApp:
    """From the environment. Raises InvalidSetting or BrokenCatalogue."""
    settings = wiring.environment()
    return app(wiring.worker(), wiring.callers(settings), settings.api_origins, places.MOST_IN_THE_CLOUD)


def _for_pages(origins: Sequence[str]) -> list[Middleware]:
    """Cross-origin calls (CORS) without cookies: a page holds the token itself. None if no page may call."""
    if not origins:
        return []
    from starlette.middleware.cors import CORSMiddleware

    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=PAGE_HEADERS,
            expose_headers=["location", "retry-after"],
            max_age=600,
        )
    ]


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemAnswer)
    return error.response(request.url.path)


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, headers = request.scope["path"], error.headers
    if error.status_code == 404:
        addresses = ", ".join(dict.fromkeys(route.path for route in ROUTES))
        problem = Problem("path", shown(path), addresses, "See /v1/openapi.json, and docs/http-api.md.")
    else:
        allowed = ", ".join(_methods(request))
        problem = Problem("method", request.method, allowed, "See /v1/openapi.json, and docs/http-api.md.")
        headers = {"allow": allowed}
    title = "No such address" if error.status_code == 404 else TITLES.get(error.status_code, error.detail)
    return document(error.status_code, title, str(problem), (problem,), path, headers)


def _methods(request: Request) -> list[str]:
    """Of all calls of this address: two may share it."""
    routes = [route for route in ROUTES if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in routes for method in route.methods or ()})


async def _unavailable(request: Request, error: Exception) -> Response:
    note_cause(request, error)
    what = UNAVAILABLE[type(error)]
    detail = f"{what} did not respond: {error}. Try again; a POST with the same id is safe."
    problem = Problem(what, "no answer", "an answer in time", "Try again; a POST with the same id is safe.")
    return document(503, TITLES[503], detail, (problem,), request.scope["path"], {"retry-after": "2"})
