"""The outer contract of a render request: every rule, its accepted limit and the first value that is refused."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import PurePosixPath
from time import process_time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.adapters.port_limits.store_limits import check_writes
from shared.core.lifecycle import request_record
from shared.core.messages.render_request import (
    MESSAGE_LIMIT_BYTES,
    VISIBLE_PATTERN,
    Cancel,
    Floor,
    InvalidRequest,
    ReferenceUri,
    RenderRequest,
    hash_of_content,
    is_urgent,
    parse_message,
)
from shared.core.validation.shapes import UNKNOWN_LIMIT, Problem
from shared.core.validation.visible import visible
from shared.core.values import lanes
from shared.core.values.documents import Create, InvalidDocument
from shared.core.values.parameters import OUTPUT_FORMATS, SAFETY_CATEGORIES, SAFETY_THRESHOLDS, THINKING
from tests.builders import NOW, a_payload, a_request

SECRET = "a prompt that nobody but the model may read"
A_REFERENCE = {"uri": "gs://bucket/cat.png"}


def refusal(payload: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        RenderRequest.parse(payload)
    return refused.value


def only_problem(payload: object) -> Problem:
    problems = refusal(payload).problems
    assert len(problems) == 1, problems
    return problems[0]


def encoded(payload: object) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode()


# -- limits -----------------------------------------------------------------------------------------------------------

ACCEPTED: list[tuple[str, object]] = [
    ("request_id", "a"),
    ("request_id", "a" * 128),
    ("request_id", "A0.b_c:d-e"),
    ("request_id", "0.1.2"),
    ("request_id", "a."),
    ("prompt", "x"),
    ("prompt", "x" * 32_000),
    ("prompt", "🎹" * 32_000),
    *(("prompt", item) for item in ("🎹", "٣", ".", "\u200b\n a", "👩\u200d👩", "x\u200b", "é", "字", "\u0301")),
    ("prompt", "line\nline\ttab \u0000 \u2028"),
    ("tenant", "t" * 64),
    ("model", "nano-banana-pro"),
    ("model", "m" * 128),
    ("image_size", "512"),
    ("image_size", "4K"),
    ("aspect_ratio", "1:1"),
    ("aspect_ratio", "21:9"),
    ("references", []),
    ("references", [A_REFERENCE] * 14),
    ("references", [{"uri": "file:///a.png", "mime_type": "image/png"}]),
    ("references", [{"uri": "https://" + "x" * 2040}]),
    ("deadline", "2026-12-01T12:00:00Z"),
    ("deadline", "2024-02-29T12:00:00Z"),
    ("deadline", "2026-12-01t12:00:00.123456z"),
    ("deadline", "2026-12-01T12:00:00.1+05:30"),
    ("max_cost_usd", "0.30"),
    ("max_cost_usd", "0.000001"),
    ("max_cost_usd", "999999.999999"),
    ("max_cost_usd", "5"),
    ("floor", "exact"),
    ("floor", {}),
    ("floor", {"image_size": "512"}),
    ("floor", {"model": "nano-banana-2"}),
    ("allow", {}),
    ("allow", {"gateway": True, "batch": False}),
    ("escalates", "e" * 128),
    ("group", "g" * 128),
    ("grounding", True),
    ("grounding", "image"),
    *(("thinking", level) for level in ("minimal", "low", "medium", "high")),
    ("safety", {}),
    ("safety", {"image_hate": "block_low_and_above", "harassment": "off", "image_harassment": "block_none"}),
    ("system_instruction", "x"),
    ("system_instruction", "é" * 32_000),
    *(("output_format", name) for name in ("jpeg", "png", "webp")),
    ("output_quality", 1),
    ("output_quality", 100),
    ("labels", {}),
    ("labels", {f"key{number}": "" for number in range(32)}),
    ("labels", {"k" * 63: "v" * 255}),
    *(("labels", {item: "v"}) for item in ("_", "_a", "__a", "a__", "__a_", "_a__", "_a_", "__a__\n", "__\n", "\n")),
    ("deadline", "2000-01-01T00:00:00Z"),
    ("deadline", "2000-01-01T00:00:00+14:00"),
    ("deadline", "2999-12-31T23:59:59-12:00"),
]

BLANK = (
    *(" ", "   ", "\n", "\t\r\n", "\u0000", "\u007f\u0085", "\u00a0", "\u00ad", "\u200b", "\u200c\u200d", "\u2060"),
    *("\ufeff", "\u3000", "\u2028\u2029", "\u202e", "\u180e", "\u3164", "\u115f", "\u2800", "\ufe0f"),
    *("\U000e0041", "\U000e0100", " \u200b" * 16_000),
)
RESERVED_KEYS = ("__", "___", "____", "__a__", "_____", "__a\nb__", "__\n__", "__\u2028__")

REFUSED: list[tuple[str, object, str]] = [
    ("request_id", "", "request_id"),
    ("request_id", "a" * 129, "request_id"),
    ("request_id", ".a", "request_id"),
    ("request_id", "-a", "request_id"),
    ("request_id", "_a", "request_id"),
    ("request_id", "a..b", "request_id"),
    ("request_id", "a/b", "request_id"),
    ("request_id", "a b", "request_id"),
    ("request_id", "a\n", "request_id"),
    ("request_id", "ä", "request_id"),
    ("request_id", "a٣", "request_id"),
    ("request_id", 7, "request_id"),
    ("request_id", None, "request_id"),
    ("prompt", "", "prompt"),
    ("prompt", "x" * 32_001, "prompt"),
    ("prompt", None, "prompt"),
    *(("prompt", word, "prompt") for word in BLANK),
    ("tenant", "", "tenant"),
    ("tenant", "t" * 65, "tenant"),
    ("tenant", "a..b", "tenant"),
    ("tenant", ".t", "tenant"),
    ("tenant", "t\n", "tenant"),
    ("purpose", "Final", "purpose"),
    ("purpose", None, "purpose"),
    ("model", "", "model"),
    ("model", "m" * 129, "model"),
    ("model", None, "model"),
    ("image_size", "1k", "image_size"),
    ("image_size", "8K", "image_size"),
    ("image_size", 512, "image_size"),
    ("aspect_ratio", "16x9", "aspect_ratio"),
    ("aspect_ratio", "16:9\n", "aspect_ratio"),
    ("aspect_ratio", "100:1", "aspect_ratio"),
    ("references", [A_REFERENCE] * 15, "references"),
    ("references", A_REFERENCE, "references"),
    ("references", [{}], "references[0].uri"),
    ("references", [A_REFERENCE, "gs://bucket/a.png"], "references[1]"),
    ("references", [{"uri": "ftp://host/a.png"}], "references[0].uri"),
    ("references", [{"uri": "gs://a b"}], "references[0].uri"),
    ("references", [{"uri": "https://" + "x" * 2041}], "references[0].uri"),
    ("references", [A_REFERENCE | {"mime_type": "image/gif"}], "references[0].mime_type"),
    ("references", [A_REFERENCE | {"size": 1}], "references[0].size"),
    ("lane", "gateway", "lane"),
    ("lane", "Standard", "lane"),
    ("priority", "high", "priority"),
    ("deadline", "2026-12-01", "deadline"),
    ("deadline", "2026-12-01T12:00:00", "deadline"),
    ("deadline", "2026-12-01T12:00Z", "deadline"),
    ("deadline", "2026-12-01 12:00:00Z", "deadline"),
    ("deadline", "2026-12-01T12:00:00.1234567891Z", "deadline"),
    ("deadline", "2026-02-30T12:00:00Z", "deadline"),
    ("deadline", "2025-02-29T12:00:00Z", "deadline"),
    ("deadline", "2026-12-01T24:00:00Z", "deadline"),
    ("deadline", "2026-12-01T12:00:60Z", "deadline"),
    ("deadline", "0000-01-01T00:00:00Z", "deadline"),
    ("deadline", "0001-01-01T00:00:00+01:00", "deadline"),
    ("deadline", "9999-12-31T23:59:59-01:00", "deadline"),
    ("deadline", "2026-12-01T12:00:00Z\n", "deadline"),
    ("deadline", 1_796_126_400, "deadline"),
    ("max_cost_usd", "0", "max_cost_usd"),
    ("max_cost_usd", "0.000000", "max_cost_usd"),
    ("max_cost_usd", "0.0000001", "max_cost_usd"),
    ("max_cost_usd", "1000000", "max_cost_usd"),
    ("max_cost_usd", "-1", "max_cost_usd"),
    ("max_cost_usd", "+1", "max_cost_usd"),
    ("max_cost_usd", "1e2", "max_cost_usd"),
    ("max_cost_usd", ".5", "max_cost_usd"),
    ("max_cost_usd", "5.", "max_cost_usd"),
    ("max_cost_usd", "NaN", "max_cost_usd"),
    ("max_cost_usd", "٣", "max_cost_usd"),
    ("max_cost_usd", "$1", "max_cost_usd"),
    ("max_cost_usd", "", "max_cost_usd"),
    ("max_cost_usd", 0.3, "max_cost_usd"),
    ("floor", "Exact", "floor"),
    ("floor", None, "floor"),
    ("floor", ["exact"], "floor"),
    ("floor", {"image_size": "1k"}, "floor.image_size"),
    ("floor", {"lane": "batch"}, "floor.lane"),
    ("floor", {"model": ""}, "floor.model"),
    ("allow", True, "allow"),
    ("allow", {"gateway": "true"}, "allow.gateway"),
    ("allow", {"batch": 1}, "allow.batch"),
    ("allow", {"everything": True}, "allow.everything"),
    ("escalates", "e" * 129, "escalates"),
    ("escalates", "..", "escalates"),
    ("group", "", "group"),
    ("group", "g" * 129, "group"),
    ("grounding", "true", "grounding"),
    ("grounding", 0, "grounding"),
    ("grounding", 1, "grounding"),
    ("grounding", "web", "grounding"),
    ("grounding", None, "grounding"),
    ("grounding", ["image"], "grounding"),
    ("thinking", "Low", "thinking"),
    ("thinking", True, "thinking"),
    ("thinking", None, "thinking"),
    ("safety", [], "safety"),
    ("safety", {"image_hate": "BLOCK_NONE"}, "safety.image_hate"),
    ("safety", {"image_hate": None}, "safety.image_hate"),
    ("safety", {"civic_integrity": "off"}, "safety.civic_integrity"),
    ("system_instruction", "", "system_instruction"),
    ("system_instruction", " \u200b", "system_instruction"),
    ("system_instruction", "x" * 32_001, "system_instruction"),
    ("system_instruction", ["flat"], "system_instruction"),
    ("output_format", "jpg", "output_format"),
    ("output_format", "image/png", "output_format"),
    ("output_quality", 0, "output_quality"),
    ("output_quality", 101, "output_quality"),
    ("output_quality", 80.0, "output_quality"),
    ("output_quality", "80", "output_quality"),
    ("output_quality", True, "output_quality"),
    ("labels", {f"key{number}": "" for number in range(33)}, "labels"),
    ("labels", {"k" * 64: "v"}, "labels." + "k" * 63),
    ("labels", {"": "v"}, "labels."),
    ("labels", {"k": "v" * 256}, "labels.k"),
    ("labels", {"k": None}, "labels.k"),
    ("labels", [["k", "v"]], "labels"),
    *(("labels", {word: "v"}, f"labels.{visible(word)}") for word in RESERVED_KEYS),
    *(("deadline", f"{item}-01-01T00:00:00Z", "deadline") for item in ("0002", "0999", "1970", "3000", "9998")),
    ("deadline", "1999-12-31T23:59:59-01:00", "deadline"),
]


def short(value: object) -> str:
    return repr(value)[:40]


@pytest.mark.parametrize(("field", "value"), ACCEPTED, ids=short)
def test_the_last_allowed_value_is_accepted(field: str, value: object) -> None:
    request = RenderRequest.parse(a_payload(**{field: value}))
    assert parse_message(encoded(a_payload(**{field: value}))) == request
    if isinstance(value, str) and field not in ("deadline", "max_cost_usd"):
        assert getattr(request, field) == value


@pytest.mark.parametrize(("field", "value"), ACCEPTED, ids=short)
def test_what_is_written_of_a_request_is_read_as_the_same_request(field: str, value: object) -> None:
    """A revived request is published as it was written: an offset must not take a deadline out of the years allowed."""
    request = parse_message(encoded(a_payload(**{field: value})))
    assert isinstance(request, RenderRequest)
    assert RenderRequest.parse(request.to_json()) == request


@pytest.mark.parametrize(("field", "value", "named"), REFUSED, ids=short)
def test_the_first_value_beyond_a_rule_is_refused_with_field_found_allowed_and_remedy(
    field: str, value: object, named: str
) -> None:
    problem = only_problem(a_payload(**{field: value}))
    assert problem.field == named
    assert problem.found
    assert problem.allowed
    assert problem.remedy.endswith(".")
    assert str(problem).startswith(f"{named}: found {problem.found}; allowed: {problem.allowed}")


@pytest.mark.parametrize("field", ["request_id", "prompt"])
def test_a_required_field_is_asked_for_by_name(field: str) -> None:
    payload = a_payload()
    del payload[field]
    problem = only_problem(payload)
    assert (problem.field, problem.found) == (field, "nothing")
    assert problem.remedy == f"Add {field}."


@pytest.mark.parametrize("payload", [None, True, 7, 1.5, "text", [], [a_payload()]])
def test_only_a_json_object_is_a_request(payload: object) -> None:
    problem = only_problem(payload)
    assert problem.field == "the message"
    assert problem.allowed == "a JSON object"


def test_a_wrong_value_is_shown_cut_short() -> None:
    problem = only_problem(a_payload(model="m" * 5_000))
    assert len(problem.found) < 120
    assert "5000 characters" in problem.found


@pytest.mark.parametrize("size", ["1k", "2k", "4k"])
def test_a_lower_case_k_is_refused_with_the_right_spelling(size: str) -> None:
    assert f'Write "{size.upper()}"' in only_problem(a_payload(image_size=size)).remedy
    assert f'Write "{size.upper()}"' in only_problem(a_payload(floor={"image_size": size})).remedy


def test_a_size_sent_as_a_number_is_refused_with_the_right_spelling() -> None:
    assert 'Write it as a string: "512"' in only_problem(a_payload(image_size=512)).remedy


def test_a_floor_of_another_word_is_told_both_forms() -> None:
    problem = only_problem(a_payload(floor="Exact"))
    assert problem.found == '"Exact"'
    assert '"exact"' in problem.allowed
    assert "object" in problem.allowed


def test_unknown_fields_are_refused_by_name_with_the_known_ones() -> None:
    problems = refusal(a_payload(size="1K", Prompt="x")).problems
    assert [problem.field for problem in problems] == ["size", "Prompt"]
    assert all("image_size" in problem.allowed for problem in problems)


def test_every_problem_of_a_message_is_reported_at_once() -> None:
    payload = {
        "request_id": "..",
        "tenant": "",
        "image_size": "1k",
        "references": [{"uri": "nowhere"}, {"mime_type": "image/gif"}],
        "floor": {"image_size": "9K", "worst": 1},
        "labels": {"": "x", "k": 5},
        "surprise": 1,
    }
    assert {problem.field for problem in refusal(payload).problems} == {
        "surprise",
        "prompt",
        "request_id",
        "tenant",
        "image_size",
        "references[0].uri",
        "references[1].uri",
        "references[1].mime_type",
        "floor.worst",
        "floor.image_size",
        "labels.",
        "labels.k",
    }


def test_a_message_full_of_unknown_fields_gets_an_error_that_can_be_stored() -> None:
    reference = {f"field {number}": 1 for number in range(600)}
    payload = a_payload(**{f"f{number}": 1 for number in range(8_000)}, references=[reference] * 14)
    data = encoded(payload)
    assert len(data) <= MESSAGE_LIMIT_BYTES
    with pytest.raises(InvalidRequest) as refused:
        parse_message(data)
    assert len(str(refused.value).encode()) < MESSAGE_LIMIT_BYTES
    assert refused.value.problems[UNKNOWN_LIMIT - 1].field == f"f{UNKNOWN_LIMIT - 1}"
    assert refused.value.problems[UNKNOWN_LIMIT].found == f"{8_000 - UNKNOWN_LIMIT:,} more unknown fields"


# -- the id that a rejection is answered under ------------------------------------------------------------------------


def test_a_rejection_names_the_id_that_the_message_names() -> None:
    assert refusal(a_payload(prompt="")).request_id == "spring-hero-001"


@pytest.mark.parametrize("named", ["..", "a" * 129, 7, None, ["a"], {"a": 1}])
def test_an_id_that_is_itself_wrong_is_nobodys(named: object) -> None:
    assert refusal(a_payload(request_id=named)).request_id is None


# -- the prompt is nobody's business ----------------------------------------------------------------------------------

HIDING_PLACES: list[Callable[[str], object]] = [
    lambda secret: a_payload(prompt=secret * 1_000),
    lambda secret: a_payload(prompt=[secret]),
    lambda secret: a_payload(prompt={"text": secret}),
    lambda secret: [a_payload(prompt=secret)],
    lambda secret: secret,
    lambda secret: {"request": a_payload(prompt=secret)},
    lambda secret: a_payload(references={"prompt": secret}),
    lambda secret: a_payload(references=[[secret]]),
    lambda secret: a_payload(references=[{"uri": {"prompt": secret}}]),
    lambda secret: a_payload(labels=[{"prompt": secret}]),
    lambda secret: a_payload(labels={"k": {"prompt": secret}}),
    lambda secret: a_payload(floor=[{"prompt": secret}]),
    lambda secret: a_payload(tenant={"prompt": secret}),
    lambda secret: a_payload(request_id={"prompt": secret}),
    lambda secret: a_payload(allow={"gateway": [secret]}),
    lambda secret: a_payload(deadline=[secret]),
    lambda secret: a_payload(image_size=[secret]),
    lambda secret: {"cancel": a_payload(prompt=secret)},
    lambda secret: {"cancel": "a", "prompt": secret},
]


@pytest.mark.parametrize("hide", HIDING_PLACES)
def test_no_error_shows_a_prompt_of_the_wrong_type_or_in_a_wrong_outer_value(hide: Callable[[str], object]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_message(encoded(hide(SECRET)))
    assert SECRET[:12] not in str(refused.value)
    assert all(SECRET[:12] not in repr(problem) for problem in refused.value.problems)


@pytest.mark.parametrize("spoilt", [b'{"prompt": "%s", "a": 1, "a": 2}', b'{"prompt": "%s"', b'{"prompt": "%s", NaN}'])
def test_no_error_shows_the_prompt_of_bytes_that_are_not_json(spoilt: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_message(spoilt.replace(b"%s", SECRET.encode()))
    assert SECRET[:12] not in str(refused.value)


def test_a_request_in_a_log_line_shows_no_prompt() -> None:
    assert SECRET not in repr(a_request(prompt=SECRET))


# -- values -----------------------------------------------------------------------------------------------------------


def test_what_is_not_said_is_filled_with_the_contracts_defaults() -> None:
    assert a_request() == RenderRequest(
        request_id="spring-hero-001",
        prompt="a black mechanical keyboard",
        tenant="default",
        purpose="default",
        model=None,
        image_size="1K",
        aspect_ratio=None,
        references=(),
        lane="standard",
        priority="normal",
        deadline=None,
        max_cost_micros=None,
        floor=Floor(None, None),
        allow_gateway=False,
        allow_batch=False,
        escalates=None,
        group=None,
        grounding=False,
        labels={},
        thinking=None,
        safety={},
        system_instruction=None,
        output_format=None,
        output_quality=None,
    )


def test_every_field_that_is_said_is_kept() -> None:
    assert a_full_request() == RenderRequest(
        request_id="spring-hero-001",
        prompt="a black mechanical keyboard",
        tenant="web",
        purpose="final",
        model="nano-banana-pro",
        image_size="4K",
        aspect_ratio="16:9",
        references=(ReferenceUri("gs://b/a.png", "image/png"), ReferenceUri("https://h/b", None)),
        lane="flex",
        priority="bulk",
        deadline=datetime(2026, 12, 1, 12, tzinfo=UTC),
        max_cost_micros=300_000,
        floor=Floor("1K", "nano-banana-2"),
        allow_gateway=True,
        allow_batch=True,
        escalates="spring-hero-000",
        group="spring",
        grounding=True,
        labels={"campaign": "spring"},
        thinking="low",
        safety={"image_hate": "block_only_high"},
        system_instruction="flat colours",
        output_format="webp",
        output_quality=80,
    )


def a_full_payload(**changes: Any) -> dict[str, Any]:
    return (
        a_payload(
            tenant="web",
            purpose="final",
            model="nano-banana-pro",
            image_size="4K",
            aspect_ratio="16:9",
            references=[{"uri": "gs://b/a.png", "mime_type": "image/png"}, {"uri": "https://h/b"}],
            lane="flex",
            priority="bulk",
            deadline="2026-12-01T13:00:00+01:00",
            max_cost_usd="0.30",
            floor={"image_size": "1K", "model": "nano-banana-2"},
            allow={"gateway": True, "batch": True},
            escalates="spring-hero-000",
            group="spring",
            grounding=True,
            labels={"campaign": "spring"},
            thinking="low",
            safety={"image_hate": "block_only_high"},
            system_instruction="flat colours",
            output_format="webp",
            output_quality=80,
        )
        | changes
    )


def a_full_request(**changes: Any) -> RenderRequest:
    return RenderRequest.parse(a_full_payload(**changes))


def test_the_floor_can_forbid_every_step_down() -> None:
    assert a_request(floor="exact").floor == "exact"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-01T12:00:00Z", datetime(2026, 12, 1, 12, tzinfo=UTC)),
        ("2026-12-01t12:00:00z", datetime(2026, 12, 1, 12, tzinfo=UTC)),
        ("2026-12-01T12:00:00+05:30", datetime(2026, 12, 1, 6, 30, tzinfo=UTC)),
        ("2026-12-01T12:00:00-08:00", datetime(2026, 12, 1, 20, tzinfo=UTC)),
        ("2026-12-01T12:00:00.5Z", datetime(2026, 12, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_deadline_of_any_offset_is_one_moment_in_utc(text: str, moment: datetime) -> None:
    deadline = a_request(deadline=text).deadline
    assert deadline == moment
    assert deadline is not None
    assert deadline.tzinfo is UTC


@pytest.mark.parametrize(("text", "micros"), [("0.30", 300_000), ("5", 5_000_000), ("007.5", 7_500_000)])
def test_a_cost_cap_is_exact_micro_dollars(text: str, micros: int) -> None:
    assert a_request(max_cost_usd=text).max_cost_micros == micros


# -- the same content is the same request -----------------------------------------------------------------------------

SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"tenant": "default", "purpose": "default", "image_size": "1K", "lane": "standard", "priority": "normal"}),
    ({}, {"references": [], "allow": {}, "floor": {}, "labels": {}, "grounding": False, "safety": {}}),
    (
        {"safety": {"image_hate": "off", "harassment": "off"}},
        {"safety": {"harassment": "off", "image_hate": "off"}},
    ),
    ({"allow": {"gateway": False}}, {"allow": {"batch": False}}),
    ({"max_cost_usd": "0.30"}, {"max_cost_usd": "0.300"}),
    ({"max_cost_usd": "5"}, {"max_cost_usd": "05.000000"}),
    ({"deadline": "2026-12-01T12:00:00Z"}, {"deadline": "2026-12-01T13:00:00+01:00"}),
    ({"deadline": "2026-12-01T12:00:00Z"}, {"deadline": "2026-12-01t12:00:00.000z"}),
    ({"labels": {"a": "1", "b": "2"}}, {"labels": {"b": "2", "a": "1"}}),
    ({"allow": {"gateway": True}}, {"allow": {"batch": False, "gateway": True}}),
]

OTHER: list[dict[str, Any]] = [
    {"prompt": "a black mechanical keyboard "},
    {"tenant": "web"},
    {"purpose": "final"},
    {"model": "nano-banana-2"},
    {"model": "gemini-3.1-flash-image"},
    {"model": "gemini-nano-banana-2.1"},
    {"image_size": "2K"},
    {"aspect_ratio": "1:1"},
    {"references": [A_REFERENCE]},
    {"references": [A_REFERENCE | {"mime_type": "image/png"}]},
    {"references": [A_REFERENCE, {"uri": "gs://b/a"}]},
    {"references": [{"uri": "gs://b/a"}, A_REFERENCE]},
    {"lane": "batch"},
    {"priority": "bulk"},
    {"deadline": "2026-12-01T12:00:00Z"},
    {"deadline": "2026-12-01T12:00:00.000001Z"},
    {"max_cost_usd": "0.30"},
    {"max_cost_usd": "0.300001"},
    {"floor": "exact"},
    {"floor": {"image_size": "1K"}},
    {"floor": {"model": "nano-banana-2"}},
    {"allow": {"gateway": True}},
    {"allow": {"batch": True}},
    {"escalates": "spring-hero-000"},
    {"group": "spring"},
    {"grounding": True},
    {"grounding": "image"},
    {"thinking": "minimal"},
    {"thinking": "medium"},
    {"safety": {"image_hate": "off"}},
    {"safety": {"image_hate": "block_none"}},
    {"system_instruction": "flat colours"},
    {"output_format": "jpeg"},
    {"output_format": "png"},
    {"output_format": "jpeg", "output_quality": 80},
    {"labels": {"a": "1"}},
    {"labels": {"a": "1", "b": "2"}},
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_values_are_the_same_content_however_they_are_written(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert a_request(**one) == a_request(**other)
    assert a_request(**one).content_hash == a_request(**other).content_hash


def test_the_order_of_the_fields_does_not_matter() -> None:
    forwards = a_full_payload()
    backwards = dict(reversed(forwards.items()))
    assert RenderRequest.parse(forwards).content_hash == RenderRequest.parse(backwards).content_hash


def test_any_other_value_is_other_content() -> None:
    hashes = [a_request(**changes).content_hash for changes in ({}, *OTHER)]
    assert len(set(hashes)) == len(hashes)


def test_the_content_is_compared_before_aliases_are_resolved() -> None:
    by_alias, by_id = a_request(model="nano-banana-pro"), a_request(model="gemini-3-pro-image")
    assert by_alias.content_hash != by_id.content_hash


def test_the_hash_of_a_content_stays_what_it_is_from_release_to_release() -> None:
    """It stands in the store for 30 days: a change of its recipe would refuse every repeated request."""
    newer = ("thinking", "safety", "system_instruction", "output_format", "output_quality")
    older = {name: value for name, value in a_full_payload().items() if name not in newer}
    assert RenderRequest.parse(older).content_hash == "a07e79b060817508433b2e6adb5f7d289224593fe4ca247e09b91a9a8a06fc63"
    assert a_request().content_hash == "cafe49f4942031db211239970719d1208d1bb2a36ccb9d85fcb306b8c477ed64"


class _NewerRequest(RenderRequest, frozen=True):
    """A release that has one more optional field, and one more consent."""

    sharpness: str = "as it comes"
    allow_elsewhere: bool = True

    def to_json(self) -> dict[str, Any]:
        older = super().to_json()
        allow = older["allow"] | {"elsewhere": self.allow_elsewhere}
        return older | {"sharpness": self.sharpness, "allow": allow}


def _newer(request: RenderRequest, **changes: Any) -> _NewerRequest:
    return _NewerRequest(**{name: getattr(request, name) for name in request.__struct_fields__} | changes)


@pytest.mark.parametrize("fields", [{}, *OTHER], ids=short)
def test_a_new_optional_field_changes_no_hash_of_an_old_message(fields: dict[str, Any]) -> None:
    request = a_request(**fields)
    assert _newer(request).content_hash == request.content_hash


def test_a_new_optional_field_that_is_set_is_other_content() -> None:
    request = a_request()
    hashes = {
        request.content_hash,
        _newer(request, sharpness="high").content_hash,
        _newer(request, allow_elsewhere=False).content_hash,
    }
    assert len(hashes) == 3


@pytest.mark.parametrize("fields", [{}, *OTHER], ids=short)
def test_content_that_an_earlier_release_wrote_has_the_hash_of_today(fields: dict[str, Any]) -> None:
    request = a_request(**fields)
    older = {name: value for name, value in request.to_json().items() if name != "grounding" or value}
    assert hash_of_content(older) == hash_of_content(request.to_json()) == request.content_hash
    assert hash_of_content(older, _NewerRequest) == _newer(request).content_hash


# -- to JSON and back -------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
prompts = words.map(lambda text: f"{text}.")
label_keys = words.filter(lambda key: not (key.startswith("__") and key.endswith("__")))
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_:-]{0,20}(\.[A-Za-z0-9]{1,5})?", fullmatch=True)
seconds = st.integers(
    int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2999, 1, 1, tzinfo=UTC).timestamp())
)
moments = st.builds(
    lambda s, micros: datetime.fromtimestamp(s, UTC).replace(microsecond=micros), seconds, st.integers(0, 999_999)
)
requests = st.builds(
    RenderRequest,
    request_id=ids,
    prompt=prompts,
    tenant=ids,
    purpose=st.sampled_from(["draft", "default", "final"]),
    model=st.none() | words,
    image_size=st.sampled_from(["512", "1K", "2K", "4K"]),
    aspect_ratio=st.none() | st.just("16:9"),
    references=st.lists(
        st.builds(ReferenceUri, st.just("gs://bucket/a"), st.none() | st.just("image/webp")), max_size=14
    ).map(tuple),
    lane=st.sampled_from(["standard", "priority", "flex", "batch"]),
    priority=st.sampled_from(["interactive", "normal", "bulk"]),
    deadline=st.none() | moments,
    max_cost_micros=st.none() | st.integers(1, 999_999_999_999),
    floor=st.just("exact") | st.builds(Floor, st.none() | st.sampled_from(["512", "4K"]), st.none() | words),
    allow_gateway=st.booleans(),
    allow_batch=st.booleans(),
    escalates=st.none() | ids,
    group=st.none() | words,
    grounding=st.sampled_from([False, True, "image"]),
    labels=st.dictionaries(label_keys, words, max_size=32),
    thinking=st.none() | st.sampled_from(THINKING),
    safety=st.dictionaries(st.sampled_from(SAFETY_CATEGORIES), st.sampled_from(SAFETY_THRESHOLDS)),
    system_instruction=st.none() | prompts,
    output_format=st.none() | st.sampled_from(OUTPUT_FORMATS),
    output_quality=st.none() | st.integers(1, 100),
)


@given(requests)
def test_a_request_written_as_json_parses_to_itself(request: RenderRequest) -> None:
    message = parse_message(json.dumps(request.to_json()).encode())
    assert message == request
    assert isinstance(message, RenderRequest)
    assert message.content_hash == request.content_hash
    assert message.to_json() == request.to_json()


@given(requests, requests, st.booleans())
def test_two_requests_have_one_hash_only_where_they_are_equal(
    request: RenderRequest, other: RenderRequest, almost: bool
) -> None:
    changed = replace(request, group=other.group) if almost else other
    assert (changed.content_hash == request.content_hash) == (changed == request)


# -- bytes ------------------------------------------------------------------------------------------------------------


def test_a_message_may_be_256_kib_long_and_not_a_byte_more() -> None:
    data = encoded(a_payload())
    padded = data + b" " * (256 * 1024 - len(data))
    assert parse_message(padded) == a_request()
    with pytest.raises(InvalidRequest) as refused:
        parse_message(padded + b" ")
    problem = refused.value.problems[0]
    assert problem.found == "262,145 bytes"
    assert problem.allowed == "at most 262,144 bytes"
    assert "bucket" in problem.remedy


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_text_in_another_encoding_is_told_to_be_saved_as_utf_8(encoding: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_message(encoded(a_payload()).decode().encode(encoding))
    (problem,) = refused.value.problems
    assert problem.remedy == "Save it as UTF-8 without a byte order mark."
    assert "attributes" not in problem.remedy


def test_a_message_without_data_is_told_where_the_request_belongs() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_message(b"")
    assert "not in its attributes" in refused.value.problems[0].remedy


def test_a_prompt_that_shows_nothing_is_told_what_is_missing_and_not_shown() -> None:
    problem = only_problem(a_payload(prompt=" \u200b"))
    assert problem.found == "a string of 2 characters"
    assert "visible" in problem.allowed
    assert problem.remedy == "Describe what the image should show."


def test_what_shows_nothing_is_what_unicode_calls_blank_or_ignorable() -> None:
    """By the categories that Python's tables have; fillers are letters there, and joiners may stand between letters."""
    for code in range(0x110000):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Cc", "Zs", "Zl", "Zp") or character.isspace():
            assert re.fullmatch(VISIBLE_PATTERN, character) is None, hex(code)
        elif category[0] in "LNPS" and code not in FILLERS:
            assert re.fullmatch(VISIBLE_PATTERN, character), hex(code)


