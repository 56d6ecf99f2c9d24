"""The package tables and drawings of docs/architecture.md, generated from docstrings and imports.

A module of its own counts as a package of one. An import counts wherever it stands: at the top, inside a function, or
for the type checker alone.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
PAGE = Path("docs/architecture.md")
TOP = ("functions", "scripts", "shared")
SECTIONS = {
    "layers": (
        "functions",
        "scripts",
        "shared.wiring",
        "shared.flows",
        "shared.adapters",
        "shared.ports",
        "shared.config",
        "shared.core",
    ),
    "core": ("shared.core.*",),
    "flows": ("shared.flows.*",),
    "adapters": ("shared.adapters.*",),
    "ports": ("shared.ports.*",),
    "scripts": ("scripts.*",),
    "cli": ("scripts.cli.*",),
    "simulator": ("scripts.simulator.*",),
}
"""By marker in the page, the packages of its table and drawing; `*` stands for all that lie in one."""


class Package(Struct, frozen=True):
    name: str
    rule: str
    """The first paragraph of its docstring."""
    modules: int
    """Without the `__init__` of a package itself."""
    imports: frozenset[str]
    """The other packages of the same drawing."""


def page(text: str, root: Path = ROOT) -> str:
    """The page with new generated parts. Raises ValueError where a marker is missing."""
    imports = imports_of(root)
    for section, patterns in SECTIONS.items():
        begin, end = f"<!-- generated: {section} -->", "<!-- end -->"
        before, line, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not line or not closed:
            raise ValueError(f"{PAGE}: the markers `{begin}` and `{end}` are missing; put them where the table belongs")
        text = f"{before}{begin}\n\n{_section(packages(root, patterns, imports))}\n\n{end}{after}"
    return text


def imports_of(root: Path) -> dict[str, frozenset[str]]:
    """Module -> the dotted names that it imports."""
    return {name: frozenset(_imported(path)) for name, path in modules(root).items()}


def modules(root: Path) -> dict[str, Path]:
    """Name -> file, of every module of the product."""
    paths = (path for top in TOP for path in sorted((root / top).rglob("*.py")) if "client" not in path.parts)
    return {_name(path.relative_to(root)): path for path in paths}


def packages(root: Path, patterns: tuple[str, ...], imports: Mapping[str, frozenset[str]]) -> list[Package]:
    """Those that the patterns name, with what they import of each other."""
    names: list[str] = []
    for pattern in patterns:
        parent = pattern.removesuffix(".*")
        if parent == pattern:
            names.append(pattern)
        else:
            depth = pattern.count(".") + 1
            names += sorted({".".join(name.split(".")[:depth]) for name in imports if name.startswith(f"{parent}.")})
    made = []
    for name in names:
        members = [word for word in imports if _inside(word, name)]
        targets = {target for member in members for target in imports[member]}
        reached = frozenset(word for word in names if word != name and any(_inside(target, word) for target in targets))
        files = [member for member in members if member != name] or members
        made.append(Package(name, _rule(root, name), len(files), reached))
    return made


def drawing(drawn: list[Package]) -> str:
    """Mermaid. An arrow that follows from others is left out."""
    lines = ["flowchart TD"]
    lines += [f"    {_node(package.name)}[{package.name.rpartition('.')[2]}]" for package in drawn]
    by_name = {package.name: package for package in drawn}
    for package in drawn:
        implied = {further for near in package.imports for further in _reached(near, by_name) - {near}}
        lines += [f"    {_node(package.name)} --> {_node(target)}" for target in sorted(package.imports - implied)]
    return "\n".join(["```mermaid", *lines, "```"])


def _section(drawn: list[Package]) -> str:
    rows = [
        f"| `{package.name}` | {package.rule} | {package.modules} |"
        f" {', '.join(name.rpartition('.')[2] for name in sorted(package.imports)) or 'none of these'} |"
        for package in drawn
    ]
    table = "\n".join(["| package | rule | modules | imports |", "|---|---|---|---|", *rows])
    return f"{table}\n\n{drawing(drawn)}" if any(package.imports for package in drawn) else table


def _reached(name: str, by_name: Mapping[str, Package]) -> set[str]:
    """Everything that a package leads to, itself included."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in reached:
            reached.add(current)
            waiting += by_name[current].imports
    return reached


def _rule(root: Path, name: str) -> str:
    place = Path(*name.split("."))
    path = next(item for item in (root / place / "__init__.py", (root / place).with_suffix(".py")) if item.is_file())
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return re.sub(r"\s+", " ", docstring.partition("\n\n")[0]).replace("|", "\\|")


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _node(name: str) -> str:
    return name.replace(".", "_")


def main() -> None:
    path = ROOT / PAGE
    text = path.read_text("utf-8")
    current = page(text)
    if "--check" not in sys.argv[1:]:
        path.write_text(current, "utf-8")
    elif text != current:
        sys.exit(f"{PAGE} is not current: run ./scripts/import-graph")


if __name__ == "__main__":
    main()
