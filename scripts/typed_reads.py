"""Refuse reads of stored fields by their names: `document.data["status"]` where a record has `record.status`.

Every stored document has a type (shared/core/records, or a `Stored` value of its package), and the type checker sees no
string. Its own `from_json` alone reads fields by their names.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.allow_list import tracked

ROOTS = ("shared/", "functions/", "scripts/")
EXCEPT = ("shared/adapters/", "shared/client/", "shared/core/records/", "shared/core/values/")
"""Where foreign payloads or whole documents are read: adapters, what upstream installs, the records themselves."""
CODEC = "from_json"


def reads(source: str) -> Iterator[int]:
    """The line of each read of a field of `data` by its name."""
    yield from _reads(ast.parse(source))


def _reads(node: ast.AST) -> Iterator[int]:
    match node:
        case ast.FunctionDef(name=name) if name == CODEC:
            return
        case ast.Subscript(value=fields, slice=ast.Constant(value=str()), ctx=ast.Load()) if _is_data(fields):
            yield node.lineno
        case ast.Call(func=ast.Attribute(value=fields, attr="get"), args=[ast.Constant(value=str()), *_]) if _is_data(
            fields
        ):
            yield node.lineno
    for child in ast.iter_child_nodes(node):
        yield from _reads(child)


def _is_data(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="data") | ast.Attribute(attr="data"):
            return True
        case _:
            return False


def is_checked(path: str) -> bool:
    return path.endswith(".py") and path.startswith(ROOTS) and not path.startswith(EXCEPT)


def places(root: Path, paths: Iterable[str]) -> list[str]:
    """`path:line` of every read."""
    checked = [path for path in paths if is_checked(path) and (root / path).is_file()]
    return [f"{path}:{line}" for path in checked for line in reads((root / path).read_text("utf-8"))]


def main() -> None:
    if stray := places(Path.cwd(), tracked()):
        print("Stored fields are read by their names:", *(f"  {place}" for place in stray), sep="\n")
        sys.exit(
            "Read a record instead: shared/core/records, with request_in(), attempt_in(), stored_in() and the like."
        )


if __name__ == "__main__":
    main()
