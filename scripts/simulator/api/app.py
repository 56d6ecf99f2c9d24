"""The simulator as an ASGI application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from scripts.simulator.api import batches, control, gateway, quota_api, vertex, webhooks
from scripts.simulator.api.page import SimulatorPage
from scripts.simulator.api.routes import CreateInteraction, GenerateContent, StoredInteraction
from scripts.simulator.engine import files
from scripts.simulator.engine.simulation import Simulation


def build(simulation: Simulation) -> Starlette:
    stored = StoredInteraction(simulation)
    routes: list[Route] = []
    for version in ("v1", "v1beta"):
        routes += [
            Route(f"/{version}/interactions", CreateInteraction(simulation), methods=["POST"]),
            Route(f"/{version}/models/{{model}}:generateContent", GenerateContent(simulation), methods=["POST"]),
            Route(f"/{version}/interactions/{{id}}", stored, methods=["GET", "DELETE"]),
            Route(f"/{version}/interactions/{{id}}/cancel", stored, methods=["POST"]),
        ]
    routes += vertex.routes(simulation)
    routes += batches.routes(simulation)
    routes += webhooks.routes(simulation)
    routes += files.routes(simulation)
    if simulation.tariff is not None:
        routes = gateway.routes(simulation, simulation.tariff)
    routes += control.routes(simulation)
    routes += quota_api.routes(simulation)
    routes.append(Route("/", SimulatorPage(simulation).__call__, methods=["GET"]))
    return Starlette(routes=routes, exception_handlers={404: _not_found, ClientDisconnect: _hung_up})


async def _not_found(request: Request, exc: Exception) -> JSONResponse:
    message = f"{request.method} {request.url.path} is not simulated."
    return JSONResponse({"error": {"code": 404, "message": message, "status": "NOT_FOUND"}}, status_code=404)


async def _hung_up(request: Request, exc: Exception) -> Response:
    """Before its body had come, as a call that would have left late does: nobody reads this, and nothing is charged."""
    return Response(status_code=499)
