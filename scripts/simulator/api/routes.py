"""The provider's endpoints: HTTP into a call's story, its reply onto the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct
from starlette.requests import Request as HttpRequest
from starlette.types import Receive, Scope, Send

from scripts.simulator.engine import call
from scripts.simulator.engine.simulation import InteractionState, Simulation
from scripts.simulator.formats import fault_replies, generate_content, interactions
from scripts.simulator.formats.credential import check_key, key_of
from scripts.simulator.formats.fields import need
from scripts.simulator.formats.reply import Reply, WrittenAnswer, connection_of, deliver, json_answer
from scripts.simulator.provider.accepted_request import Headline, PictureOrder
from scripts.simulator.provider.bill import Api
from scripts.simulator.provider.problems import ApiProblem, ErrorForm, RequestRefused, invalid
from scripts.simulator.provider.rendered import RenderedImage


class InteractionRequest(Struct, frozen=True):
    key: str
    body: Mapping[str, Any] | None
    """None: not a JSON object."""
    resumed: InteractionState | None
    """What `previous_interaction_id` names."""
    form: ErrorForm
    api: Api = "interactions"

    def headline(self) -> Headline:
        return interactions.headline(self.body or {})

    def check_body(self) -> None:
        need(present(self.body), "model", str)

    def order(self) -> PictureOrder:
        body = present(self.body)
        previous = body.get("previous_interaction_id")
        if previous is not None and self.resumed is None:
            raise RequestRefused(ApiProblem("not_found", f"Interaction '{previous}' is not found."))
        return interactions.order(body, resumed_prompt=self.resumed.prompt if self.resumed else None)

    def problem_answer(self, problem: ApiProblem) -> WrittenAnswer:
        return interactions.problem_answer(problem, self.form)

    def made_answer(self, made: RenderedImage) -> WrittenAnswer:
        return interactions.made_answer(made)


class GenerateContentRequest(Struct, frozen=True):
    key: str
    body: Mapping[str, Any] | None
    model: str
    api: Api = "generate_content"

    def headline(self) -> Headline:
        return generate_content.headline(self.body or {}, self.model)

    def check_body(self) -> None:
        present(self.body)

    def order(self) -> PictureOrder:
        return generate_content.order(present(self.body))

    def problem_answer(self, problem: ApiProblem) -> WrittenAnswer:
        return generate_content.problem_answer(problem)

    def made_answer(self, made: RenderedImage) -> WrittenAnswer:
        return generate_content.made_answer(made)


class CreateInteraction:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        body = json_object(await http.body())
        previous = (body or {}).get("previous_interaction_id")
        request = InteractionRequest(
            key=key_of(http),
            body=body,
            resumed=self._simulation.stored(previous) if isinstance(previous, str) else None,
            form=self._simulation.error_form,
        )
        await deliver(await call.take(self._simulation, request, connection_of(scope).left), scope, receive, send)


class GenerateContent:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        request = GenerateContentRequest(
            key=key_of(http), body=json_object(await http.body()), model=http.path_params["model"]
        )
        await deliver(await call.take(self._simulation, request, connection_of(scope).left), scope, receive, send)


class StoredInteraction:
    """GET, DELETE, and POST .../cancel of one interaction."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        method: StoredMethod = "GET" if http.method == "HEAD" else http.method  # type: ignore[assignment]
        await deliver(
            answer_stored(self._simulation, key_of(http), method, http.path_params["id"]), scope, receive, send
        )


StoredMethod = Literal["GET", "POST", "DELETE"]
"""Of an interaction that there is: look, cancel, remove."""
_STORED_API: Mapping[StoredMethod, Api] = {
    "GET": "interaction_get",
    "POST": "interaction_cancel",
    "DELETE": "interaction_delete",
}


def answer_stored(simulation: Simulation, key: str, method: StoredMethod, interaction_id: str) -> Reply:
    """What the endpoints of one interaction answer."""
    backgrounds = simulation.backgrounds
    headline = backgrounds.headline(interaction_id)
    fault = simulation.faults.judge(_STORED_API[method], headline, now=simulation.monotonic()).fault
    try:
        check_key(key)
        if (bent := simulation.bent_by(fault, headline)) is not None:
            return bent
        if backgrounds.has(interaction_id):
            act = {"GET": backgrounds.look, "POST": backgrounds.cancel, "DELETE": backgrounds.delete}[method]
            answer = act(interaction_id)
        else:
            answer = _of_foreground(simulation, method, interaction_id)
    except RequestRefused as refused:
        return interactions.problem_answer(refused.problem, simulation.error_form)
    return fault_replies.bend(answer, fault)


def _of_foreground(simulation: Simulation, method: StoredMethod, interaction_id: str) -> WrittenAnswer:
    stored = simulation.stored(interaction_id)
    if stored is None:
        raise RequestRefused(ApiProblem("not_found", f"Interaction '{interaction_id}' is not found."))
    if method == "POST":
        message = "Only a background interaction that is in progress can be cancelled."
        raise RequestRefused(ApiProblem("failed_precondition", message))
    if method == "DELETE":
        simulation.forget(interaction_id)
        return json_answer(200, {})
    return WrittenAnswer(200, stored.body)


def present(body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if body is None:
        raise invalid("Request body is not a JSON object.")
    return body


def json_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
