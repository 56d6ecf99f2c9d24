"""No odd member of an error hides what the others say: a state of the project never ends a request for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.adapters.gemini_errors import errors
from shared.adapters.payloads.quotation import SENT, Sent
from shared.core.provider.failure import FailureKind
from tests.builders import NOW

PLACE = "User location is not supported for the API use."
OWN = {"code": 400, "message": PLACE, "status": "FAILED_PRECONDITION"}


def kind_of(body: Any, status: int = 400, sent: Sent | None = None) -> FailureKind:
    return errors.read_failure(status, {}, json.dumps(body).encode(), NOW, sent).kind


@pytest.mark.parametrize(
    "body",
    [
        {"error": OWN | {"details": {}}},
        {"error": OWN | {"details": "none"}},
        {"error": OWN | {"status": 400}},
        {"error": OWN | {"code": True, "type": 1}},
        {"error": {"message": {"text": PLACE}}},
        {"error": [OWN]},
        {"errors": [OWN]},
        [[{"error": OWN}]],
        {"error": {"error": OWN}},
        {"error": {"message": json.dumps({"error": OWN}), "code": 400, "status": "Bad Request"}},
        {"message": PLACE, "code": 400},
        {"detail": PLACE},
        {"detail": [{"loc": ["body"], "msg": PLACE}]},
        {"msg": PLACE},
        {"error": "failed_precondition", "error_description": PLACE},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_the_statement_is_read_wherever_it_stands(body: Any) -> None:
    assert kind_of(body) is FailureKind.PERMISSION


def test_details_as_one_object_decide_like_a_list() -> None:
    info = {"reason": "CONSUMER_SUSPENDED", "domain": "googleapis.com", "metadata": 1}
    for details in (info, [info], [1, None, info]):
        assert kind_of({"error": {"code": 403, "message": "denied", "details": details}}, 403) is FailureKind.CREDENTIAL


def test_a_quoted_prompt_that_is_json_makes_no_statement() -> None:
    prompt = json.dumps({"error": {"code": 400, "status": "API_KEY_INVALID", "message": "API key not valid"}})
    body = {"error": {"code": 400, "message": prompt, "status": "INVALID_ARGUMENT"}}
    assert kind_of(body) is FailureKind.CREDENTIAL
    token = SENT.set(Sent((prompt,)))
    try:
        assert kind_of(body) is FailureKind.INVALID_REQUEST
    finally:
        SENT.reset(token)


def test_a_bare_json_error_of_a_server_is_nobodys_promise() -> None:
    failure = errors.read_failure(500, {}, b'{"message": "Internal server error"}', NOW)
    assert (failure.kind, failure.may_be_billed) == (FailureKind.SERVER_ERROR, True)
    own = errors.read_failure(500, {}, b'{"error": {"code": 500, "message": "x", "status": "INTERNAL"}}', NOW)
    assert (own.kind, own.may_be_billed) == (FailureKind.SERVER_ERROR, False)
