"""What a failure books, and which may book nothing: for tests and the fuzzer."""

from __future__ import annotations

import json
from typing import Any

from shared.core.lifecycle import attempt_cost
from shared.core.provider.failure import Failure, FailureKind
from shared.core.records.attempt import AttemptRecord
from shared.core.routing import gateway
from shared.core.values.route import Route
from tests.builders import NOW, a_catalogue
from tests.corpus.case import Form
from tests.corpus.readers import an_order

GATEWAY_FORMS = ("native", "chat", "images")


def cost_of(form: Form, failure: Failure) -> Any:
    """What the failure books, at Google or at the gateway of the form."""
    model = an_order(form).model
    at_gateway = form in GATEWAY_FORMS
    route = Route("gateway" if at_gateway else "standard", model, "1K")
    contract = gateway.CONTRACT + "laozhang" if at_gateway else "google"
    attempt = AttemptRecord(1, route, NOW, 147_000, contract=contract)
    return attempt_cost.cost_of(failure, attempt, a_catalogue())


_NO_STATEMENT = frozenset(
    {FailureKind.SERVER_ERROR, FailureKind.OVERLOAD, FailureKind.TIMEOUT, FailureKind.CONNECTION_LOST}
)
"""Failures that do not state that the call was turned down."""


def may_be_free(form: Form, body: bytes, status: int, failure: Failure) -> bool:
    """The call never arrived; the API itself says that it failed with 500 or turned the call down; or a gateway says so
    whose owner charges nothing but a 200 (laozhang's row of the catalogue).
    """
    if failure.kind is FailureKind.CONNECTION:
        return True
    by_its_row = form in GATEWAY_FORMS and not failure.may_be_billed
    return _is_own_form(body) and (status == 500 or by_its_row or failure.kind not in _NO_STATEMENT)


def _is_own_form(body: bytes) -> bool:
    """The API's own statement: an error object."""
    try:
        value = json.loads(body)
    except ValueError:
        return False
    value = value[0] if isinstance(value, list) and value else value
    return isinstance(value, dict) and isinstance(value.get("error"), dict | str)
