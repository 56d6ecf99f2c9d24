"""The checker of the chaos bench: each contradiction between the four accounts is found, and only those."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from scripts.bench.chaos import checker, main
from scripts.bench.chaos.checker import Accounts
from scripts.bench.chaos.killer import ChaosRun
from tests.builders import NOW

WHOLE = b"\xff\xd8\xff picture \xff\xd9"
Rows = dict[str, Any]


def a_document(name: str, **changes: Any) -> Rows:
    whole = {"status": "succeeded", "outcome": {"code": "succeeded"}, "image_uri": f"file:///{name}.jpg"}
    return whole | {"finished_at": NOW + timedelta(seconds=1)} | changes


def a_call(name: str, **changes: Any) -> Rows:
    call: Rows = {"marker": name, "charged": True, "cost_micros": 33_600, "status": 200, "outcome": "image"}
    return call | {"finished_at": NOW.isoformat()} | changes


def an_attempt(**changes: Any) -> Rows:
    return {"cost_micros": 33_600, "cost_basis": "metered", "outcome": "succeeded"} | changes


def accounts() -> Accounts:
    names = ["r-1", "r-2"]
    return Accounts(
        published=names,
        documents={name: a_document(name) for name in names},
        attempts={name: [an_attempt()] for name in names},
        images=dict.fromkeys(names, WHOLE),
        results=[{"request_id": name, "status": "succeeded"} for name in names],
        calls=[a_call(name) for name in names],
    )


def of(mapping: Mapping[str, Any], name: str, value: Any) -> Rows:
    return {**mapping, name: value}


def test_accounts_that_agree_have_no_problem() -> None:
    report = checker.check(accounts())
    assert list(report.problems) == []
    assert (report.charged, report.paid_twice, report.billed_micros, report.booked_micros) == (2, 0, 67_200, 67_200)
    assert report.settle_ms == 1_000.0


PLANTED: dict[str, tuple[Callable[[Accounts], Accounts], str]] = {
    "lost": (
        lambda a: replace(a, documents={"r-1": a.documents["r-1"]}),
        "never heard of it",
    ),
    "unfinished": (
        lambda a: replace(a, documents=of(a.documents, "r-2", a_document("r-2", status="rendering", image_uri=None))),
        "still rendering",
    ),
    "from nowhere": (
        lambda a: replace(a, documents=of(a.documents, "r-9", a_document("r-9"))),
        "nobody published it",
    ),
    "no image": (lambda a: replace(a, images=of(a.images, "r-2", None)), "there is no image"),
    "half an image": (lambda a: replace(a, images=of(a.images, "r-2", WHOLE[:8])), "no whole JPEG"),
    "one image for two": (
        lambda a: replace(a, documents=of(a.documents, "r-2", a_document("r-1"))),
        "the image of 2 requests",
    ),
    "no result": (lambda a: replace(a, results=list(a.results)[:1]), "announced as nothing"),
    "another result": (
        lambda a: replace(a, results=[*a.results, {"request_id": "r-2", "status": "failed"}]),
        "announced as",
    ),
    "a charge from nowhere": (lambda a: replace(a, calls=[*a.calls, a_call("r-9")]), "charged, and nobody"),
    "a charge that is not booked": (lambda a: replace(a, calls=[*a.calls, a_call("r-2")]), "1 charges are not booked"),
    "a booking without a charge": (lambda a: replace(a, calls=list(a.calls)[:1]), "has not charged"),
    "another price": (
        lambda a: replace(a, attempts=of(a.attempts, "r-2", [an_attempt(cost_micros=50_400)])),
        "has not charged",
    ),
    "left behind": (lambda a: replace(a, left_with_provider=3), "3 interactions"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_contradiction_is_found(name: str) -> None:
    plant, words = PLANTED[name]
    problems = checker.check(plant(accounts())).problems
    assert any(words in problem for problem in problems), problems


def test_a_charge_behind_an_attempt_of_unknown_cost_is_explained_and_counted() -> None:
    crashed = an_attempt(cost_micros=0, cost_basis="unknown", outcome="crashed")
    whole = accounts()
    report = checker.check(
        replace(whole, calls=[*whole.calls, a_call("r-2")], attempts=of(whole.attempts, "r-2", [crashed, an_attempt()]))
    )
    assert list(report.problems) == []
    assert (report.paid_twice, report.unknown_attempts) == (1, 1)


def test_the_goals_are_missed_where_they_are_missed() -> None:
    report = checker.check(accounts())
    run = ChaosRun(accounts(), kills=2, in_flight=10, seconds=1.0)
    assert main.missed(report, run) == []
    assert main.missed(report, replace(run, in_flight=0)) == ["the kills hit no call: this run shows nothing"]
    assert "3 images paid twice in 2 kills" in main.missed(replace(report, paid_twice=3), run)[0]
    assert "1 requests did not succeed" in main.missed(replace(report, by_status={"succeeded": 1}), run)[0]
    many = replace(report, requests=10_000, by_status={"succeeded": 10_000}, paid_twice=6)
    assert "paid twice 0.060%" in main.missed(many, replace(run, kills=200))[0]


def test_each_way_is_a_plan_of_its_own() -> None:
    assert main.of_way(main.QUICK, "background") == main.QUICK
    assert main.of_way(main.QUICK, "refused").refused
    assert main.of_way(main.QUICK, "off").background == "off"
