"""The client publishes what the worker takes, and refuses what the worker would reject, field by field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renderlane import Floor, InvalidRequest, Reference, Request
from renderlane.rules import encoded
from shared.core.messages import render_request as worker
from shared.core.messages.render_request import Cancel, RenderRequest, parse_message, request_schema
from tests.builders import a_payload
from tests.core.messages.test_render_request import BLANK, RESERVED_KEYS
from tests.core.messages.test_render_request_schema import instances

SHIPPED = Path("shared/client/src/renderlane/request.schema.json")
MESSAGES: list[dict[str, Any]] = request_schema()["oneOf"]

WRONG: list[dict[str, Any]] = [
    {"prompt": ""},
    {"prompt": "x" * 32_001},
    {"prompt": 7},
    {"request_id": ""},
    {"request_id": "a b"},
    {"request_id": "a..b"},
    {"request_id": "a\n"},
    {"request_id": "x" * 129},
    {"tenant": "x" * 65},
    {"tenant": None},
    {"image_size": "2k"},
    {"image_size": 512},
    {"purpose": "best"},
    {"lane": "gateway"},
    {"priority": "high"},
    {"aspect_ratio": "wide"},
    {"references": [{"uri": "ftp://a"}]},
    {"references": [{"mime_type": "image/png"}]},
    {"references": [{"uri": "gs://b/a"}] * 15},
    {"references": {}},
    {"deadline": "tomorrow"},
    {"deadline": "2026-02-30T12:00:00Z"},
    {"deadline": "2026-12-01T12:00:00"},
    {"max_cost_usd": "0"},
    {"max_cost_usd": "0.1234567"},
    {"max_cost_usd": 0.3},
    {"floor": "near"},
    {"floor": {"image_size": "1k"}},
    {"floor": {"size": "1K"}},
    {"allow": {"gateway": "yes"}},
    {"allow": {"cloud": True}},
    {"grounding": "yes"},
    {"grounding": 1},
    {"thinking": "maximal"},
    {"thinking": None},
    {"safety": {"image_hate": "never"}},
    {"safety": {"image_love": "off"}},
    {"safety": "off"},
    {"system_instruction": ""},
    {"system_instruction": "\u200b"},
    {"system_instruction": "x" * 32_001},
    {"output_format": "jpg"},
    {"output_quality": 0},
    {"output_quality": 101},
    {"output_quality": True},
    {"output_quality": "90"},
    {"output_quality": 90.5},
    {"labels": {"": "v"}},
    {"labels": {"__a__": "v"}},
    *({"labels": {key: "v"}} for key in RESERVED_KEYS),
    *({"prompt": prompt} for prompt in BLANK),
    {"deadline": "0002-01-01T00:00:00Z"},
    {"deadline": "9998-01-01T00:00:00Z"},
    {"labels": {"k": "v" * 256}},
    {"labels": {"k": 1}},
    {"labels": {f"k{number}": "v" for number in range(33)}},
    {"size": "2K"},
]


def fields_of(payload: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The fields that the client and the worker complain about."""
    try:
        encoded(payload)
        ours = set()
    except InvalidRequest as error:
        ours = {problem.field for problem in error.problems}
    try:
        parse_message(json.dumps(payload).encode())
        theirs = set()
    except worker.InvalidRequest as error:
        theirs = {problem.field for problem in error.problems}
    return ours, theirs


def test_the_schema_it_ships_is_the_worker_s() -> None:
    """`./scripts/schema` writes both."""
    assert SHIPPED.read_text("utf-8") == Path("shared/request.schema.json").read_text("utf-8")


@pytest.mark.parametrize(
    "change", WRONG, ids=lambda change: f"{next(iter(change))}={str(next(iter(change.values())))[:20]}"
)
def test_what_the_worker_rejects_the_client_refuses_by_the_same_field(change: dict[str, Any]) -> None:
    ours, theirs = fields_of(a_payload() | change)
    assert ours == theirs != set()


@pytest.mark.parametrize("missing", ["request_id", "prompt"])
def test_what_is_missing_is_named(missing: str) -> None:
    payload = {name: value for name, value in a_payload().items() if name != missing}
    ours, theirs = fields_of(payload)
    assert ours == theirs == {missing}


@settings(max_examples=150)
@given(st.one_of(*map(instances, MESSAGES)))
def test_whatever_the_schema_allows_both_judge_alike(payload: dict[str, Any]) -> None:
    ours, theirs = fields_of(payload)
    assert ours == theirs


@settings(max_examples=150)
@given(
    st.sampled_from(sorted(MESSAGES[0]["properties"])),
    st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.lists(st.text(max_size=5), max_size=3)
    | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)  # fmt: skip
def test_whatever_a_field_is_given_both_judge_alike(name: str, value: object) -> None:
    ours, theirs = fields_of(a_payload() | {name: value})
    assert bool(ours) == bool(theirs), (ours, theirs)


def test_every_field_of_a_request_arrives_as_the_worker_reads_it() -> None:
    full = Request(
        "spring-1", "a lighthouse", tenant="web", purpose="final", model="nano-banana-pro", image_size="2K",
        aspect_ratio="16:9", references=[Reference("gs://b/a.png", "image/png"), Reference("gs://b/b.png")],
        lane="priority", priority="interactive", deadline=datetime(2026, 12, 1, 12, tzinfo=UTC),
        max_cost_usd=Decimal("0.30"), floor=Floor("1K", "nano-banana-2"), allow_gateway=True, allow_batch=True,
        escalates="spring-0", group="spring", grounding="image", labels={"campaign": "spring"}, thinking="low",
        safety={"image_hate": "off"}, system_instruction="flat colours", output_format="webp", output_quality=80,
    )  # fmt: skip
    read = parse_message(full.to_bytes())
    assert isinstance(read, RenderRequest)
    assert read.to_json() == full.to_json() | {"max_cost_usd": read.to_json()["max_cost_usd"]}
    assert read.max_cost_micros == 300_000
    assert set(full.to_json()) == set(MESSAGES[0]["properties"])


def test_the_least_request_is_the_worker_s_least_request() -> None:
    assert parse_message(Request("a", "b").to_bytes()) == RenderRequest("a", "b")
    assert parse_message(encoded({"cancel": "a"})) == Cancel("a")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request("a b", "x"), "request_id"),
        (Request("a", "x", deadline=datetime(2026, 12, 1)), "deadline"),  # noqa: DTZ001
        (Request("a", "x", max_cost_usd=Decimal("0.00000001")), "max_cost_usd"),
        (Request("a", "x", references=[Reference("http://a/b")]), "references[0].uri"),
        (Request("a", "\ud800"), "the message"),
        (Request("a", "ä" * 32_000, labels={f"k{number}": "ä" * 255 for number in range(32)},
                 references=[Reference("https://" + "ä" * 2_000 * 1)] * 14), None),
    ],
)  # fmt: skip
def test_a_problem_names_the_field_and_shows_no_prompt(request_: Request, field: str | None) -> None:
    if field is None:
        assert request_.to_bytes()
        return
    with pytest.raises(InvalidRequest) as refused:
        request_.to_bytes()
    assert [problem.field for problem in refused.value.problems] == [field]


def test_a_prompt_stands_in_no_error_and_no_repr() -> None:
    with pytest.raises(InvalidRequest) as refused:
        Request("a", "zebra" * 10_000).to_bytes()
    assert "zebra" not in str(refused.value)
    assert "zebra" not in repr(Request("a", "zebra"))
