"""The figures of the house at a commit and now, side by side: `.venv/bin/python -m scripts.house [BEFORE [NOW]]`.

Files and lines by folder, reads of stored fields by their names, names of classes that are defined twice. `--write`
puts the table, and the list of those names, into docs/architecture.md.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from msgspec import Struct

from scripts.typed_reads import is_checked, reads

FIRST_REVIEW = "eda6bf3"
LAYERS = ("shared/core", "shared/flows", "shared/adapters", "scripts/cli", "scripts/simulator")
PAGE = Path("docs/architecture.md")
BEGIN, END = "<!-- generated: house -->", "<!-- end -->"
MANY = 15
"""Modules that a folder holds at most, about."""


SHARED: Mapping[str, str] = {
    "Call": "one call to the provider, for the lane that makes it and for the look that asks how it ended",
    "Delivered": "what was delivered, for the client that reads it from a result and for the worker that stores it",
    "Floor": "the least that a caller accepts, in the client that sends it and in the worker that parses it",
    "InvalidRequest": "a request that is refused, before it is published and when intake reads it",
    "Lane": "a way to a provider: its row in the table of lanes, and the port through which it is called",
    "Outcome": "how a request ended, for the client that reads it and for the worker that decides it",
    "Problem": "one thing wrong with one field of a request, in the client and in the worker",
    "Reference": "a reference image, as the client names it and as a lane sends it",
    "Result": "how one request ended: the client's result event, and one line of a batch's answers",
}
"""Class names that are defined more than once, each with the one thing that it means in all its places. The client is a
distribution of its own: its names are public, and it imports none of the worker's.
"""


class Figures(Struct, frozen=True):
    """Of one state of the sources."""

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


def places(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Class names that are defined more than once, each with its modules."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    counts = _classes(trees)
    return {
        name: [path for path, tree in sorted(trees.items()) if _classes({path: tree})[name]]
        for name in sorted(counts)
        if counts[name] > 1
    }


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


def of_tree(root: Path) -> Figures:
    """Of the tracked files as they are now."""
    return measured(sources_of(root), (root / "README.md").stat().st_size)


def sources_of(root: Path) -> dict[str, str]:
    """The product's tracked Python files, by path."""
    command = ["git", "-C", str(root), "ls-files", "shared/*.py", "functions/*.py", "scripts/*.py"]
    paths = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return {path: (root / path).read_text("utf-8") for path in paths if (root / path).is_file()}


def page(text: str, figures: str, names: Mapping[str, list[str]]) -> str:
    """The page with a new generated part. Raises ValueError where a marker is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: the markers `{BEGIN}` and `{END}` are missing; put them where the table belongs")
    rows = [
        f"| `{name}` | {SHARED.get(name, '')} | {', '.join(f'`{path}`' for path in paths)} |"
        for name, paths in names.items()
    ]
    listed = "\n".join(["| name | what it means in all its places | where |", "|---|---|---|", *rows])
    return f"{before}{begin}\n\n{figures}\n\nClass names that are defined more than once:\n\n{listed}\n\n{end}{after}"


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
    commits = [word for word in sys.argv[1:] if word != "--write"]
    before = of_commit(commits[0] if commits else FIRST_REVIEW)
    figures = table(before, of_commit(commits[1]) if len(commits) > 1 else of_tree(Path.cwd()))
    print(figures)
    if "--write" in sys.argv:
        PAGE.write_text(page(PAGE.read_text("utf-8"), figures, places(sources_of(Path.cwd()))), "utf-8")


if __name__ == "__main__":
    main()
