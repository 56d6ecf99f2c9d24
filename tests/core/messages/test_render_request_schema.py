"""shared/request.schema.json and the parser accept the same messages, but for what its descriptions name."""

from __future__ import annotations

import copy
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from shared.core.messages.render_request import REQUEST, InvalidRequest, parse_message, request_schema
from tests.builders import a_payload
from tests.core.messages.test_render_request import BLANK, RESERVED_KEYS, a_full_payload

SCHEMA_FILE = Path(__file__).parent.parent.parent.parent / "shared" / "request.schema.json"
VALIDATOR = Draft202012Validator(request_schema())


def accepted(instance: object) -> bool:
    try:
        parse_message(json.dumps(instance).encode())
    except InvalidRequest:
        return False
    return True


def is_checked_elsewhere(instance: object) -> bool:
    """A deadline on no real day or beyond the years of the calendar; and Python's `$`, which lets a line end follow."""
    if isinstance(instance, list):
        return any(is_checked_elsewhere(item) for item in instance)
    if not isinstance(instance, dict):
        return isinstance(instance, str) and instance.endswith("\n")
    deadline = instance.get("deadline")
    if isinstance(deadline, str) and re.match("[0-9]{4}-", deadline):
        try:
            datetime.fromisoformat(deadline.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            return True
    return any(is_checked_elsewhere(item) for item in instance.values())


def test_the_file_is_what_the_code_writes() -> None:
    """`./scripts/schema` writes it."""
    assert SCHEMA_FILE.read_text("utf-8") == json.dumps(request_schema(), indent=2, ensure_ascii=False) + "\n"


def test_the_schema_is_a_good_schema() -> None:
    Draft202012Validator.check_schema(request_schema())


def test_the_schema_shows_each_default_that_parsing_fills_in() -> None:
    filled = parse_message(json.dumps(a_payload()).encode())
    shown = {name: item["default"] for name, item in REQUEST.schema()["properties"].items() if "default" in item}
    given = parse_message(json.dumps(a_payload(**shown)).encode())
    assert given == filled
    assert " ".join(shown) == "tenant purpose image_size references lane priority floor allow grounding labels"


@pytest.mark.parametrize("field", ["model", "image_size", "aspect_ratio", "references", "lane", "deadline", "floor"])
def test_the_schema_says_where_a_rule_of_its_field_is_checked_elsewhere(field: str) -> None:
    description = REQUEST.schema()["properties"][field]["description"]
    assert "at intake" in description or "real day" in description


def instances(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a schema, of the keywords that ours uses; another keyword fails the test."""
    match {name: item for name, item in schema.items() if name not in ("$schema", "title", "description", "default")}:
        case {"oneOf": choices, **others} | {"anyOf": choices, **others} if not others:
            return st.one_of(*map(instances, choices))
        case {"const": value, **others} if not others:
            return st.just(value)
        case {"enum": values, **others} if not others:
            return st.sampled_from(values)
        case {"type": "boolean", **others} if not others:
            return st.booleans()
        case {"type": "integer", "minimum": least, "maximum": most, **others} if not others:
            return st.integers(least, most)
        case {"type": "string", "minLength": least, "maxLength": most, "pattern": pattern, **others} if not others:
            return st.from_regex(pattern).filter(lambda text: least <= len(text) <= most)
        case {"type": "string", "minLength": least, "maxLength": most, **others} if not others:
            return st.text(st.characters(exclude_categories=["Cs"]), min_size=least, max_size=most)
        case {"type": "array", "maxItems": most, "items": element, **others} if not others:
            return st.lists(instances(element), max_size=most)
        case {
            "type": "object",
            "maxProperties": most,
            "propertyNames": key,
            "additionalProperties": element,
            **others,
        } if not others:
            return st.dictionaries(instances(key), instances(element), max_size=most)
        case {"type": "object", "properties": fields, "additionalProperties": False, **others}:
            required = others.pop("required", [])
            assert not others, others
            parts = {name: instances(field) for name, field in fields.items()}
            return st.fixed_dictionaries(
                {name: parts[name] for name in required},
                optional={name: part for name, part in parts.items() if name not in required},
            )
        case other:
            raise AssertionError(f"no strategy for {other}")


@settings(max_examples=200)
@given(instances(request_schema()))
def test_what_the_schema_allows_the_parser_accepts(instance: object) -> None:
    assert VALIDATOR.is_valid(instance)
    assert accepted(instance) or is_checked_elsewhere(instance)


FULL = a_full_payload(labels={"campaign": "spring"} | {f"k{number}": "v" for number in range(30)})
SEEDS: list[dict[str, Any]] = [FULL, a_payload(), a_payload(floor="exact"), {"cancel": "spring-hero-001"}]

AT_THE_BORDER: list[Any] = [
    *(None, True, False, 0, 1, 512, 0.3, [], {}, "", "exact", "Exact", "default", "1K", "1k", "512", "4K", "batch"),
    *("a" * 63, "a" * 64, "a" * 65, "a" * 128, "a" * 129, "a" * 255, "a" * 256, "a" * 32_000, "a" * 32_001),
    *("🎹" * 63, "🎹" * 64, "🎹" * 255, "🎹" * 256),
    *("..", ".a", "a.", "a..b", "a/b", "a b", "-a", "_a", "a:b", "ä", "0", "00", "0.0", "0.30", "1000000", "999999.9"),
    *("0.1234567", "000000.000000", "000000.000001", "1e5", "5.", ".5", "16:9", "1:1", "100:1", "16:9:1", "٣:٤"),
    *("gs://b/a", "gs://", "ftp://b/a", "gs://b/a b", "https://h/" + "x" * 2038, "https://h/" + "x" * 2039),
    *("2026-12-01T12:00:00Z", "2026-12-01T12:00:00", "2026-12-01t12:00:00.123456+23:59", "2026-12-01T12:00:00.Z"),
    *("2026-12-01T12:00:00.1234567Z", "2026-13-01T12:00:00Z", "2026-12-32T12:00:00Z", "2026-12-01T24:00:00Z"),
    *("image/png", "image/gif", "interactive", "draft"),
    {"image_size": "1K"},
    {"uri": "gs://b/a"},
    {"uri": "gs://b/a", "extra": 1},
    [{"uri": "gs://b/a"}] * 14,
    [{"uri": "gs://b/a"}] * 15,
    {f"k{number}": "v" for number in range(32)},
    {f"k{number}": "v" for number in range(33)},
    {"k" * 63: "v" * 255},
    {"k" * 64: ""},
    {"k": 1},
]
NAMES = ["extra", "Prompt", "cancel", "request_id", "uri", "image_size", "model", "gateway", "k" * 63, "k" * 64, ""]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A good message with one to three things changed, left out, added or repeated."""
    message = copy.deepcopy(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 3))):
        spots = places(message)
        if not spots:
            break
        container, key = draw(st.sampled_from(spots))
        match draw(st.sampled_from(["change", "leave out", "add", "repeat"])):
            case "change":
                container[key] = copy.deepcopy(draw(st.sampled_from(AT_THE_BORDER)))
            case "leave out":
                del container[key]
            case "add" if isinstance(container, dict):
                container[draw(st.sampled_from(NAMES))] = copy.deepcopy(draw(st.sampled_from(AT_THE_BORDER)))
            case _ if isinstance(container, list):
                container.extend(copy.deepcopy(container) * draw(st.integers(1, 7)))
            case _:
                container[key] = copy.deepcopy(container[key])
    return message


