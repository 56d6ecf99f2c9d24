"""The check of words refuses new vague names and phrases and lets the old ones go."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import words
from scripts.allow_list import grown, shrunk


@pytest.mark.parametrize(
    "source",
    [
        "found = 1",
        "_held: int = 1",
        "for each in rows: pass",
        "[each for each in rows]",
        "def told(): pass",
        "async def said(): pass",
        "class Known: pass",
        "def f(asked): pass",
        "lambda seen: 1",
        "self.held = 1",
        "import rows as found",
        "with f() as found: pass",
        "match x:\n    case [*seen]: pass",
        "match x:\n    case int() as seen: pass",
        "try: pass\nexcept OSError as told: pass",
        "if (found := f()): pass",
    ],
)
def test_a_new_vague_name_is_counted(source: str) -> None:
    assert len(list(words.names(source))) == 1


@pytest.mark.parametrize("source", ["print(found)", "row.held", "held_by = 1", "f(found=1)", "'each'", "rows = found"])
def test_a_use_of_a_name_is_not_counted(source: str) -> None:
    assert list(words.names(source)) == []


@pytest.mark.parametrize("text", ["Whoever asks", "nobody\nsays", "it goes round again", "all the same.", "whatever"])
def test_a_vague_phrase_is_counted_with_its_line(text: str) -> None:
    assert [line for line, _ in words.phrases(f"\n{text}")] == [2]


def test_a_plain_use_of_the_same_words_is_not_counted() -> None:
    assert list(words.phrases("the share of late starts")) == []


def test_only_growth_is_refused() -> None:
    allowed = {"a.py": (2, 1), "b.py": (0, 1)}
    assert grown({"a.py": (2, 1)}, allowed) == []
    assert grown({"a.py": (1, 2), "b.py": (1, 0), "c.py": (0, 1)}, allowed) == ["a.py", "b.py", "c.py"]


def test_the_list_only_shrinks() -> None:
    allowed = {"a.py": (2, 1), "b.py": (0, 1), "gone.py": (4, 4)}
    assert shrunk({"a.py": (3, 0), "b.py": (0, 0), "c.py": (9, 9)}, allowed) == {"a.py": (2, 0)}


def test_the_list_is_read_as_it_is_written() -> None:
    counts = {"a path/with space.md": (0, 3), "a.py": (2, 1)}
    assert words.LIST.read(words.LIST.write(counts)) == counts


def test_a_script_without_an_ending_is_read_as_what_its_first_line_says(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/usr/bin/env python3\nfound = 1\n")
    (tmp_path / "shell").write_text("#!/usr/bin/env bash\n# taken anew\nfound=1\n")
    assert words.count(tmp_path, ["python", "shell"]) == {"python": (1, 0), "shell": (0, 1)}


def test_a_file_with_too_many_is_named_with_each_line(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("found = 1\nheld = 2  # whatever\n")
    counts = words.count(tmp_path, ["a.py", "missing.py", "image.png"])
    assert counts == {"a.py": (2, 1)}
    lines = list(words.report(tmp_path, "a.py", counts["a.py"], (1, 1)))
    assert lines[1:] == ["  a.py:1: name found", "  a.py:2: name held"]
