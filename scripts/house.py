"""The figures of the house at two commits, side by side: `.venv/bin/python -m scripts.house [BEFORE [NOW]]`.

Files and lines by folder, reads of stored fields by their names, names of classes that mean two things. The table in
docs/architecture.md is written by it.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

from msgspec import Struct

from scripts.typed_reads import is_checked, reads

FIRST_REVIEW = "eda6bf3"
LAYERS = ("shared/core", "shared/flows", "shared/adapters", "scripts/cli", "scripts/simulator")
MANY = 15
"""Modules that a folder holds at most, about."""


class Figures(Struct, frozen=True):
    """Of one commit."""

    files: int
    lines: int
    longest_function: int
    most_in_folder: Mapping[str, int]
    """Modules of the fullest folder, by layer."""
    full_folders: int
    """With more than MANY modules."""
    reads_by_name: int
    """Of stored fields, outside the adapters and the records."""
    shared_names: int
    """Class names of the product that are defined more than once."""
    readme_bytes: int


def measured(sources: Mapping[str, str], readme_bytes: int) -> Figures:
    """Of the product's Python files, by path."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    folders = Counter(
        str(PurePosixPath(path).parent) for path in sources if PurePosixPath(path).name != "__init__.py"
    )  # fmt: skip
    return Figures(
        files=len(sources),
        lines=sum(text.count("\n") for text in sources.values()),
        longest_function=max(_longest(tree) for tree in trees.values()),
        most_in_folder={
            layer: max((count for folder, count in folders.items() if _is_in(folder, layer)), default=0)
            for layer in LAYERS
        },
        full_folders=sum(count > MANY for count in folders.values()),
        reads_by_name=sum(sum(1 for _ in reads(text)) for path, text in sources.items() if is_checked(path)),
        shared_names=sum(count > 1 for count in _classes(trees).values()),
        readme_bytes=readme_bytes,
    )


def _is_in(folder: str, layer: str) -> bool:
    return folder == layer or folder.startswith(f"{layer}/")


def _longest(tree: ast.Module) -> int:
    spans = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return max(spans, default=0)


def _classes(trees: Mapping[str, ast.Module]) -> Counter[str]:
    return Counter(
        node.name
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )


def of_commit(commit: str) -> Figures:
    """Raises subprocess.CalledProcessError where there is no such commit."""
    command = ["git", "archive", commit, "shared", "functions", "scripts", "README.md"]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    sources: dict[str, str] = {}
    readme_bytes = 0
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            content = files.extractfile(member)
            if content is None:
                continue
            if member.name == "README.md":
                readme_bytes = member.size
            elif member.name.endswith(".py"):
                sources[member.name] = content.read().decode()
    return measured(sources, readme_bytes)


def table(before: Figures, now: Figures) -> str:
    """In Markdown."""
    rows = [
        ("Python files of the product", before.files, now.files),
        ("lines", before.lines, now.lines),
        ("longest function, lines", before.longest_function, now.longest_function),
        *(
            (f"modules of the fullest folder in `{layer}`", before.most_in_folder[layer], now.most_in_folder[layer])
            for layer in LAYERS
        ),
        (f"folders with more than {MANY} modules", before.full_folders, now.full_folders),
        ("reads of stored fields by name", before.reads_by_name, now.reads_by_name),
        ("class names defined more than once", before.shared_names, now.shared_names),
        ("README, bytes", before.readme_bytes, now.readme_bytes),
    ]
    lines = ["| | before | now |", "|---|---:|---:|"]
    return "\n".join([*lines, *(f"| {name} | {first:,} | {second:,} |" for name, first, second in rows)])


def main() -> None:
    before, now = [*sys.argv[1:3], *(FIRST_REVIEW, "HEAD")[len(sys.argv[1:3]) :]]
    print(table(of_commit(before), of_commit(now)))


if __name__ == "__main__":
    main()
