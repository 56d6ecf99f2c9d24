"""The first answer of every case, through every reader that may meet it."""

from __future__ import annotations

import pytest

from shared.core.provider.call import Made, Order
from shared.core.provider.failure import Failure
from tests.corpus.case import Case, Form, Scripted, all_cases, one_of
from tests.corpus.readers import an_order, as_line, error_as_line, forms_like, read
from tests.corpus.wire import sent

HOST = "http://127.0.0.1:9"


def _read_by() -> list[tuple[Case, Form]]:
    """Each case with each form that its first answer can be read in; an answer that breaks off is no reader's."""
    caseses = []
    for case in all_cases().values():
        first = case.first
        if isinstance(first, Scripted) and _is_whole(first):
            caseses += [(case, form) for form in forms_like(case.form) if form != "batch" or _fits_a_line(case, first)]
            if case.form == "interactions" and first.status >= 400 and _in_batch(case) is not None:
                caseses.append((case, "batch"))
    return caseses


def _fits_a_line(case: Case, first: Scripted) -> bool:
    """A batch's line holds one object, or the API's own error."""
    if case.form == "batch":
        return True
    return isinstance(first.body, dict) if first.status < 400 else _in_batch(case) is not None


def _in_batch(case: Case) -> bytes | None:
    """The first answer's error as a line of a batch, where it has that form, stands for itself without a status, and
    means the same for every request."""
    answer = sent(case.first, case.form, "", HOST)
    body = error_as_line(answer.plain)
    depends = b"[[" in answer.plain or "references" in case.requests[0]
    return body if body is not None and not depends and b'"code": ' in body and b'"status": ' in body else None


def _is_whole(answer: Scripted) -> bool:
    broken = answer.close or answer.cut is not None or answer.length is not None or answer.delay
    return not broken and not 300 <= answer.status < 400


READ_BY = _read_by()


@pytest.mark.parametrize(("case", "form"), READ_BY, ids=[f"{case.name}-{form}" for case, form in READ_BY])
def test_the_answer_is_what_it_is(case: Case, form: Form) -> None:
    order = an_order(case.form)
    answer = sent(case.first, case.form, order.model, HOST)
    body, status = answer.plain, answer.status
    if form == "batch" and status >= 400:
        body, status = _in_batch(case) or b"", 200
    elif form == "batch" and case.form != "batch":
        body = as_line(answer.plain)
    elif case.form == "batch":
        body = b'{"key": "r-1/1", ' + answer.plain[1:]
    answer_ = read(form, status, answer.headers, body, _order(case, form))
    _check(case, answer_)


def _order(case: Case, form: Form) -> Order:
    request = case.requests[0]
    return an_order(form, request["prompt"], len(request.get("references", ())))


def _check(case: Case, answer: object) -> None:
    expected = case.expected
    if answer is None:
        assert expected.picture or case.files, f"{case.name}: an address is read where {expected.failure} is right"
    elif expected.picture:
        assert isinstance(answer, Made), f"{case.name}: {case.symptom} {answer}"
    else:
        assert isinstance(answer, Failure), f"{case.name}: {case.symptom} {answer}"
        assert answer.kind.value in one_of(expected.failure), f"{case.name}: {case.symptom} {answer}"
