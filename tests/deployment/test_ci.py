"""With --all nothing is skipped in silence, and CI installs what its tests need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPING = {
    "a test": "import pytest\ndef test_it(): pytest.skip('no browser')",
    "a fixture": "import pytest\n@pytest.fixture\ndef tool(): pytest.skip('no browser')\ndef test_it(tool): pass",
    "a mark": "import pytest\n@pytest.mark.skip(reason='no browser')\ndef test_it(): pass",
    "a module": "import pytest\npytest.skip('no browser', allow_module_level=True)",
}


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest on files of `folder`, with the hooks of tests/conftest.py."""
    shutil.copy("tests/conftest.py", folder / "conftest.py")
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", str(folder)]
    given = {name: value for name, value in os.environ.items() if name not in ("RENDERLANE_TEST_ALL", "JAVA_HOME")}
    return subprocess.run(
        [*command, *words], env=given | {"PYTHONPATH": os.getcwd()} | environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("what", list(SKIPPING))
def test_with_all_a_skip_of_any_kind_is_a_failure_that_says_why(what: str, tmp_path: Path) -> None:
    (tmp_path / "test_skipping.py").write_text(SKIPPING[what])
    without = run(tmp_path)
    assert "1 skipped" in without.stdout, without.stdout
    ended = run(tmp_path, RENDERLANE_TEST_ALL="1")
    assert ended.returncode != 0
    assert "with --all nothing may be" in ended.stdout
    assert "no browser" in ended.stdout


NEEDS = {
    "terraform": "from tests.terraform.conftest import attachment\ndef test_it(attachment): pass",
    "Java": "from tests.emulators import firestore_host\ndef test_it(firestore_host): pass",
}


@pytest.mark.parametrize("what", list(NEEDS))
def test_with_all_a_machine_without_a_tool_fails_and_names_it(what: str, tmp_path: Path) -> None:
    (tmp_path / "test_needing.py").write_text(NEEDS[what])
    empty = tmp_path / "no-programs"
    empty.mkdir()
    ended = run(tmp_path, RENDERLANE_TEST_ALL="1", PATH=str(empty))
    assert ended.returncode == 1, ended.stdout
    assert what in ended.stdout


def test_ci_installs_or_names_everything_that_tests_may_miss() -> None:
    script = Path(".ci/run").read_text("utf-8")
    assert set(re.findall(r"missing\+=\(([\w -]+)\)", script)) == {
        "default-jre-headless", "nodejs", "npm", "chromium", "python3 python3-venv",
    }  # fmt: skip
    assert "--no-install-recommends" in script
    assert set(re.findall(r"MISSING: (\w+)", script)) == {"terraform", "gcloud"}
    assert script.rstrip().endswith("./scripts/test --all")


def test_the_workflow_installs_terraform_and_the_emulators_and_runs_it() -> None:
    workflow = Path(".github/workflows/ci.yml").read_text("utf-8")
    assert "hashicorp/setup-terraform@" in workflow
    assert "pubsub-emulator,cloud-firestore-emulator" in workflow
    assert "run: .ci/run" in workflow
