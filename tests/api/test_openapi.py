"""The description is valid, is what the API does, and stands in docs/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from functions.api.app import ROUTES, app
from functions.api.openapi import description
from shared.core.lifecycle.request_view import RequestView, accepted_record, accepted_view, request_view
from shared.ports.identity import Caller, CallerInfo
from shared.wiring import Worker
from tests.builders import NOW, a_request, a_request_record
from tests.world import World

DESCRIPTION: dict[str, Any] = json.loads(json.dumps(description()))


def test_it_is_openapi_3_1() -> None:
    assert DESCRIPTION["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(DESCRIPTION).iter_errors()) == []


def test_it_describes_every_address_and_no_other() -> None:
    served = {(route.path, method) for route in ROUTES for method in (route.methods or ()) if method != "HEAD"}
    described = {
        (path, method.upper())
        for path, item in DESCRIPTION["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == served


def test_the_file_in_docs_is_what_the_code_writes() -> None:
    written = json.loads(Path("docs/openapi.json").read_text("utf-8"))
    assert written == DESCRIPTION, "run ./scripts/schema"


def as_sent(view: RequestView) -> Any:
    return json.loads(msgspec.json.encode(view))


def resolved(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": DESCRIPTION["components"]}


@pytest.mark.parametrize("status", ["queued", "succeeded"])
def test_a_view_has_the_form_that_is_described(status: str) -> None:
    request = a_request(tenant="web", labels={"a": "b"})
    view = request_view("web~spring-hero-001", a_request_record(request, status=status), NOW, "https://x")
    jsonschema.validate(as_sent(view), resolved("RequestView"))
    note = accepted_record(request, "m", NOW, NOW)
    jsonschema.validate(as_sent(accepted_view(note, NOW)), resolved("RequestView"))
    assert "a black mechanical keyboard" not in json.dumps(as_sent(view)) + json.dumps(note.to_json(), default=str)


class Anybody:
    """Lets every call in."""

    async def caller(self, call: CallerInfo) -> Caller:
        return Caller("ada", ("*",))


CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
OPERATIONS = [
    (path, method) for path, item in DESCRIPTION["paths"].items() for method in item if method != "parameters"
]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_described(path: str, method: str) -> None:
    """Calls that schemathesis makes up from the description, well-formed ones and others."""
    application = app(Worker.of(World().ports), Anybody())
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", application)
    operation = schema[path][method.upper()]
    codes: set[int] = set()

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=st.one_of(operation.as_strategy(), operation.as_strategy(GenerationMode.NEGATIVE)))
    def conforms(case: Any) -> None:
        headers = {**(case.headers or {}), "host": "localhost:8080"}
        codes.add(case.call_and_validate(checks=CHECKS, headers=headers).status_code)

    conforms()
    assert 401 not in codes
    assert codes & {200, 202, 404}
