"""Refuse new reads of stored fields by their names: `document.data["status"]` where a record has `record.status`.

Requests, attempts and batches have a type each (shared/core/records), and the type checker sees no string.
`scripts/typed_reads_allowed.txt` lists what is left, by file, and only shrinks.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts.words import tracked

ROOTS = ("shared/", "functions/", "scripts/")
EXCEPT = ("shared/adapters/", "shared/client/", "shared/core/records/", "shared/core/values/")
"""Where foreign payloads or whole documents are read: adapters, what upstream installs, the records themselves."""
ALLOWED = Path("scripts/typed_reads_allowed.txt")


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


def count(root: Path, paths: list[str]) -> dict[str, int]:
    """Of each file that has any."""
    texts = {path: (root / path).read_text("utf-8") for path in paths if is_checked(path) and (root / path).is_file()}
    counts = {path: sum(1 for _ in reads(text)) for path, text in texts.items()}
    return {path: number for path, number in counts.items() if number}


def read_allowed(text: str) -> dict[str, int]:
    """Lines of `path count`."""
    rows = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {path: int(number) for path, number in rows}


def write_allowed(counts: Mapping[str, int]) -> str:
    head = (
        "# path, reads: see scripts/typed_reads.py. Written by `python -m scripts.typed_reads --write`; only shrinks.\n"
    )
    return head + "".join(f"{path} {number}\n" for path, number in sorted(counts.items()))


def grown(counts: Mapping[str, int], allowed: Mapping[str, int]) -> list[str]:
    return [path for path, number in sorted(counts.items()) if number > allowed.get(path, 0)]


def shrunk(counts: Mapping[str, int], allowed: Mapping[str, int]) -> dict[str, int]:
    """The smaller of both counts, without files that have none left."""
    lower = {path: min(most, counts.get(path, 0)) for path, most in allowed.items()}
    return {path: number for path, number in lower.items() if number}


def main() -> None:
    root = Path.cwd()
    counts = count(root, tracked())
    allowed = read_allowed((root / ALLOWED).read_text("utf-8")) if (root / ALLOWED).exists() else counts
    if "--write" in sys.argv[1:]:
        (root / ALLOWED).write_text(write_allowed(shrunk(counts, allowed)), "utf-8")
    too_many = grown(counts, allowed)
    for path in too_many:
        print(f"{path}: {counts[path]} reads of stored fields by name (allowed: {allowed.get(path, 0)})")
        print(*(f"  {path}:{line}" for line in reads((root / path).read_text("utf-8"))), sep="\n")
    if too_many:
        print("Read a record instead: shared/core/records, with request_in(), attempt_in() or batch_in().")
        raise SystemExit(1)
    if shrunk(counts, allowed) != allowed:
        print("fewer than allowed: run `.venv/bin/python -m scripts.typed_reads --write` to keep it so")


if __name__ == "__main__":
    main()
