"""The figures of the house are counted from the sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import house

SOURCES = {
    "shared/core/a.py": "class Row:\n    def f(self):\n        return data['x']\n",
    "shared/core/b.py": "class Row:\n    pass\n",
    "shared/core/__init__.py": "",
    "shared/core/deep/c.py": "class Other:\n    pass\n",
    "shared/adapters/d.py": "data['x']\n",
}


def test_files_lines_folders_reads_and_names_are_counted() -> None:
    figures = house.measured(SOURCES, 7)
    assert (figures.files, figures.lines, figures.longest_function) == (5, 8, 2)
    assert (figures.most_in_folder["shared/core"], figures.full_folders) == (2, 0)
    assert (figures.reads_by_name, figures.shared_names, figures.readme_bytes) == (1, 1, 7)


def test_a_name_that_is_defined_twice_means_one_thing_and_says_which() -> None:
    assert set(house.places(house.sources_of(Path.cwd()))) == set(house.SHARED)
    assert house.places(SOURCES) == {"Row": ["shared/core/a.py", "shared/core/b.py"]}


def test_the_page_is_written_between_its_markers() -> None:
    text = f"before\n{house.BEGIN}\nold\n{house.END}\nafter\n"
    written = house.page(text, "| figures |", {"Call": ["a.py", "b.py"]})
    assert written.startswith(f"before\n{house.BEGIN}\n\n| figures |\n")
    assert "| `Call` | one call to the provider" in written
    assert "old" not in written
    assert written.endswith(f"{house.END}\nafter\n")
    with pytest.raises(ValueError, match="markers"):
        house.page("no markers", "", {})


def test_the_page_has_the_rows_of_the_command() -> None:
    figures = house.measured(SOURCES, 7)
    rows = [line.split("|")[1].strip() for line in house.table(figures, figures).splitlines()[2:]]
    page = Path("docs/architecture.md").read_text("utf-8")
    assert all(f"| {row} |" in page for row in rows)
    assert all(f"| `{name}` | {meaning} |" in page for name, meaning in house.SHARED.items())
