"""The figures of the house are counted from the sources."""

from __future__ import annotations

from pathlib import Path

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


def test_the_page_has_the_rows_of_the_command() -> None:
    figures = house.measured(SOURCES, 7)
    rows = [line.split("|")[1].strip() for line in house.table(figures, figures).splitlines()[2:]]
    page = Path("docs/architecture.md").read_text("utf-8")
    assert all(f"| {row} |" in page for row in rows)