FILLERS = (0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0)


@given(st.text(st.sampled_from("_a\n$.") | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8))
@example("__")
@example("___")
@example("__a\nb__")
def test_the_request_takes_the_label_keys_that_the_store_takes(key: str) -> None:
    try:
        check_writes([Create("requests/a", {"request": {"labels": {key: "v"}}})])
        stored = True
    except InvalidDocument:
        stored = False
    try:
        a_request(labels={key: "v"})
        taken = True
    except InvalidRequest:
        taken = False
    assert taken == stored


UNREADABLE: list[tuple[bytes, str]] = [
    (b"", "Expecting value"),
    (b"   ", "Expecting value"),
    (b"{", "not JSON"),
    (b"{'request_id': 'a'}", "not JSON"),
    (b"\xef\xbb\xbf" + encoded(a_payload()), "BOM"),
    (encoded(a_payload()).decode().encode("utf-16"), "not valid Unicode"),
    (b"\xff\xfe", "not valid Unicode"),
    (b'{"request_id": "a", "prompt": "\xed\xa0\x80"}', "not valid Unicode"),
    (rb'{"request_id": "a", "prompt": "\ud800"}', "not valid Unicode"),
    (rb'{"\udfff": 1}', "not valid Unicode"),
    (b'{"request_id": "a", "prompt": "x", "prompt": "x"}', "'prompt' appears twice"),
    (b'{"request_id": "a", "prompt": "x", "labels": {"k": "1", "k": "2"}}', "'k' appears twice"),
    (b'{"request_id": NaN}', "NaN is not JSON"),
    (b'{"request_id": -Infinity}', "-Infinity is not JSON"),
    (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, "nested too deeply"),
    (b"1" * 5_000, "not JSON"),
    (b"nothing", "not JSON"),
]


