"""A provider gateway's endpoints: the native form and the two OpenAI-compatible forms, on one simulation of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from scripts.simulator.api.routes import GenerateContentRequest, json_object, present
from scripts.simulator.engine import call
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.formats import generate_content, openai_forms
from scripts.simulator.formats.fields import need
from scripts.simulator.formats.openai_forms import Form
from scripts.simulator.formats.reply import WrittenAnswer, connection_of, deliver
from scripts.simulator.provider.accepted_request import Headline, PictureOrder
from scripts.simulator.provider.problems import ApiProblem
from scripts.simulator.provider.rendered import RenderedImage
from scripts.simulator.provider.tariff import Tariff


class NativeRequest(GenerateContentRequest, frozen=True):
    """Google's form; what is the gateway's own business it says in its own words."""

    def problem_answer(self, problem: ApiProblem) -> WrittenAnswer:
        own = problem.code == "insufficient_user_quota"
        return openai_forms.problem_answer(problem) if own else generate_content.problem_answer(problem)


class OpenAiRequest(Struct, frozen=True):
    key: str
    body: Mapping[str, Any] | None
    api: Form
    tariff: Tariff
    base_url: str
    """Where this gateway is, for addresses of images."""

    def headline(self) -> Headline:
        name = (self.body or {}).get("model")
        return openai_forms.headline(
            self.body or {}, self.tariff.model(name) if isinstance(name, str) else "", self.api
        )  # fmt: skip

    def check_body(self) -> None:
        need(present(self.body), "model", str)

    def order(self) -> PictureOrder:
        read = openai_forms.chat_order if self.api == "chat" else openai_forms.images_order
        return read(present(self.body))

    def problem_answer(self, problem: ApiProblem) -> WrittenAnswer:
        return openai_forms.problem_answer(problem)

    def made_answer(self, made: RenderedImage) -> WrittenAnswer:
        write = openai_forms.chat_answer if self.api == "chat" else openai_forms.images_answer
        answer = write(made, self.tariff)
        if not self.tariff.by_url:
            return answer
        return WrittenAnswer(answer.status, answer.body.replace(b"/files/", f"{self.base_url}/files/".encode()))


class Balance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """{"balance_usd": 0.5}; null = billed later."""

    balance_usd: float | None


def routes(simulation: Simulation, tariff: Tariff) -> list[Route]:
    return [
        Route("/v1beta/models/{model}:generateContent", _Native(simulation, tariff), methods=["POST"]),
        Route("/v1/chat/completions", _OpenAi(simulation, tariff, "chat"), methods=["POST"]),
        Route("/v1/images/generations", _OpenAi(simulation, tariff, "images"), methods=["POST"]),
        Route("/files/{name}", _files(tariff), methods=["GET"]),
        Route("/control/balance", _balance(tariff), methods=["GET", "POST"]),
    ]


class _Native:
    def __init__(self, simulation: Simulation, tariff: Tariff) -> None:
        self._simulation, self._tariff = simulation, tariff

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        request = NativeRequest(
            key=_bearer(http),
            body=json_object(await http.body()),
            model=self._tariff.model(http.path_params["model"]),
        )
        await deliver(await call.take(self._simulation, request, connection_of(scope).left), scope, receive, send)


class _OpenAi:
    def __init__(self, simulation: Simulation, tariff: Tariff, form: Form) -> None:
        self._simulation, self._tariff, self._form = simulation, tariff, form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        request = OpenAiRequest(
            key=_bearer(http),
            body=json_object(await http.body()),
            api=self._form,
            tariff=self._tariff,
            base_url=str(http.base_url).rstrip("/"),
        )
        await deliver(await call.take(self._simulation, request, connection_of(scope).left), scope, receive, send)


def _bearer(http: HttpRequest) -> str:
    """A gateway knows no key of Google's."""
    scheme, _, token = http.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _files(tariff: Tariff) -> Any:
    async def answer(http: HttpRequest) -> Response:
        body = tariff.files.get(http.path_params["name"])
        return Response(status_code=404) if body is None else Response(body, media_type="image/jpeg")

    return answer


def _balance(tariff: Tariff) -> Any:
    async def answer(http: HttpRequest) -> Response:
        if http.method == "POST":
            try:
                value = msgspec.json.decode(await http.body(), type=Balance).balance_usd
            except msgspec.DecodeError as error:
                return Response(msgspec.json.encode({"error": str(error)}), 400, media_type="application/json")
            tariff.balance_micros = None if value is None else round(value * 1_000_000)
        left = None if tariff.balance_micros is None else tariff.balance_micros / 1_000_000
        return Response(msgspec.json.encode({"balance_usd": left}), media_type="application/json")

    return answer
