"""A result as the worker announces it, read by the client."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from renderlane import NotAResult, Result
from shared.core.lifecycle import head_changes, transitions
from shared.core.lifecycle.request_view import result_event
from shared.core.messages.pubsub_messages import rejection_event
from shared.core.messages.render_request import InvalidRequest, RenderRequest
from shared.core.provider.outcome import EXPIRED, SUCCEEDED
from shared.core.records.request import RequestRecord
from tests.builders import NOW, a_record, a_request, a_request_record


def test_every_field_that_the_worker_announces_is_read() -> None:
    sides = {
        "requested": {"model": "m", "image_size": "1K", "lane": "standard"},
        "delivered": {"model": "n", "image_size": "2K", "lane": "flex", "width": 2048, "height": 2048},
        "reasons": ["a flag"],
        "mismatches": ["image_size"],
    }
    data = a_record(a_request(group="g", labels={"k": "v"})) | head_changes.ended("succeeded", SUCCEEDED, NOW)
    receipt = {**sides, "cost_micros": 134_400, "cost_basis": "metered", "estimate_micros": 1, "flags": []}
    data |= {"receipt": receipt, "cost_micros": 134_400, "cost_basis": "metered", "image_uri": "gs://b/1.jpg"}
    event = result_event("a", RequestRecord.from_json(data | {"attempt_count": 2, "revives": "older"}))
    read = Result.parse(event.data)
    announced = json.loads(event.data)
    assert {field.name for field in dataclasses.fields(Result)} == set(announced)
    assert read.ok
    assert (read.cost_usd, read.attempt_count, read.revives) == (Decimal("0.134400"), 2, "older")
    assert read.delivered is not None
    assert (read.delivered.width, read.delivered.lane) == (2048, "flex")
    assert (read.reasons, read.mismatches, read.labels) == (("a flag",), ("image_size",), {"k": "v"})
    assert read.finished_at == datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_result_without_an_image_says_what_to_do() -> None:
    read = Result.parse(result_event("a", transitions.finished(a_request_record(), "expired", EXPIRED, NOW)).data)
    assert not read.ok
    assert read.delivered is None
    assert (read.outcome.code, read.outcome.advice) == ("expired", EXPIRED.advice)


def test_a_rejection_names_the_field() -> None:
    with pytest.raises(InvalidRequest) as refused:
        RenderRequest.parse({"request_id": "a", "prompt": "x", "image_size": "2k"})
    read = Result.parse(rejection_event("a", refused.value, "m-1", "t", NOW).data)
    assert (read.status, read.message_id) == ("rejected", "m-1")
    assert "image_size" in read.outcome.message


def test_a_field_of_a_later_version_is_passed_over() -> None:
    announced = {
        "request_id": "a",
        "status": "succeeded",
        "colour": "red",
        "outcome": {"code": "c", "message": "m", "x": 1},
    }
    assert Result.parse(json.dumps(announced).encode()).outcome.code == "c"


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"request_id": 1, "status": "x"}', b"\xff", b"7"])
def test_what_is_no_result_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(NotAResult):
        Result.parse(data)
