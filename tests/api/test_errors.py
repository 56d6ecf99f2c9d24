"""Every error of the API is a problem document that names the field, what was found, what is allowed and what to do."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from functions.api.app import ROUTES
from functions.api.openapi import description
from shared.ports.messaging import TopicsUnavailable
from tests.api.callers import client, of_cloud
from tests.api.test_requests import HERO, WEB, Api
from tests.world import World


@pytest.fixture
def api() -> Api:
    return Api(World())


def problem(answer: httpx2.Response, status: int) -> dict[str, str]:
    """Its first error, after a look at the whole document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["errors"], document
    for error in document["errors"]:
        assert all(error[part] for part in ("field", "found", "allowed", "remedy")), error
    first: dict[str, str] = document["errors"][0]
    return first


@pytest.mark.parametrize(
    ("method", "path", "status", "field"),
    [
        ("GET", "/v1/requests/nobody", 404, "request_id"),
        ("GET", "/v1/requests/nobody?wait=1", 404, "request_id"),
        ("GET", "/v1/requests/nobody/image", 404, "request_id"),
        ("GET", "/v1/requests/nobody/events", 404, "request_id"),
        ("POST", "/v1/requests/nobody/cancel", 404, "request_id"),
        ("GET", "/v1/request", 404, "path"),
        ("DELETE", "/v1/requests/nobody", 405, "method"),
        ("OPTIONS", "/v1/requests", 405, "method"),
        ("GET", "/v1/requests?tenant=evil", 403, "tenant"),
        ("GET", "/v1/requests/nobody?teannt=web", 422, "teannt"),
        ("POST", "/v1/requests?tenant=web", 422, "tenant"),
        ("POST", "/v1/estimate?tenant=web", 422, "tenant"),
        ("GET", "/v1/requests/nobody/image?size=1", 422, "size"),
    ],
)
async def test_an_error_names_its_field(api: Api, method: str, path: str, status: int, field: str) -> None:
    answer = await api.world.run(api.client.request(method, path))
    assert problem(answer, status)["field"] == field


async def test_a_caller_that_nobody_knows_is_told_by_which_header(api: Api) -> None:
    for account in (None, "stranger@example.com"):
        stranger = client(api.worker, account)
        answer = await api.world.run(stranger.get("/v1/requests"))
        assert problem(answer, 401)["field"] == "authorization"
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_method_of_another_call_is_answered_with_all_methods_of_the_address(api: Api) -> None:
    answer = await api.world.run(api.client.put("/v1/requests"))
    assert (answer.headers["allow"], problem(answer, 405)["found"]) == ("GET, HEAD, POST", "PUT")


async def test_what_is_away_or_full_is_named(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise TopicsUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(api.world.topics, "publish", away)
        assert problem(await api.post("/v1/requests", HERO), 503)["field"] == "the topics"
    full = client(api.worker, WEB, of_cloud(api.worker, most_waiting=0))
    await api.post("/v1/requests", HERO)
    assert problem(await api.world.run(full.get("/v1/requests/hero/events")), 429)["field"] == "waiting calls"


async def test_state_that_does_not_allow_a_call_is_named(api: Api) -> None:
    await api.post("/v1/requests", HERO)
    assert problem(await api.get("/v1/requests/hero/image"), 409)["field"] == "status"
    await api.world.run_for(timedelta(minutes=1))
    assert problem(await api.post("/v1/requests/hero/cancel"), 409)["field"] == "status"
    assert problem(await api.post("/v1/requests", HERO | {"prompt": "b"}), 409)["field"] == "request_id"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("size", "Write image_size, or remove it."),
        ("aspectRatio", "Write aspect_ratio, or remove it."),
        ("imageSize", "Write image_size, or remove it."),
        ("prommpt", "Write prompt, or remove it."),
        ("reference", "Write references, or remove it."),
        ("max_cost", "Write max_cost_usd, or remove it."),
        ("negative_prompt", "Remove it, or correct its spelling."),
        ("webhook", "Remove it, or correct its spelling."),
    ],
)
async def test_an_unknown_field_is_answered_with_the_one_that_is_meant(api: Api, wrong: str, meant: str) -> None:
    answer = await api.post("/v1/requests", {"prompt": "a", wrong: "1"})
    assert problem(answer, 422)["remedy"] == meant


async def test_a_parameter_is_answered_with_the_one_that_is_meant(api: Api) -> None:
    assert problem(await api.get("/v1/requests?stauts=failed"), 422)["remedy"] == "Write status."
    assert problem(await api.get("/v1/requests/hero?timeout=3"), 422)["remedy"] == "Remove it."
    assert problem(await api.post("/v1/requests?tenant=web", HERO), 422)["remedy"] == "Name the tenant in the body."


def test_a_call_takes_the_parameters_that_the_description_has() -> None:
    paths = json.loads(json.dumps(description()))["paths"]
    shared_parameters = description()["components"]["parameters"]
    for route in ROUTES:
        taken = getattr(route.endpoint, "parameters", None)
        if taken is None:
            assert route.path in ("/healthz", "/v1/openapi.json")
            continue
        for method in (route.methods or set()) - {"HEAD"}:
            parameters = paths[route.path][method.lower()].get("parameters", [])
            described = [
                shared_parameters[parameter["$ref"].rpartition("/")[2]] if "$ref" in parameter else parameter
                for parameter in parameters
            ]
            assert {one["name"] for one in described if one["in"] == "query"} == set(taken), route.path