@pytest.mark.parametrize(("data", "reason"), UNREADABLE, ids=lambda value: repr(value)[:30])
def test_bytes_that_are_no_json_are_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_message(data)
    problem = refused.value.problems[0]
    assert problem.field == "the message"
    assert reason in problem.found
    assert problem.allowed == "UTF-8 JSON"
    assert refused.value.request_id is None


def test_a_surrogate_pair_is_one_good_character() -> None:
    message = parse_message(rb'{"request_id": "a", "prompt": "\ud83c\udfb9"}')
    assert isinstance(message, RenderRequest)
    assert message.prompt == "🎹"


@pytest.mark.parametrize("number", [b"1" * 4_300, b"-1e400", b"1e400", b"0.1", b"-0"])
@pytest.mark.parametrize("field", ["request_id", "prompt", "image_size", "labels", "deadline", "max_cost_usd"])
def test_a_number_of_any_size_is_a_wrong_type_and_nothing_worse(field: str, number: bytes) -> None:
    data = b'{"request_id": "a", "prompt": "x", "%s": %s}' % (field.encode(), number)
    with pytest.raises(InvalidRequest):
        parse_message(data.replace(b'"%s": "a", ' % field.encode(), b"").replace(b'"%s": "x", ' % field.encode(), b""))


@pytest.mark.parametrize("depth", [*range(1, 60), *range(880, 1_010), 5_000])
def test_nesting_of_any_depth_is_refused_and_nothing_worse(depth: int) -> None:
    data = b'{"request_id": "a", "prompt": "x", "labels": ' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(InvalidRequest):
        parse_message(data)


