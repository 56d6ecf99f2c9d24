"""The webhooks of the project: register, list, look, change, remove, rotate, ping; and the keys that sign tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from scripts.simulator.api.routes import json_object, present
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.engine.webhooks import Registered
from scripts.simulator.formats import interactions
from scripts.simulator.formats import webhooks as forms
from scripts.simulator.formats.credential import check_key, key_of
from scripts.simulator.formats.fields import need, read
from scripts.simulator.formats.reply import WrittenAnswer, deliver, json_answer
from scripts.simulator.provider.problems import ApiProblem, RequestRefused, invalid
from scripts.simulator.provider.webhook_keys import KEYS_PATH

_AT_ONCE = "revoke_previous_secrets_immediately"
_AFTER_A_DAY = "revoke_previous_secrets_after_h24"
_STATES = ("enabled", "disabled")
_PAGE = 50

Act = Callable[[HttpRequest], Awaitable[WrittenAnswer]]


class _Endpoint:
    """An ASGI endpoint around one act; refusals are told in the words of the Interactions API."""

    def __init__(self, simulation: Simulation, act: Act, *, public: bool = False) -> None:
        self._simulation = simulation
        self._act = act
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        try:
            if not self._public:
                check_key(key_of(http))
            answer = await self._act(http)
        except RequestRefused as refused:
            answer = interactions.problem_answer(refused.problem, self._simulation.error_form)
        await deliver(answer, scope, receive, send)


def routes(simulation: Simulation) -> list[Route]:
    acts = _Acts(simulation)
    table: list[Route] = [Route(KEYS_PATH, _Endpoint(simulation, acts.keys, public=True), methods=["GET"])]
    for version in ("v1", "v1beta"):
        at = f"/{version}/webhooks"
        table += [
            Route(at, _Endpoint(simulation, acts.collection), methods=["GET", "POST"]),
            Route(f"{at}/{{id}}:ping", _Endpoint(simulation, acts.ping), methods=["POST"]),
            Route(f"{at}/{{id}}:rotateSigningSecret", _Endpoint(simulation, acts.rotate), methods=["POST"]),
            Route(f"{at}/{{id}}", _Endpoint(simulation, acts.one), methods=["GET", "PATCH", "DELETE"]),
        ]
    return table


class _Acts:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def keys(self, http: HttpRequest) -> WrittenAnswer:
        return json_answer(200, self._simulation.webhooks.key.jwks(), {"cache-control": "public, max-age=300"})

    async def collection(self, http: HttpRequest) -> WrittenAnswer:
        webhooks, now = self._simulation.webhooks, self._simulation.now()
        if http.method == "POST":
            body = present(json_object(await http.body()))
            uri = need(body, "uri", str)
            forms.check_uri(uri, "uri")
            webhook, secret = webhooks.register(read(body, "name", str) or "", uri, _events(body))
            return json_answer(200, webhook.to_json(now) | {"new_signing_secret": secret.text})
        first = int(http.query_params.get("page_token") or 0)
        size = min(int(http.query_params.get("page_size") or _PAGE), _PAGE)
        registered = list(webhooks.by_id.values())
        body = {"webhooks": [webhook.to_json(now) for webhook in registered[first : first + size]]}
        more = {"next_page_token": str(first + size)} if first + size < len(registered) else {}
        return json_answer(200, body | more)

    async def one(self, http: HttpRequest) -> WrittenAnswer:
        webhook = self._find(http)
        if http.method == "DELETE":
            del self._simulation.webhooks.by_id[webhook.id]
            return json_answer(200, {})
        if http.method == "PATCH":
            self._change(webhook, present(json_object(await http.body())))
        return json_answer(200, webhook.to_json(self._simulation.now()))

    async def ping(self, http: HttpRequest) -> WrittenAnswer:
        self._simulation.webhooks.ping(self._find(http))
        return json_answer(200, {})

    async def rotate(self, http: HttpRequest) -> WrittenAnswer:
        webhook = self._find(http)
        body = json_object(await http.body()) or {}
        behaviour = (read(body, "revocation_behavior", str) or _AFTER_A_DAY).lower()
        if behaviour not in (_AT_ONCE, _AFTER_A_DAY):
            raise invalid(f"Invalid value at 'revocation_behavior': '{behaviour}'.")
        secret = self._simulation.webhooks.rotate(webhook, at_once=behaviour == _AT_ONCE)
        return json_answer(200, {"secret": secret.text})

    def _find(self, http: HttpRequest) -> Registered:
        webhook = self._simulation.webhooks.by_id.get(http.path_params["id"])
        if webhook is None:
            raise RequestRefused(ApiProblem("not_found", f"Webhook '{http.path_params['id']}' is not found."))
        return webhook

    def _change(self, webhook: Registered, body: Any) -> None:
        uri = read(body, "uri", str)
        if uri is not None:
            forms.check_uri(uri, "uri")
            webhook.uri = uri
        webhook.name = read(body, "name", str) or webhook.name
        if body.get("subscribed_events") is not None:
            webhook.subscribed = _events(body)
        match read(body, "state", str):
            case None:
                pass
            case "enabled" | "disabled" as state:
                webhook.state = state
            case other:
                raise invalid(f"Invalid value at 'state': '{other}'. Supported values: {', '.join(_STATES)}.")
        webhook.updated_at = self._simulation.now()


def _events(body: Any) -> tuple[str, ...]:
    events = tuple(str(event) for event in need(body, "subscribed_events", list))
    unknown = [event for event in events if event not in forms.EVENTS]
    if unknown or not events:
        raise invalid(f"Invalid value at 'subscribed_events': {unknown}. Supported: {', '.join(sorted(forms.EVENTS))}.")
    return events
