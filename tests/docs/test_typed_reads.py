"""The check of typed reads refuses new reads of stored fields by name and lets the old ones go."""

from __future__ import annotations

import pytest

from scripts import typed_reads
from scripts.allow_list import grown, shrunk


@pytest.mark.parametrize(
    "source",
    ['request.data["status"]', 'data["status"]', 'data.get("status")', 'a.b.data.get("status", 1)', 'f(x.data["a"])'],
)  # fmt: skip
def test_a_read_by_name_is_counted_with_its_line(source: str) -> None:
    assert list(typed_reads.reads(f"\n{source}")) == [2]


@pytest.mark.parametrize(
    "source",
    ["request.record.status", 'data["status"] = 1', "data[name]", 'row["status"]', "data.items()", 'data.pop("a")'],
)  # fmt: skip
def test_anything_else_is_not(source: str) -> None:
    assert list(typed_reads.reads(source)) == []


@pytest.mark.parametrize(
    ("path", "checked"),
    [
        ("shared/flows/render/render.py", True), ("scripts/cli/data/requests.py", True), ("functions/main.py", True),
        ("shared/adapters/gemini_errors/errors.py", False), ("shared/core/records/request.py", False),
        ("shared/client/src/renderlane/result.py", False), ("tests/world.py", False), ("shared/catalogue.toml", False),
    ],
)  # fmt: skip
def test_records_and_adapters_may(path: str, checked: bool) -> None:
    assert typed_reads.is_checked(path) is checked


def test_only_growth_is_refused_and_the_list_only_shrinks() -> None:
    allowed = {"a.py": (2,), "b.py": (1,), "gone.py": (4,)}
    assert grown({"a.py": (2,), "b.py": (0,)}, allowed) == []
    assert grown({"a.py": (3,), "c.py": (1,)}, allowed) == ["a.py", "c.py"]
    assert shrunk({"a.py": (3,), "b.py": (0,), "c.py": (9,)}, allowed) == {"a.py": (2,)}
    assert typed_reads.LIST.read(typed_reads.LIST.write(allowed)) == allowed
