"""One row per lane: what follows from it, and that no other place names a lane in a decision."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from renderlane.request import Request
from scripts.simulator.provider import models
from shared.core.values import lanes
from shared.core.values.lanes import LANES, ROWS
from tests.builders import a_catalogue

ROOT = Path(__file__).parents[3]
PRODUCT = ("shared", "functions", "scripts/cli", "scripts/planner", "scripts/doctor", "scripts/virtual_time")
APART = ("shared/core/values/lanes.py", "shared/client/src/renderlane/request.py")
"""The table, and the client: a distribution of its own, held to the table by a test."""


def test_what_follows_from_the_rows_is_what_it_was() -> None:
    assert lanes.NAMES == ("standard", "priority", "flex", "batch", "vertex", "gateway")
    assert lanes.ASKABLE == ("standard", "priority", "flex", "batch", "vertex")
    assert lanes.AT_ONCE == lanes.TIERS == ("standard", "priority", "flex")
    assert lanes.SLOTTED == ("standard", "priority", "flex", "vertex")
    assert lanes.APART == ("vertex", "gateway")
    assert lanes.STAND_INS == {"standard": ("vertex",)}
    assert lanes.BUILT == ("standard", "priority", "flex", "batch")
    assert lanes.PATIENT == ("flex", "batch")
    assert lanes.SHEDDING == ("flex",)
    assert lanes.STEPPING_DOWN == ("standard", "priority", "vertex")


def test_every_lane_falls_back_to_other_lanes_of_the_table_once_each() -> None:
    for row in ROWS:
        assert set(row.falls_back_to) < set(LANES)
        assert row.name not in row.falls_back_to
        assert len(row.falls_back_to) == len(set(row.falls_back_to))


def test_a_request_can_leave_every_lane_that_it_can_ask_for() -> None:
    assert all(LANES[name].falls_back_to for name in lanes.ASKABLE)


def test_no_lane_costs_a_consent_that_a_request_cannot_give() -> None:
    given = {name.removeprefix("allow_") for name in get_type_hints(Request) if name.startswith("allow_")}
    assert {row.consent for row in ROWS if row.consent} == given


@pytest.mark.parametrize(
    ("lane", "tier"),
    [("standard", None), ("priority", "priority"), ("flex", "flex"), ("batch", None), ("gateway", None), ("x", None)],
)
def test_a_tier_is_named_only_where_it_is_not_the_default(lane: str, tier: str | None) -> None:
    assert lanes.tier_to_send(lane) == tier


def test_every_askable_lane_has_a_price_for_some_model() -> None:
    priced = {lane for model in a_catalogue().models.values() for lane in model.lanes}
    assert priced == set(lanes.ASKABLE)


def test_the_client_offers_the_askable_lanes() -> None:
    offered = [item for item in get_args(get_type_hints(Request)["lane"]) if get_origin(item) is Literal]
    assert get_args(offered[0]) == lanes.ASKABLE


def test_the_simulator_serves_every_tier_the_batch_lane_and_vertex() -> None:
    assert set(models.TIERS) == {*lanes.TIERS, lanes.BATCH, lanes.VERTEX}


def test_no_code_outside_the_table_decides_by_a_lane_s_name_in_quotes() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in PRODUCT
        for path in sorted((ROOT / folder).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in APART
        for line in _decisions(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert offenders == []


@pytest.mark.parametrize(
    "text",
    [
        'route.lane == "batch"',
        '"flex" != order.lane',
        'data["route"]["lane"] == "gateway"',
        'lane in ("standard", "priority")',
        'Route("standard", model, "1K")',
        '"flex" in model.lanes',
        'lanes["flex"]',
        'LANES = ("standard", "flex")',
        'after = {"flex": ("standard", "gateway")}',
        'LANE_OF = {"use-flex": "flex", "use-batch": "batch"}',
        'found.get("lane", "standard")',
        'lane: str = "standard"',
        'Order(lane="flex")',
    ],
)
def test_the_check_sees_a_lane_in_quotes(text: str) -> None:
    assert list(_decisions(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    ['data["batch"] is None', 'allow.get("gateway", False)', 'data["priority"]', '("tenant", "model", "priority")'],
)
def test_the_check_leaves_fields_of_the_same_name_alone(text: str) -> None:
    assert not list(_decisions(ast.parse(text)))


def _decisions(tree: ast.AST) -> Iterator[int]:
    """Lines where a lane's name in quotes is compared, listed, looked up, given or passed on as a lane."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=[right]) if _is_lane(left) or _is_lane(right):
                quoted = _names(left) or _names(right)
            case ast.Call(func=ast.Name(id="Route"), args=[first, *_]):
                quoted = _names(first)
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value="lane"), default]):
                quoted = _names(default)
            case ast.keyword(arg="lane", value=value):
                quoted = _names(value)
            case ast.Subscript(value=value, slice=key) if _is_lane(value):
                quoted = _names(key)
            case ast.AnnAssign(target=target, value=ast.Constant() as value) if _is_lane(target):
                quoted = _names(value)
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                quoted = _all_lanes(elements)
            case ast.Dict(keys=keys, values=values):
                quoted = _all_lanes(keys) or _all_lanes(values)
            case _:
                continue
        if quoted:
            yield getattr(node, "lineno", 0)


def _is_lane(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            return name in ("lane", "lanes")
        case _:
            return False


def _all_lanes(nodes: Sequence[ast.AST | None]) -> set[str]:
    """Their names where all are lanes, and at least one is nothing but a lane (`batch` is a field too)."""
    names = [_names(node) for node in nodes if node is not None]
    names_ = set().union(*names)
    return names_ if names and all(names) and names_ & {lanes.STANDARD, lanes.FLEX} else set()


def _names(node: ast.AST) -> set[str]:
    match node:
        case ast.Constant(value=str(text)):
            return {text} & {*LANES}
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            return {name for element in elements for name in _names(element)}
        case _:
            return set()
