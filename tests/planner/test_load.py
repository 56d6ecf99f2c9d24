"""What is planned, read from a file or made up."""

from __future__ import annotations

from random import Random

import pytest

from scripts.planner import option_parsers, synthetic_load
from scripts.planner.errors import InvalidLoad
from scripts.planner.latency import ASSUMED, parse
from scripts.planner.limits import given, refuse_zero
from scripts.planner.synthetic_load import RequestKind
from tests.builders import a_catalogue
from tests.planner.worlds import BANANA, LITE, PRO, a_file, a_load, a_stage


def test_requests_of_a_file_get_the_workers_own_route_and_estimate() -> None:
    load = a_file({"purpose": "draft", "image_size": "512"}, {"purpose": "final", "image_size": "4K"})
    assert [str(wanted.route) for wanted in load.wanted] == [f"standard {LITE} 1K", f"standard {PRO} 4K"]
    assert load.wanted[1].planned.estimate_micros > 240_000


def test_what_would_be_rejected_is_named_and_not_planned() -> None:
    load = a_file({"image_size": "2k"}, {"lane": "batch"}, {})
    assert len(load.wanted) == 1
    assert [name.split(": ")[:2] for name in load.rejected] == [
        ["load.jsonl:1", "image_size"],
        ["load.jsonl:2", "lane"],
    ]


def test_a_repeated_request_counts_once() -> None:
    from scripts.cli.data.run.outgoing import read_lines
    from scripts.planner.load import of_lines
    from tests.planner.worlds import START

    line = b'{"request_id": "a", "prompt": "a lighthouse"}\n'
    assert len(of_lines(read_lines(line * 3, ""), "f", a_catalogue(), START).wanted) == 1


def test_one_id_of_two_tenants_is_two_requests() -> None:
    load = a_file(*({"request_id": "a", "tenant": tenant} for tenant in ("default", "web", "shop", "web")))
    assert [wanted.tenant for wanted in load.wanted] == ["default", "web", "shop"]


def test_a_file_without_any_request_is_refused() -> None:
    with pytest.raises(InvalidLoad, match="no request that would be accepted"):
        a_file({"image_size": "9K"})


def test_a_mix_of_kinds_has_each_its_model_and_about_its_share() -> None:
    catalogue = a_catalogue()
    kinds = option_parsers.shares(
        "--of", "final:2K=20,draft=80", lambda field, text: synthetic_load.kind(field, text, catalogue)
    )
    assert dict(kinds) == {RequestKind("final", None, "2K"): 20.0, RequestKind("draft"): 80.0}
    load = synthetic_load.load("", [0.0] * 1000, {"bulk": 1.0}, kinds, catalogue, Random(1), tokens=50)
    assert load.models == (LITE, PRO)
    assert 150 < sum(wanted.route.model == PRO for wanted in load.wanted) < 250


def test_the_parts_of_a_kind_come_in_any_order() -> None:
    catalogue = a_catalogue()
    assert synthetic_load.kind("--of", "4K:flex:nano-banana-pro", catalogue) == RequestKind(
        "default", "nano-banana-pro", "4K", "flex"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8K", "found '8K'; allowed: a purpose"),
        ("1K:2K", "one size"),
        ("final:nano-banana-pro", "one purpose or model"),
    ],
)
def test_a_kind_that_cannot_be_read_is_told_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(InvalidLoad, match=message):
        synthetic_load.kind("--of", text, a_catalogue())


def test_a_kind_that_no_model_makes_is_refused() -> None:
    with pytest.raises(InvalidLoad, match="--of: lane"):
        a_load(1, RequestKind("draft", lane="flex"))


def test_rates_and_durations_are_read_with_their_units() -> None:
    assert option_parsers.per_minute("--arrivals", "450/m") == 450
    assert option_parsers.per_minute("--arrivals", "7.5/s") == 450
    assert option_parsers.per_minute("--arrivals", "900/h") == 15
    assert option_parsers.seconds("--for", "1.5h") == 5400


@pytest.mark.parametrize("text", ["", "15", "0m", "-1m", "15 min", "nan"])
def test_a_duration_without_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidLoad, match="--for: found"):
        option_parsers.seconds("--for", text)


@pytest.mark.parametrize("text", ["normal=0", "normal=-1", "normal=", "=3", "normal,normal", "urgent"])
def test_shares_without_sense_are_refused(text: str) -> None:
    with pytest.raises(InvalidLoad, match="--mix: found"):
        option_parsers.shares("--mix", text, synthetic_load.priority_of)


def test_even_arrivals_keep_their_distance_and_random_ones_their_mean() -> None:
    assert synthetic_load.even(60, 3.0) == [0.0, 1.0, 2.0]
    assert 550 < len(synthetic_load.poisson(60, 600.0, Random(1))) < 650


def test_a_curve_puts_each_minutes_requests_into_it() -> None:
    rows = synthetic_load.curve("c.csv", "minute,requests\n0,2\n5,3\n")
    instants = synthetic_load.instants(rows, Random(1))
    assert [int(instant // 60) for instant in instants] == [0, 0, 5, 5, 5]


@pytest.mark.parametrize("text", ["", "0", "0,x", "-1,5", "0,-5"])
def test_a_broken_curve_names_its_line(text: str) -> None:
    with pytest.raises(InvalidLoad, match=r"c\.csv"):
        synthetic_load.curve("c.csv", text)


def test_latency_is_assumed_per_model_and_size_unless_it_is_given() -> None:
    chance = Random(1)
    assert ASSUMED.of(PRO, "4K").spread.first > ASSUMED.of(PRO, "1K").spread.first
    only_pro = parse("nano-banana-pro=fixed:3", a_catalogue())
    assert only_pro.of(PRO, "2K").draw(chance) == 3
    assert only_pro.of(BANANA, "2K") == ASSUMED.of(BANANA, "2K")
    assert parse("fixed:2", a_catalogue()).of(BANANA, "1K").draw(chance) == 2


@pytest.mark.parametrize("text", ["slow", "fixed:", "no-such-model=fixed:1"])
def test_a_latency_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidLoad, match="--latency"):
        parse(text, a_catalogue())


def test_a_limit_of_zero_is_refused_as_nothing_would_begin() -> None:
    with pytest.raises(InvalidLoad, match=r"spend10m_usd of .*: found 0"):
        refuse_zero(a_stage("*=spend10m_usd:0").limits)
    with pytest.raises(InvalidLoad, match="--limits: found the model"):
        given("nobody=rpm:3", a_catalogue())