@settings(max_examples=500)
@given(mutated())
def test_the_parser_accepts_a_changed_message_exactly_where_the_schema_does(message: Any) -> None:
    if not is_checked_elsewhere(message):
        assert accepted(message) == VALIDATOR.is_valid(message)


@pytest.mark.parametrize("field", [*FULL, "cancel", "extra"])
def test_parser_and_schema_agree_on_every_border_value_of_every_field(field: str) -> None:
    verdicts = {}
    for number, value in enumerate(AT_THE_BORDER):
        message = FULL | {field: value}
        verdicts[number] = accepted(message)
        assert verdicts[number] == VALIDATOR.is_valid(message), repr(value)[:80]
    assert not all(verdicts.values())


def test_the_two_disagree_only_on_days_that_do_not_exist() -> None:
    message = a_payload(deadline="2026-02-30T12:00:00Z")
    assert VALIDATOR.is_valid(message)
    assert not accepted(message)


@pytest.mark.parametrize("deadline", ["0000-01-01T00:00:00Z", "0002-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00"])
def test_both_refuse_years_that_no_deadline_means(deadline: str) -> None:
    message = a_payload(deadline=deadline)
    assert not VALIDATOR.is_valid(message)
    assert not accepted(message)


@pytest.mark.parametrize("prompt", BLANK)
def test_both_refuse_a_prompt_that_shows_nothing(prompt: str) -> None:
    assert not VALIDATOR.is_valid(a_payload(prompt=prompt))
    assert not accepted(a_payload(prompt=prompt))


@pytest.mark.parametrize("key", RESERVED_KEYS)
def test_both_refuse_a_label_that_no_store_takes(key: str) -> None:
    assert not VALIDATOR.is_valid(a_payload(labels={key: "v"}))
    assert not accepted(a_payload(labels={key: "v"}))
