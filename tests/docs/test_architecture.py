"""The page of the architecture draws the packages as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.documentation import import_graph
from scripts.documentation.import_graph import Package

PAGE = Path("docs/architecture.md").read_text("utf-8")
MOST_MODULES = 15
"""In one folder, the tests' too."""


def test_tables_and_drawings_are_those_of_the_imports() -> None:
    assert import_graph.page(PAGE) == PAGE, "run ./scripts/import-graph"


def test_every_package_states_its_rule_and_imports_nothing_itself() -> None:
    inits = [path for name, path in import_graph.modules(Path.cwd()).items() if path.name == "__init__.py"]
    assert len(inits) > 30
    silent = [str(path) for path in inits if not path.read_text("utf-8").startswith('"""')]
    assert not silent
    ports = Path.cwd() / "shared/ports/__init__.py"  # `Ports`, whose annotations need no import of ours at run time
    assert not [str(path) for path in inits if path != ports and "import " in path.read_text("utf-8").split('"""')[2]]
    code = "import sys, shared.ports; print([name for name in sys.modules if name.startswith('shared.')])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not re.findall(r"shared\.(?:ports\.|flows|adapters)\w*", ended.stdout)


@pytest.mark.parametrize("layer", ["core", "flows", "adapters", "ports", "simulator", "cli"])
def test_no_package_imports_another_that_leads_back_to_it(layer: str) -> None:
    drawn = import_graph.packages(Path.cwd(), import_graph.SECTIONS[layer], import_graph.imports_of(Path.cwd()))
    by_name = {package.name: package for package in drawn}
    for package in drawn:
        back = [name for name in package.imports if package.name in import_graph._reached(name, by_name)]
        assert not back, f"{package.name} and {back} import each other"


def test_no_folder_is_flat_again() -> None:
    counts: dict[Path, int] = {}
    for top in ("functions", "shared", "scripts", "tests"):
        for path in Path(top).rglob("*.py"):
            counts[path.parent] = counts.get(path.parent, 0) + (path.name != "__init__.py")
    assert {str(folder): count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_an_arrow_that_follows_from_others_is_not_drawn() -> None:
    drawn = [
        Package("a.top", "", 1, frozenset({"a.middle", "a.low"})),
        Package("a.middle", "", 1, frozenset({"a.low"})),
        Package("a.low", "", 1, frozenset()),
    ]
    assert import_graph.drawing(drawn).splitlines()[5:-1] == ["    a_top --> a_middle", "    a_middle --> a_low"]


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="markers `<!-- generated: layers -->` and `<!-- end -->` are missing"):
        import_graph.page("# Architecture")
