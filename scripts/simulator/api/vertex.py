"""Vertex AI's endpoint of the same models: generateContent below a project and a location, and a token for a key."""

from __future__ import annotations

from starlette.requests import Request as HttpRequest
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from scripts.simulator.api.routes import GenerateContentRequest, json_object, present
from scripts.simulator.engine import call
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.formats import vertex
from scripts.simulator.formats.reply import WrittenAnswer, connection_of, deliver
from scripts.simulator.provider.accepted_request import Headline, PictureOrder
from scripts.simulator.provider.bill import Api
from scripts.simulator.provider.problems import ApiProblem
from scripts.simulator.provider.rendered import RenderedImage

PATH = "/projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent"


class VertexRequest(GenerateContentRequest, frozen=True, kw_only=True):
    project: str
    location: str
    api: Api = "vertex"

    def headline(self) -> Headline:
        return vertex.headline(self.body or {}, self.model)

    def order(self) -> PictureOrder:
        return vertex.order(present(self.body))

    def problem_answer(self, problem: ApiProblem) -> WrittenAnswer:
        return vertex.problem_answer(problem, self.project, self.location, self.model)

    def made_answer(self, made: RenderedImage) -> WrittenAnswer:
        return vertex.made_answer(made)


def routes(simulation: Simulation) -> list[Route]:
    return [
        Route(f"/{version}{PATH}", _GenerateContent(simulation), methods=["POST"])
        for version in ("v1", "v1beta1")
    ]  # fmt: skip


class _GenerateContent:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        scheme, _, token = http.headers.get("authorization", "").partition(" ")
        request = VertexRequest(
            key=token.strip() if scheme.lower() == "bearer" else "",
            body=json_object(await http.body()),
            **{name: http.path_params[name] for name in ("project", "location", "model")},
        )
        await deliver(await call.take(self._simulation, request, connection_of(scope).left), scope, receive, send)
