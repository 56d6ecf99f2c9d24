"""The API's description (OpenAPI 3.1), made from the code that parses requests and the values that answer them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from shared.core.lifecycle.request_view import STATUSES_IN_LISTS, RequestView
from shared.core.messages.render_request import ID_LIMIT, ID_PATTERN, MESSAGE_LIMIT_BYTES, TENANT_LIMIT, request_schema
from shared.flows.api.estimating import Estimate
from shared.flows.api.reading import LONGEST_PAGE

VERSION = "1.0.0"
SCHEMAS = "#/components/schemas/{name}"
PROBLEM_MEDIA_TYPE = "application/problem+json"

ABOUT = f"""Requests for images. A request is queued, rendered within the quota, and ends as succeeded, refused, failed,
expired or cancelled. A body is at most {MESSAGE_LIMIT_BYTES:,} bytes. Errors are problem documents (RFC 9457); `errors`
names each field with what was found, what is allowed and what to do. Everything belongs to one tenant: the caller's own
first one, unless `tenant` names another one of the caller's."""


@cache
def description() -> Mapping[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Renderlane", "version": VERSION, "description": ABOUT, "license": _LICENSE},
        "paths": {
            "/v1/requests": {"post": _create(), "get": _many()},
            "/v1/requests/{request_id}": {"parameters": [_ref_parameter("request_id")], "get": _one()},
            "/v1/requests/{request_id}/image": {"parameters": [_ref_parameter("request_id")], "get": _image()},
            "/v1/requests/{request_id}/events": {"parameters": [_ref_parameter("request_id")], "get": _events()},
            "/v1/requests/{request_id}/cancel": {"parameters": [_ref_parameter("request_id")], "post": _cancel()},
            "/v1/estimate": {"post": _estimate()},
            "/v1/openapi.json": {
                "get": {
                    "operationId": "getOpenapi",
                    "summary": "This description",
                    "security": [],
                    "responses": {"200": _json("The description.", {"type": "object"})},
                }
            },
            "/healthz": {
                "get": {
                    "operationId": "getHealth",
                    "summary": "Whether the process runs",
                    "security": [],
                    "responses": {"200": _json("It runs.", _HEALTH)},
                }
            },
        },
        "components": {
            "schemas": _schemas(),
            "parameters": _PARAMETERS,
            "responses": {name: _problem_response(about) for name, about in _PROBLEMS.items()},
            "securitySchemes": {
                "identityToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A Google identity token for the service's audience. On one machine: none.",
                }
            },
        },
        "security": [{"identityToken": []}, {}],
    }


_LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
_HEALTH = {
    "type": "object",
    "required": ["status", "boot"],
    "properties": {"status": {"const": "ok"}, "boot": {"type": "string"}},
}
_ID = {"type": "string", "minLength": 1, "maxLength": ID_LIMIT, "pattern": f"^(?:{ID_PATTERN})$"}
_PARAMETERS: Mapping[str, Any] = {
    "request_id": {"name": "request_id", "in": "path", "required": True, "schema": _ID},
    "tenant": {
        "name": "tenant",
        "in": "query",
        "description": "One of the caller's tenants. Default: the first one.",
        "schema": {"type": "string", "minLength": 1, "maxLength": TENANT_LIMIT, "pattern": f"^(?:{ID_PATTERN})$"},
    },
}
_PROBLEMS = {
    "BadRequest": "The body cannot be read.",
    "Unauthorized": "No caller is identified.",
    "Forbidden": "The tenant is not the caller's.",
    "NotFound": "The tenant has no such request.",
    "Conflict": "The id belongs to another request, or the state does not allow it.",
    "TooLarge": "The body is too large.",
    "OtherType": "The body is not JSON by its type.",
    "Invalid": "A field is not valid; `errors` names each.",
    "TooMany": "Too many calls wait in this process.",
    "Unavailable": "The store, the topics or the image store did not respond. Try again.",
}
_AT_ALL = {"401": "Unauthorized", "403": "Forbidden", "422": "Invalid", "503": "Unavailable"}


def _schemas() -> dict[str, Any]:
    (_, _), components = msgspec.json.schema_components([RequestView, Estimate], ref_template=SCHEMAS)
    message = copy.deepcopy(request_schema()["oneOf"][0])
    message["required"] = ["prompt"]
    message["description"] = "As the data of a message on render-requests; without request_id one is generated."
    page = {
        "type": "object",
        "required": ["requests", "cursor"],
        "properties": {
            "requests": {"type": "array", "items": _ref("RequestView")},
            "cursor": {"type": ["string", "null"], "description": "For the next page; null where there is none."},
        },
    }
    error = {
        "type": "object",
        "required": ["field", "found", "allowed", "remedy"],
        "properties": {name: {"type": "string"} for name in ("field", "found", "allowed", "remedy")},
    }
    problem = {
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance", "errors"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
            "errors": {"type": "array", "items": _ref("FieldError")},
        },
    }
    return {**components, "RenderRequest": message, "RequestPage": page, "Problem": problem, "FieldError": error}


