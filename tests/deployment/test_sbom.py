"""The bill of materials names exactly what the image installs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts.deployment import contents, sbom


@pytest.mark.slow
def test_it_names_every_locked_requirement_with_version_and_hash_and_nothing_else(tmp_path: Path) -> None:
    made = sbom.make(tmp_path / "sbom.json")
    bill = json.loads(made.path.read_text("utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["name"] == "renderlane-worker"
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", contents.requirements(Path.cwd()), re.MULTILINE))
    named = {component["name"].lower().replace("_", "-"): component["version"] for component in bill["components"]}
    assert named == {name.lower().replace("_", "-"): version for name, version in locked.items()}
    assert all(component["purl"].startswith("pkg:pypi/") for component in bill["components"])
    hashed = [component for component in bill["components"] if "hashes" in json.dumps(component)]
    assert len(hashed) == len(named), "a component without a hash cannot be checked"
    assert sbom.make(tmp_path / "again.json").path.read_bytes() == made.path.read_bytes()
