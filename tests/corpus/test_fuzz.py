"""Mutated real answers: none loses a whole picture, is booked as free when it may be charged, ends a request for a
state of the project, or raises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.provider.call import Made
from shared.core.provider.failure import Failure, Next
from tests.corpus import mutations, pictures
from tests.corpus.booking import cost_of, may_be_free
from tests.corpus.case import Case, Form, Scripted, all_cases, filled, one_of
from tests.corpus.mutations import Path
from tests.corpus.readers import as_line, read

HOST = "http://127.0.0.1:9"
BOUNDED = settings(max_examples=400)


def _json_cases(*, pictured: bool) -> list[Case]:
    """Cases whose first answer is JSON: a picture that lies in it, or an error."""
    cases = []
    for case in all_cases().values():
        first = case.first
        if isinstance(first, Scripted) and isinstance(first.body, dict | list) and not first.sse:
            inline = case.expected.picture and not case.files
            if (inline and case.form != "batch") if pictured else first.status >= 400:
                cases.append(case)
    return cases


PICTURED = _json_cases(pictured=True)
ERRORS = _json_cases(pictured=False)
NATIVE = [case for case in PICTURED if case.form in ("native", "generate")]


def _of(case: Case) -> Any:
    assert isinstance(case.first, Scripted)
    return filled(case.first.body, HOST)


# -- (a) a whole picture is never lost --------------------------------------------------------------------------------


def _holds_picture(value: Any) -> bool:
    """The value is, or holds, the text of a picture."""
    text = json.dumps(value)
    return any(json.dumps(picture_text)[1:-1] in text for picture_text in _PICTURE_TEXTS)


_PICTURE_TEXTS = [text for name, text in pictures.texts().items() if not name.endswith("HALF") and name != "@GIF"]
_VITAL = ("type", "role")
"""Members that say what the member beside them is: without one a picture is not recognised."""


def _beside_the_picture(value: Any) -> Iterator[Path]:
    """The places that neither hold the picture, nor name it, nor lead to it, nor say that there is no answer."""
    leading = {path for path in mutations.paths(value) if _holds_picture(mutations.get(value, path))}
    around = {path[:-1] for path in leading}
    for path in mutations.paths(value):
        names_it = path[:-1] in around and path[-1] in _VITAL
        if path not in leading and not names_it and path[-1] not in ("status", "thought", "code", "finish_reason"):
            yield path


@BOUNDED
@given(case=st.sampled_from(PICTURED), data=st.data())
def test_no_odd_neighbour_loses_a_whole_picture(case: Case, data: st.DataObject) -> None:
    value = _of(case)
    mutant = data.draw(mutations.changed(value, _beside_the_picture))
    if isinstance(mutant, dict) and mutant.get("error"):
        return
    answer = read(case.form, 200, {}, mutations.encoded(mutant))
    assert isinstance(answer, Made), answer


@pytest.mark.parametrize("case", PICTURED, ids=lambda case: case.name)
@pytest.mark.parametrize("wrapping", range(len(mutations.WRAPPINGS)))
def test_no_wrapping_loses_a_whole_picture(case: Case, wrapping: int) -> None:
    body = mutations.WRAPPINGS[wrapping](mutations.encoded(_of(case)))
    answer = read(case.form, 200, {}, body)
    assert isinstance(answer, Made), answer


@pytest.mark.parametrize(
    "case", [case for case in PICTURED if case.form in ("native", "generate")], ids=lambda c: c.name
)
def test_what_is_read_from_a_gateway_is_read_from_a_batch(case: Case) -> None:
    answer = read("batch", 200, {}, as_line(mutations.encoded(_of(case))))
    assert isinstance(answer, Made), answer


# -- (b) what may be charged is never booked as zero ------------------------------------------------------------------


@BOUNDED
@given(case=st.sampled_from(ERRORS), data=st.data())
def test_no_server_error_of_an_unknown_hand_is_free(case: Case, data: st.DataObject) -> None:
    """The price page speaks of the API's own 400 and 500; another sender of a 5xx may have passed the call on."""
    status = data.draw(st.sampled_from((408, 499, *mutations.SERVER_STATUSES)))
    mutant = data.draw(mutations.changed(_of(case)))
    body = mutations.encoded(mutant)
    body = body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body
    failure = read(case.form, status, data.draw(st.sampled_from(mutations.HEADERS)), body)
    assert isinstance(failure, Failure)
    if not may_be_free(case.form, body, status, failure):
        cost = cost_of(case.form, failure)
        assert cost.micros > 0 or cost.basis == "unknown", (status, body[:200], failure)


@BOUNDED
@given(case=st.sampled_from(PICTURED), data=st.data())
def test_no_broken_200_is_free(case: Case, data: st.DataObject) -> None:
    """A 200 means that the call was served: what cannot be read of it is charged or unknown."""
    body = mutations.encoded(data.draw(mutations.changed(_of(case))))
    if data.draw(st.booleans()):
        body = body[: data.draw(st.integers(0, len(body)))]
    failure = read(case.form, 200, data.draw(st.sampled_from(mutations.HEADERS)), body)
    if isinstance(failure, Failure):
        cost = cost_of(case.form, failure)
        assert cost.micros > 0 or cost.basis == "unknown", (body[:200], failure)


# -- (c) a state of the project ends no request -----------------------------------------------------------------------

SHARED = [case for case in ERRORS if {"wait", "elsewhere"} >= set(one_of(case.expected.next))]
_SAYS = ("code", "status", "message", "reason", "type", "error", "errors", "detail", "domain")
"""Members that the statement itself is made of."""


def _beside_the_statement(value: Any) -> Iterator[Path]:
    """The places that hold no word of the statement, and do not lead to one."""
    saying = {path for path in mutations.paths(value) if path[-1] in _SAYS}
    leading = {path[:length] for path in saying for length in range(1, len(path) + 1)}
    for path in mutations.paths(value):
        if path not in leading:
            yield path


@BOUNDED
@given(case=st.sampled_from(SHARED), data=st.data())
def test_no_state_of_the_project_ends_a_request(case: Case, data: st.DataObject) -> None:
    value = _of(case)
    mutant = data.draw(mutations.changed(value, _beside_the_statement))
    headers = data.draw(st.sampled_from(mutations.HEADERS))
    assert isinstance(case.first, Scripted)
    failure = read(case.form, case.first.status, headers, mutations.encoded(mutant))
    assert isinstance(failure, Failure)
    assert failure.rule.next is not Next.END, failure


# -- (d) nothing raises -----------------------------------------------------------------------------------------------

FORMS: tuple[Form, ...] = ("interactions", "generate", "native", "chat", "images", "batch")


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=200)
@given(data=st.data())
def test_nothing_raises(form: Form, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([*PICTURED, *ERRORS]), label="case")
    body = mutations.encoded(data.draw(mutations.changed(_of(case))))
    body = data.draw(st.sampled_from(mutations.WRAPPINGS))(body) if data.draw(st.booleans()) else body
    at = data.draw(st.integers(0, len(body)))
    match data.draw(st.sampled_from(("whole", "cut", "bytes", "noise"))):
        case "cut":
            body = body[:at]
        case "bytes":
            body = body[:at] + data.draw(st.binary(max_size=8)) + body[at + 1 :]
        case "noise":
            body = data.draw(st.binary(max_size=200))
        case _:
            pass
    status = data.draw(st.sampled_from(mutations.STATUSES))
    read(form, status, data.draw(st.sampled_from(mutations.HEADERS)), body)
