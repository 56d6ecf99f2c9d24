"""A struct that declares its JSON: parser, schema and JSON agree, and a mistake in a declaration is named."""

from typing import Annotated, Any

import pytest
from msgspec import Struct, field

from shared.core.validation.declared import At, Declared
from shared.core.validation.shapes import Boolean, ConstOrObject, Converted, Labels, ListOf, ShapeError, Text, Whole
from shared.core.values.money import micros_from_usd, usd

NAME = Text(1, 5)


class Side(Struct, frozen=True):
    name: Annotated[str, NAME]
    count: Annotated[int | None, Whole(0, 9)] = None


class Order(Struct, frozen=True):
    name: Annotated[str, NAME]
    price_micros: Annotated[int | None, At("price_usd"), Converted(Text(1, 9), micros_from_usd, usd)] = None
    is_hot: Annotated[bool, At("allow.hot"), Boolean()] = False
    is_cold: Annotated[bool | None, At("allow.cold"), Boolean()] = None
    sides: Annotated[tuple[Side, ...], ListOf(Declared(Side), 3)] = ()
    table: Annotated[Side | str, ConstOrObject("any", Declared(Side))] = "any"
    labels: Annotated[dict[str, str], Labels(2, NAME, NAME)] = field(default_factory=dict)
    notes: Annotated[dict[str, str], At(omit_empty=True), Labels(2, NAME, NAME)] = field(default_factory=dict)


ORDER = Declared(Order, "One order.", {"allow": "What is allowed."})
FULL: dict[str, Any] = {
    "name": "soup",
    "price_usd": "0.5",
    "allow": {"hot": True, "cold": False},
    "sides": [{"name": "rice", "count": 2}, {"name": "beans"}],
    "table": {"name": "one"},
    "labels": {"a": "b"},
    "notes": {"c": "d"},
}


def test_each_value_stands_where_its_declaration_says() -> None:
    order = ORDER.parse(FULL, "")
    assert order == Order(
        "soup", 500_000, True, False, (Side("rice", 2), Side("beans")), Side("one"), {"a": "b"}, {"c": "d"}
    )
    assert ORDER.write(order) == FULL | {"price_usd": usd(500_000)}
    assert ORDER.read(ORDER.write(order)) == order


def test_defaults_are_filled_in_what_is_written_and_shown_in_the_schema() -> None:
    order = ORDER.parse({"name": "soup"}, "")
    assert order == Order("soup")
    written = {"name": "soup", "allow": {"hot": False}, "sides": [], "table": "any", "labels": {}}
    assert ORDER.write(order) == written
    schema = ORDER.schema()
    defaults = {name: shape["default"] for name, shape in schema["properties"].items() if "default" in shape}
    assert defaults == {name: value for name, value in written.items() if name != "name"}
    assert (schema["required"], schema["description"]) == (["name"], "One order.")
    assert schema["properties"]["allow"]["description"] == "What is allowed."


def test_every_problem_is_named_by_its_place() -> None:
    with pytest.raises(ShapeError) as caught:
        ORDER.parse({"allow": {"hot": 1}, "sides": [{"name": "rice", "count": 10}, {}], "more": 1}, "")
    assert sorted(problem.field for problem in caught.value.problems) == [
        "allow.hot", "more", "name", "sides[0].count", "sides[1].name",
    ]  # fmt: skip


def test_what_was_written_once_is_read_without_being_judged() -> None:
    assert ORDER.read({"name": "longer than five"}).name == "longer than five"


def test_a_field_without_a_shape_is_refused_when_the_struct_is_declared() -> None:
    class Bare(Struct):
        name: str

    with pytest.raises(TypeError, match=r"Bare\.name declares no shape"):
        Declared(Bare)
