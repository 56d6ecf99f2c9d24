"""What runs in the cloud, found by following imports from its entries, and what it requires."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ENTRIES = ("functions.main", "functions.pull")
"""What services start, and what worker pools start."""
ONE_MACHINE_ONLY = "shared.adapters.sqlite"
"""Imported where `RENDERLANE_STORE` or `RENDERLANE_TOPICS` name this machine: never in the cloud."""
DATA = ("shared/catalogue.toml", "LICENSE", "RUNBOOK.md", "Dockerfile")
FOLDERS = ("functions/console/templates", "functions/console/static")
"""Of the console: pages are made from them, browsers load them."""
PROJECT = "renderlane-worker"


def data(root: Path) -> list[str]:
    """What runs in the cloud and is no Python."""
    folders = [path for folder in FOLDERS for path in sorted((root / folder).iterdir())]
    return [*DATA, *(str(path.relative_to(root)) for path in folders)]


def modules(root: Path) -> dict[str, Path]:
    """Module -> file, for everything of ours that an entry may import, at once or later."""
    paths: dict[str, Path] = {}
    waiting = list(ENTRIES)
    while waiting:
        name = waiting.pop()
        path = _file(root, name)
        if name in paths or path is None or name.startswith(ONE_MACHINE_ONLY):
            continue
        paths[name] = path
        waiting += [*_imported(path), *_parents(name)]
    return paths


def targets(root: Path) -> list[str]:
    """The functions that functions/main.py offers."""
    tree = ast.parse((root / "functions/main.py").read_text("utf-8"))
    return [item.name for item in tree.body if isinstance(item, ast.AsyncFunctionDef) and item.decorator_list]


def requirements(root: Path) -> str:
    """The part of requirements.lock that the project's own dependencies bring in, versions and hashes as they are."""
    locked = _locked((root / "requirements.lock").read_text("utf-8"))
    direct = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    wanted = {_name(item) for item in direct}
    before: set[str] = set()
    while wanted != before:
        before = set(wanted)
        wanted |= {name for name, (_, via) in locked.items() if via & before}
    missing = wanted - set(locked)
    if missing:
        raise ValueError(f"requirements.lock has no {', '.join(sorted(missing))}; run ./scripts/lock")
    return "".join(locked[name][0] for name in sorted(wanted))


def _locked(text: str) -> dict[str, tuple[str, set[str]]]:
    """Package -> its lines, and the packages that it is there for."""
    locked = {}
    for block in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        lines = [line for line in block.splitlines() if not line.lstrip().startswith("#")]
        via = {_name(word) for word in re.findall(r"#\s+(?:via )?([A-Za-z0-9._-]+)", block) if word != "via"}
        locked[_name(block)] = ("\n".join(lines) + "\n", via - {PROJECT})
    return locked


def _name(requirement: str) -> str:
    """`Google_Cloud-pubsub>=2` -> `google-cloud-pubsub`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _file(root: Path, name: str) -> Path | None:
    """None for what is not ours, and for a name inside a module."""
    if name.partition(".")[0] not in ("functions", "shared"):
        return None
    path = Path(*name.split("."))
    return next((item for item in (path.with_suffix(".py"), path / "__init__.py") if (root / item).is_file()), None)