def _create() -> dict[str, Any]:
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The request_id, also in double quotes; without either, one is generated.",
        "schema": _ID,
    }
    accepted = _json("Accepted: published, and found from now on.", _ref("RequestView"))
    accepted["headers"] = {"Location": {"description": "Of the request.", "schema": {"type": "string"}}}
    return {
        "operationId": "createRequest",
        "summary": "Submit a request",
        "description": "The same id with the same content is the same request, and is never paid for twice.",
        "parameters": [key],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("RenderRequest")}}},
        "responses": {"202": accepted, **_problems("BadRequest", "Conflict", "TooLarge", "OtherType")},
    }


def _many() -> dict[str, Any]:
    def query(name: str, schema: dict[str, Any], about: str) -> dict[str, Any]:
        return {"name": name, "in": "query", "description": about, "schema": schema}

    return {
        "operationId": "listRequests",
        "summary": "List a tenant's requests, newest first",
        "parameters": [
            _ref_parameter("tenant"),
            query(
                "status",
                {"enum": list(STATUSES_IN_LISTS)},
                "Only requests with this status. `rejected`: messages that could not be taken, without model or group.",
            ),
            query("model", {"type": "string", "minLength": 1}, "Only requests of this model, by alias or id."),
            query("group", {"type": "string"}, "Only requests of this group."),
            query("since", {"type": "string", "format": "date-time"}, "Only requests accepted at or after this time."),
            query("limit", {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": 50}, "Of one page."),
            query("cursor", {"type": "string"}, "Of the page before."),
        ],
        "responses": {"200": _json("A page.", _ref("RequestPage")), **_problems()},
    }


def _one() -> dict[str, Any]:
    seconds = {
        "name": "wait",
        "in": "query",
        "description": "Answer when the request has ended, or after so many seconds.",
        "schema": {"type": "number", "minimum": 0, "maximum": 60, "default": 0},
    }
    return {
        "operationId": "getRequest",
        "summary": "Read a request, or wait for its end",
        "parameters": [_ref_parameter("tenant"), seconds],
        "responses": {"200": _json("The request.", _ref("RequestView")), **_problems("NotFound", "TooMany")},
    }


def _image() -> dict[str, Any]:
    picture = {"schema": {"type": "string", "contentMediaType": "image/*"}}
    link = {"description": "Signed, for 15 minutes.", "schema": {"type": "string"}}
    return {
        "operationId": "getImage",
        "summary": "Get the image",
        "parameters": [_ref_parameter("tenant")],
        "responses": {
            "200": {"description": "The bytes, on one machine.", "content": {"image/*": picture}},
            "302": {"description": "In the cloud: where the bytes are.", "headers": {"Location": link}},
            **_problems("NotFound", "Conflict"),
        },
    }


def _events() -> dict[str, Any]:
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    about = "`status` events, each with a RequestView as data, until a final one. At most 240 seconds; connect again."
    return {
        "operationId": "streamEvents",
        "summary": "Follow a request",
        "description": about,
        "parameters": [_ref_parameter("tenant")],
        "responses": {
            "200": {"description": "The events.", "content": stream},
            "204": {"description": "`Last-Event-ID` is that of the end: nothing more will come."},
            **_problems("NotFound", "TooMany"),
        },
    }


def _cancel() -> dict[str, Any]:
    return {
        "operationId": "cancelRequest",
        "summary": "Cancel a request that has not begun",
        "parameters": [_ref_parameter("tenant")],
        "responses": {
            "200": _json("It has ended.", _ref("RequestView")),
            "202": _json("Requested. A request that has started is not affected.", _ref("RequestView")),
            **_problems("NotFound", "Conflict"),
        },
    }


def _estimate() -> dict[str, Any]:
    return {
        "operationId": "estimateRequest",
        "summary": "Routes and prices of a request; nothing is queued",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("RenderRequest")}}},
        "responses": {
            "200": _json("The routes.", _ref("Estimate")),
            **_problems("BadRequest", "TooLarge", "OtherType"),
        },
    }


def _problems(*more: str) -> dict[str, Any]:
    codes = {
        "BadRequest": "400", "NotFound": "404", "Conflict": "409", "TooLarge": "413", "OtherType": "415",
        "TooMany": "429",
    }  # fmt: skip
    names = {**_AT_ALL, **{codes[name]: name for name in more}}
    return {code: {"$ref": f"#/components/responses/{name}"} for code, name in sorted(names.items())}


def _problem_response(about: str) -> dict[str, Any]:
    return {"description": about, "content": {PROBLEM_MEDIA_TYPE: {"schema": _ref("Problem")}}}


def _json(about: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": SCHEMAS.format(name=name)}


def _ref_parameter(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}
