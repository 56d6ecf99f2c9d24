"""The console as an application: its addresses, all below `/console`."""

from __future__ import annotations

from functools import cache

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from functions.application import note_cause
from functions.console import actions, budget_pages, pages, request_pages, runbook
from functions.console.desk import ConsoleContext
from functions.console.guard import Guard, changing
from functions.console.view import STATIC, problem, warm
from shared import wiring
from shared.config import Settings
from shared.core.messages.request_key import is_key
from shared.ports.images import ImagesUnavailable
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable
from shared.wiring import Worker

BASE = "/console"
LOOKING = {
    "/": pages.overview,
    "/live": pages.live,
    "/time": pages.time,
    "/failures": pages.failures,
    "/runbook": pages.runbook,
    "/flags": pages.flags,
    "/search": request_pages.search,
    "/budgets": budget_pages.budgets,
    "/requests": request_pages.listed,
    "/bulk/{action}": request_pages.confirm_bulk,
    "/requests/{request_id}": pages.one,
    "/requests/{request_id}/image": pages.image,
    "/requests/{request_id}/thumbnail": pages.thumbnail,
    "/requests/{request_id}/trace": pages.trace,
    "/requests/{request_id}/packet": pages.packet,
    "/requests/{request_id}/cancel": pages.confirm_cancel,
    "/requests/{request_id}/revive": pages.confirm_revive,
}
CHANGING = {
    "/flags/preview": actions.preview,
    "/flags/trip": actions.trip,
    "/flags/{flag_id}/reset": actions.reset,
    "/flags/{flag_id}/extend": actions.extend,
    "/flags/{flag_id}/undo": actions.undo,
    "/budgets/{tenant}": budget_pages.set_limit,
    "/budgets/{tenant}/undo": budget_pages.undo,
    "/bulk/cancel": request_pages.cancel_all,
    "/bulk/revive": request_pages.revive_all,
    "/requests/{request_id}/cancel": actions.cancel,
    "/requests/{request_id}/revive": actions.revive,
    "/requests/{request_id}/prompt": actions.show_prompt,
    "/requests/{request_id}/packet": actions.packet_with_prompt,
}


def app(desk: ConsoleContext) -> Starlette:
    """To be mounted at BASE."""
    warm()
    routes: list[Route | Mount] = [Route(path, page, methods=["GET"]) for path, page in LOOKING.items()]
    routes += [Route(path, changing(change), methods=["POST"]) for path, change in CHANGING.items()]
    routes.append(Mount("/static", StaticFiles(directory=STATIC)))
    made = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, desk=desk)],
        exception_handlers={
            HTTPException: _http_problem,
            StoreUnavailable: _unavailable,
            TopicsUnavailable: _unavailable,
            ImagesUnavailable: _unavailable,
        },
    )
    made.state.desk = desk
    return made


def desk_of(worker: Worker, settings: Settings, *, simulated: bool = False) -> ConsoleContext:
    return ConsoleContext(worker, settings, wiring.identities(settings), runbook.sections(), simulated)


def whole(desk: ConsoleContext) -> Starlette:
    """Only the console: its root redirects to it."""

    async def to_console(request: Request) -> Response:
        return RedirectResponse(f"{BASE}/", 303)

    return Starlette(routes=[Mount(BASE, app(desk)), Route("/", to_console)])


@cache
def of_this_process() -> Starlette:
    """From the environment. Raises InvalidSetting or BrokenCatalogue."""
    return whole(desk_of(wiring.worker(), wiring.environment()))


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    key = request.path_params.get("request_id", "")
    text = str(key) if error.status_code == 404 and is_key(str(key)) else ""
    titles = {404: "Not found", 405: "Not allowed"}
    return problem(request, error.status_code, titles.get(error.status_code, "Refused"), error.detail, text=text)


async def _unavailable(request: Request, error: Exception) -> Response:
    note_cause(request, error)
    what = {StoreUnavailable: "The store", TopicsUnavailable: "The topics", ImagesUnavailable: "The image store"}
    return problem(
        request, 503, f"{what[type(error)]} did not respond", f"{error}. Try again. No change was confirmed."
    )
