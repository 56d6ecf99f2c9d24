"""What the fuzzer found in the product, each kind once, as it is played again."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.fuzzing import registry
from scripts.fuzzing.door import problems_of, text_of
from shared.adapters.gemini_batch.batch_status import Operation, created_at

EDGES = ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59")
"""Moments that their offsets take out of the calendar."""
_ANSWER: dict[str, Any] = {"status": 500, "headers": {}}
_PUBLISHED = {"attributes": {}, "twice": False}
_FORM = {"method": "POST", "place": 0, "fields": {}, "noise": False, "part_of_page": False}
_PAGE = {"method": "GET", "place": 0, "part": "cancel", "noise": False, "part_of_page": False}
_WEBHOOK = {
    "skew": 0,
    "body": "{}",
    "changed_after": False,
    "head": {},
    "headers": {},
    "method": "POST",
    "ends": "whole",
}
REGRESSIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "a replay of a webhook for a name that stands in no path": (
        "command",
        {"arguments": ["tenant", "web", "webhook", "replay", "1/0"], "stdin": "y\n"},
    ),
    "a webhook endpoint whose name stands in no path": (
        "command",
        {"arguments": ["tenant", "web", "webhook", "enable", "a/b"], "stdin": "y\n"},
    ),
    "a deadline that is written as one of the year 3000": (
        "request",
        _PUBLISHED | {"data": '{"request_id": "r-1", "prompt": "a boat", "deadline": "2999-12-31T23:59:59-23:59"}'},
    ),
    "an error body that is nested beyond all bounds": (
        "answers", _ANSWER | {"verb": "interactions", "body": '{"error": @DEEP'},
    ),
    "the same of a background call": ("answers", _ANSWER | {"verb": "start", "body": '{"error": @DEEP'}),
    "an error of a batch's file that quotes prompt and key": (
        "answers",
        _ANSWER | {
            "verb": "results", "status": 400,
            "body": '{"error": {"code": 400, "message": "in line 1: a quokka-in-a-prompt beside a river, in the morning'
            ' AQ.a-key-of-nobody-0123456789", "status": "INVALID_ARGUMENT"}}',
        },
    ),
    "an error of a deletion that quotes the key": (
        "answers", _ANSWER | {"verb": "delete", "body": '{"error": {"message": "AQ.a-key-of-nobody-0123456789"}}'},
    ),
    "a filter of the console at the edge of the calendar": (
        "console", _PAGE | {"path": "/bulk/{action}", "fields": {"until": EDGES[0]}},
    ),
    "the undoing of a budget of no tenant": ("console", _FORM | {"path": "/budgets/{tenant}/undo", "part": "__x__"}),
    "the same under a long name": ("console", _FORM | {"path": "/budgets/{tenant}/undo", "part": "x" * 2_000}),
    "a share of more digits than Python reads": (
        "console", _FORM | {"path": "/flags/trip", "fields": {"name": "use-nano-banana-2", "share": "9" * 5_000}},
    ),
    "an issuer that is a list": ("arrive", _WEBHOOK | {"way": "token", "claims": {"iss": [2147483648]}}),
    "an issuer that is an object": ("arrive", _WEBHOOK | {"way": "token", "claims": {"iss": {}}}),
    "a plan at the edge of the calendar": ("command", {"arguments": ["plan", "--at", EDGES[0], "missing"], "stdin": ""}),  # noqa: E501
    "a filter of the command there": ("command", {"arguments": ["list", "--since", EDGES[1]], "stdin": ""}),
    "a value of 100,000 characters in the catalogue": ("catalogue", {"text": text_of(b'purposes = "' + b"x" * 100_000 + b'"')}),  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize("name", REGRESSIONS)
def test_what_was_found_is_not_found_any_more(name: str) -> None:
    door, item = REGRESSIONS[name]
    assert problems_of(registry.door(door), item) == []


@pytest.mark.parametrize("edge", EDGES)
def test_a_batch_that_was_made_at_the_edge_of_the_calendar_ends_no_search(edge: str) -> None:
    from msgspec import Raw

    operation = Operation(metadata=Raw(f'{{"createTime": "{edge}"}}'.encode()))
    assert created_at(operation).year == 9999
