"""The check of typed reads refuses reads of stored fields by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import typed_reads
from scripts.allow_list import tracked

ROOT = Path(__file__).parents[2]


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
        ("shared/flows/render/render.py", True), ("scripts/cli/data/streams.py", True), ("functions/main.py", True),
        ("shared/adapters/gemini_errors/errors.py", False), ("shared/core/records/request.py", False),
        ("shared/client/src/renderlane/result.py", False), ("tests/world.py", False), ("shared/catalogue.toml", False),
    ],
)  # fmt: skip
def test_records_and_adapters_may(path: str, checked: bool) -> None:
    assert typed_reads.is_checked(path) is checked


@pytest.mark.parametrize(("name", "lines"), [("from_json", []), ("to_json", [2])])
def test_a_record_reads_its_own_fields_by_their_names(name: str, lines: list[int]) -> None:
    assert list(typed_reads.reads(f"def {name}(data):\n    return data['status']")) == lines


def test_the_product_has_none(tmp_path: Path) -> None:
    assert typed_reads.places(ROOT, tracked()) == []
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "new.py").write_text('data["status"]')
    assert typed_reads.places(tmp_path, ["shared/new.py"]) == ["shared/new.py:1"]
