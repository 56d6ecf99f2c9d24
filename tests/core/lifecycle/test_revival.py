"""The new request of a revival, as a value."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta

import pytest

from shared.core.lifecycle import revival
from shared.core.lifecycle.revival import Revival, new_ids
from shared.core.messages.render_request import ID_PATTERN, RenderRequest, parse_message
from shared.core.validation.shapes import Problem
from tests.builders import NOW, a_request, a_request_record


def first(old_id: str, *, is_revival: bool = False, count: int = 2) -> list[str]:
    return list(itertools.islice(new_ids(old_id, is_revival=is_revival), count))


def test_ids_are_counted_from_the_second_round() -> None:
    assert first("spring") == ["spring-r2", "spring-r3"]
    assert first("spring-r2", is_revival=True) == ["spring-r3", "spring-r4"]
    assert first("spring-r9", is_revival=True) == ["spring-r10", "spring-r11"]


def test_an_id_that_only_looks_like_a_revival_keeps_its_ending() -> None:
    assert first("camera-r2") == ["camera-r2-r2", "camera-r2-r3"]


@pytest.mark.parametrize("length", [124, 125, 126, 127, 128])
def test_a_long_id_stays_an_id_and_differs_from_its_neighbours(length: int) -> None:
    ids = [next(new_ids("x" * (length - 1) + name, is_revival=False)) for name in "ab"]
    assert len(set(ids)) == 2
    for name in ids:
        assert len(name) <= 128
        assert a_request(request_id=name).request_id == name, ID_PATTERN


def test_nothing_but_the_id_and_a_passed_deadline_is_changed() -> None:
    render_request = a_request(
        model="nano-banana-pro", image_size="2K", deadline="2026-11-22T11:00:00Z", max_cost_usd="0.50", floor="exact",
        allow={"batch": True}, labels={"campaign": "spring"}, references=[{"uri": "gs://b/a.png"}], escalates="x",
    )  # fmt: skip
    old = a_request_record(render_request, status="failed")
    planned = revival.plan("spring-hero-001", old, "new", NOW)
    assert isinstance(planned, Revival)
    again = parse_message(planned.data)
    assert isinstance(again, RenderRequest)
    kept = render_request.to_json() | {"request_id": "new"}
    del kept["deadline"]
    assert again.to_json() == kept
    assert planned.notes == ("its deadline, 2026-11-22 11:00:00 UTC, has passed: it is dropped",)
    assert "keyboard" not in repr(planned)


def test_a_new_deadline_takes_the_place_of_the_old_one() -> None:
    old = a_request_record(a_request(deadline="2026-11-22T11:00:00Z"), status="expired")
    planned = revival.plan("spring-hero-001", old, "new", NOW, NOW + timedelta(hours=1))
    assert isinstance(planned, Revival)
    assert json.loads(planned.data)["deadline"] == "2026-11-22T13:00:00Z"
    assert planned.notes == ()


@pytest.mark.parametrize("status", ["queued", "released", "rendering", "batched", "succeeded"])
def test_what_is_not_over_or_well_is_refused(status: str) -> None:
    problem = revival.plan("spring-hero-001", a_request_record(status=status), "new", NOW)
    assert isinstance(problem, Problem)
    assert (problem.field, problem.found) == ("status", status)


@pytest.mark.parametrize("status", revival.REVIVABLE)
def test_whatever_ended_without_an_image_may_go_round_again(status: str) -> None:
    assert isinstance(revival.plan("spring-hero-001", a_request_record(status=status), "new", NOW), Revival)


def test_a_refusal_is_no_part_of_a_filter() -> None:
    assert set(revival.REVIVABLE) - set(revival.BY_FILTER) == {"refused"}
