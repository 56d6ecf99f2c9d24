"""Money, trace context, shapes, pictures and the messages between the functions."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.lifecycle import transitions
from shared.core.lifecycle.request_view import result_event
from shared.core.messages.pubsub_messages import LONGEST_ID, BadMessage, ReleaseMessage, rejection_event
from shared.core.messages.render_request import ID_PATTERN, InvalidRequest, RenderRequest
from shared.core.provider.call import Picture
from shared.core.provider.outcome import SUCCEEDED
from shared.core.records.receipt import DeliveredImage, Receipt, RequestedImage
from shared.core.validation.shapes import FOUND_LIMIT, Problem, ShapeError, Text, kind, shown
from shared.core.values.money import micros_from_usd, round_micros, usd
from shared.core.values.trace_context import Place, caller_of
from tests.builders import NOW, a_payload, a_request, a_request_record

# -- money ------------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**18))
def test_money_as_text_is_exact_both_ways(micros: int) -> None:
    assert micros_from_usd(usd(micros)) == micros
    assert len(usd(micros).rpartition(".")[2]) == 6


@pytest.mark.parametrize(("micros", "text"), [(134_400, "0.134400"), (0, "0.000000"), (10**12, "1000000.000000")])
def test_money_is_written_with_six_decimals(micros: int, text: str) -> None:
    assert usd(micros) == text


@pytest.mark.parametrize("text", ["0.0000001", "1.2345678", "nan", "inf", "-inf", "sNaN", "abc", "", "1,5", "$1"])
def test_text_that_is_no_whole_number_of_micro_dollars_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        micros_from_usd(text)


@pytest.mark.parametrize(("amount", "micros"), [("0.5", 1), ("1.5", 2), ("2.5", 3), ("2.499999", 2), ("0", 0)])
def test_half_a_micro_dollar_is_rounded_up(amount: str, micros: int) -> None:
    assert round_micros(Decimal(amount)) == micros


# -- trace ------------------------------------------------------------------------------------------------------------

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


def test_the_callers_trace_goes_on() -> None:
    for name in ("traceparent", "googclient_traceparent"):
        place = caller_of({name: PARENT})
        assert place == Place("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True)
        assert place.traceparent == PARENT
    assert caller_of({"googclient_traceparent": OTHER, "traceparent": PARENT}) == Place.parse(PARENT)
    assert Place.parse(OTHER) == Place("1" * 32, "2" * 16, False)


def test_a_span_that_several_processes_write_about_has_a_place_that_each_finds_by_its_name() -> None:
    root = Place.fresh("a" * 32 + "b" * 16)
    assert root.named("attempt 1") == Place.fresh("a" * 32 + "b" * 16).named("attempt 1")
    assert Place.parse(root.named("attempt 1").traceparent) == root.named("attempt 1")
    assert len({root.named("attempt 1"), root.named("attempt 2"), root.named("release 1"), root}) == 4


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "x",
        PARENT.upper(),
        PARENT + "\n",
        PARENT + "-00",
        PARENT.replace("00-", "ff-", 1),
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
    ],
)
def test_a_malformed_context_is_no_context(malformed: str) -> None:
    assert caller_of({"traceparent": malformed}) is None
    assert caller_of({"traceparent": malformed, "googclient_traceparent": OTHER}) == Place.parse(OTHER)
    assert caller_of({}) is None


# -- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "a number"),
        (1.5, "a number"),
        ("x" * 1_234, "a string of 1,234 characters"),
        ([1, 2], "a list of 2"),
        ({"a": 1}, "an object"),
    ],
)
def test_the_kind_of_a_value_says_nothing_of_its_content(value: object, text: str) -> None:
    assert kind(value) == text


@given(st.text(max_size=300))
def test_a_shown_value_is_short_and_on_one_line(text: str) -> None:
    line = shown(text)
    assert len(line) <= FOUND_LIMIT + 30
    assert "\n" not in line


def test_a_pattern_must_match_the_whole_text() -> None:
    shape = Text(1, 5, "a|ab", "a or ab")
    assert [shape.parse(text, "x") for text in ("a", "ab")] == ["a", "ab"]
    for text in ("abc", "ba", "a\n"):
        with pytest.raises(ShapeError, match="allowed: a or ab"):
            shape.parse(text, "x")


# -- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "extension"), [("image/jpeg", "jpg"), ("image/png", "png"), ("image/webp", "webp")]
)
def test_a_picture_is_stored_under_the_extension_of_its_type(content_type: str, extension: str) -> None:
    assert Picture(b"", content_type, 1, 1).extension == extension


# -- messages between the functions -----------------------------------------------------------------------------------


@given(st.from_regex(ID_PATTERN, fullmatch=True).filter(lambda text: len(text) <= LONGEST_ID), st.integers(0, 10**6))
def test_a_release_is_read_as_it_was_written(request_id: str, number: int) -> None:
    release = ReleaseMessage(request_id, number)
    assert ReleaseMessage.parse(release.to_bytes()) == release


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"null", b'"a"', b"7", b"\xff", b'{"request_id": "a"}', b'{"release": 1}',
        b'{"request_id": 1, "release": 1}', b'{"request_id": "a", "release": "1"}',
        b'{"request_id": "a", "release": true}',
        b'{"request_id": "a", "release": 1.5}', b"[" * 100_000,
        b'{"request_id": "", "release": 1}', b'{"request_id": "../x", "release": 1}',
        b'{"request_id": "a/b", "release": 1}', b'{"request_id": ".", "release": 1}',
        b'{"request_id": "a\\n", "release": 1}', b'{"request_id": "__x__", "release": 1}',
        b'{"request_id": "\\ud800", "release": 1}', b'{"request_id": "' + b"a" * 201 + b'", "release": 1}',
    ],
)  # fmt: skip
def test_a_release_that_none_of_us_wrote_is_a_bad_message(data: bytes) -> None:
    with pytest.raises(BadMessage):
        ReleaseMessage.parse(data)


def read(event_data: bytes) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(event_data)
    return payload


EVENT_FIELDS = (
    "request_id tenant group status round revives image_uri requested delivered reasons mismatches cost_usd cost_basis "
    "attempt_count outcome labels trace_id message_id finished_at"
)


def test_a_result_event_says_what_the_contract_promises() -> None:
    request = a_request(tenant="web", group="spring", model="nano-banana-2", labels={"campaign": "spring"})
    requested, delivered = RequestedImage("m", "1K", "standard"), DeliveredImage("n", "1K", "flex", 1, 2)
    receipt = Receipt(delivered, 134_400, "metered", 134_400, ("r",), (), requested)
    sides = {"requested": requested.to_json(), "delivered": delivered.to_json(), "reasons": ["r"]}
    ended = transitions.finished(a_request_record(request), "succeeded", SUCCEEDED, NOW)
    event = result_event(
        "spring-hero-001",
        replace(ended, receipt=receipt, cost_micros=134_400, attempt_count=2, cost_basis="metered", image_uri="u"),
    )
    payload = read(event.data)
    assert " ".join(payload) == EVENT_FIELDS
    assert (payload["status"], payload["cost_usd"], payload["cost_basis"]) == ("succeeded", "0.134400", "metered")
    assert {name: payload[name] for name in sides} == sides
    assert payload["outcome"] == SUCCEEDED.to_json()
    assert payload["labels"] == {"campaign": "spring"}
    assert payload["finished_at"] == "2026-11-22T12:00:00Z"
    assert event.attributes == {"request_id": "spring-hero-001", "status": "succeeded", "tenant": "web"}
    assert b"keyboard" not in event.data


def test_a_result_without_an_image_names_what_was_asked_and_delivers_nothing() -> None:
    queued = a_request_record(a_request(image_size="2K", lane="priority"))
    record = transitions.finished(queued, "failed", SUCCEEDED, NOW)
    payload = read(result_event("a", record).data)
    assert payload["requested"] == {"model": "gemini-nano-banana-2.1", "image_size": "2K", "lane": "priority"}
    assert (payload["delivered"], payload["image_uri"], payload["cost_usd"]) == (None, None, "0.000000")


def test_a_rejection_has_the_form_of_a_result_and_every_problem_in_it() -> None:
    with pytest.raises(InvalidRequest) as refused:
        RenderRequest.parse(a_payload(image_size="1k", tenant=""))
    event = rejection_event("spring-hero-001", refused.value, "message-1", "trace-1", NOW)
    payload = read(event.data)
    assert " ".join(payload) == EVENT_FIELDS
    assert (payload["status"], payload["outcome"]["code"], payload["cost_usd"]) == ("rejected", "rejected", "0.000000")
    assert payload["reasons"] == [str(problem) for problem in refused.value.problems]
    assert len(payload["reasons"]) == 2
    assert event.attributes == {"request_id": "spring-hero-001", "status": "rejected", "tenant": ""}


def test_a_problem_reads_as_a_sentence() -> None:
    problem = Problem("image_size", '"1k"', "512, 1K, 2K, 4K", 'Write "1K": the K is a capital letter.')
    assert str(problem) == 'image_size: found "1k"; allowed: 512, 1K, 2K, 4K. Write "1K": the K is a capital letter.'
