"""Refuse new reads of stored fields by their names: `document.data["status"]` where a record has `record.status`.

Requests, attempts and batches have a type each (shared/core/records), and the type checker sees no string.
`scripts/typed_reads_allowed.txt` lists what is left, by file, and only shrinks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from scripts.allow_list import AllowList, Counts, tracked

ROOTS = ("shared/", "functions/", "scripts/")
EXCEPT = ("shared/adapters/", "shared/client/", "shared/core/records/", "shared/core/values/")
"""Where foreign payloads or whole documents are read: adapters, what upstream installs, the records themselves."""
LIST = AllowList(Path("scripts/typed_reads_allowed.txt"), "scripts.typed_reads", ("reads",))


def reads(source: str) -> Iterator[int]:
    """The line of each read of a field of `data` by its name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Subscript(value=fields, slice=ast.Constant(value=str()), ctx=ast.Load()) if _is_data(fields):
                yield node.lineno
            case ast.Call(func=ast.Attribute(value=fields, attr="get"), args=[ast.Constant(value=str()), *_]) if (
                _is_data(fields)
            ):
                yield node.lineno


def _is_data(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="data") | ast.Attribute(attr="data"):
            return True
        case _:
            return False


def is_checked(path: str) -> bool:
    return path.endswith(".py") and path.startswith(ROOTS) and not path.startswith(EXCEPT)


def count(root: Path, paths: list[str]) -> dict[str, Counts]:
    """Of each file that has any."""
    texts = {path: (root / path).read_text("utf-8") for path in paths if is_checked(path) and (root / path).is_file()}
    counts = {path: (sum(1 for _ in reads(text)),) for path, text in texts.items()}
    return {path: numbers for path, numbers in counts.items() if any(numbers)}


def report(root: Path, path: str, counts: Counts, allowed: Counts) -> Iterator[str]:
    """One line for each read in a file that has too many."""
    yield f"{path}: {counts[0]} reads of stored fields by name (allowed: {allowed[0]})"
    yield from (f"  {path}:{line}" for line in reads((root / path).read_text("utf-8")))


def main() -> None:
    root = Path.cwd()
    LIST.refuse_growth(
        count(root, tracked()),
        lambda path, now, allowed: report(root, path, now, allowed),
        "Read a record instead: shared/core/records, with request_in(), attempt_in() or batch_in().",
    )


if __name__ == "__main__":
    main()