def test_a_message_of_many_thousand_fields_is_read_in_no_time() -> None:
    """Counting each name among all the others took many seconds."""
    pairs = b",".join(b'"%d":1' % number for number in range(25_000))
    began = process_time()
    with pytest.raises(InvalidRequest, match="appears twice"):
        parse_message(b"{" + pairs + b',"0":1}')
    assert process_time() - began < 1


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_raise_invalid_request_and_nothing_else(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_message(data)


def read(data: bytes) -> RenderRequest | InvalidRequest:
    try:
        message = parse_message(data)
    except InvalidRequest as refused:
        return refused
    assert isinstance(message, RenderRequest)
    return message


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(anything, st.sampled_from(sorted(a_full_payload())))
def test_any_json_in_any_field_is_accepted_or_raises_invalid_request(value: object, field: str) -> None:
    data = json.dumps(a_full_payload(**{field: value})).encode()
    verdict = read(data)
    if isinstance(verdict, InvalidRequest):
        assert verdict.problems
        assert all(problem.field.startswith((field, "the message")) for problem in verdict.problems)


@given(st.data())
def test_a_good_message_with_a_few_bytes_changed_is_read_or_raises_invalid_request(data: st.DataObject) -> None:
    message = bytearray(encoded(a_full_payload()))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    verdict = read(bytes(message))
    assert isinstance(verdict, RenderRequest) or verdict.problems


# -- ids as paths -----------------------------------------------------------------------------------------------------


@given(st.text(st.sampled_from("aZ0._:-/\\ \n%~$*") | st.characters(), min_size=1, max_size=12))
def test_an_id_or_tenant_that_is_accepted_is_one_harmless_part_of_a_path(text: str) -> None:
    try:
        request = a_request(request_id=text, tenant=text)
    except InvalidRequest:
        return
    assert re.fullmatch(r"[A-Za-z0-9._:-]+", text)
    for path in (
        request_record.path(text),
        request_record.attempt_path(text, 1),
        request_record.image_key(text, text, NOW, 1),
    ):
        parts = PurePosixPath(path).parts
        assert not {"", ".", ".."} & set(path.split("/"))
        assert not path.startswith("/")
        assert len(parts) == len(path.split("/"))
        assert not any(part.startswith((".", "-", "__")) for part in parts)
    assert request.request_id == text


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_a_cancel_message_names_the_request_it_ends() -> None:
    assert parse_message(b'{"cancel": "spring-hero-001"}') == Cancel("spring-hero-001")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"cancel": ""}, "cancel"),
        ({"cancel": "a" * 129}, "cancel"),
        ({"cancel": ".."}, "cancel"),
        ({"cancel": None}, "cancel"),
        ({"cancel": ["a"]}, "cancel"),
        ({"cancel": "a", "request_id": "b"}, "request_id"),
        ({"cancel": "a", "reason": "changed my mind"}, "reason"),
    ],
)
def test_a_cancel_message_has_one_good_id_and_nothing_else(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_message(encoded(payload))
    assert [problem.field for problem in refused.value.problems] == [field]
    assert refused.value.request_id is None


def test_who_asks_for_a_gateway_is_told_how_to_consent_to_one() -> None:
    with pytest.raises(InvalidRequest) as refused:
        a_request(lane="gateway")
    (problem,) = refused.value.problems
    assert problem.allowed == ", ".join(lanes.ASKABLE)
    assert '"allow": {"gateway": true}' in problem.remedy


@pytest.mark.parametrize(
    ("data", "urgent"),
    [
        (b'{"request_id": "a", "priority": "interactive"}', True),
        (b'{"request_id": "a", "priority": "normal", "prompt": "interactive"}', False),
        (b'{"priority": ["interactive"]}', False),
        (b'["interactive"]', False),
        (b'{"priority": "interactive"', False),
        (b"[" * 100_000 + b"interactive", False),
        (b'{"priority": "interactive", "prompt": "' + b"a" * 300_000 + b'"}', False),
        (b'\xff"priority": "interactive"', False),
        (b"", False),
    ],
)
def test_only_a_message_that_says_so_itself_is_urgent(data: bytes, urgent: bool) -> None:
    assert is_urgent(data) is urgent
