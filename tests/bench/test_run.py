"""`./scripts/bench/run` finds every bench by its name, and every page names benches that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

BENCHES = {path.stem for path in Path("scripts/bench").glob("[a-z]*.py")} | {
    path.parent.name for path in Path("scripts/bench").glob("*/main.py")
}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["./scripts/bench/run", *words], capture_output=True, text=True, timeout=60)


def test_without_a_name_it_lists_the_benches_with_what_each_measures() -> None:
    ended = run()
    listed = dict(re.findall(r"^  (\w+) +(\S.+)$", ended.stderr, re.MULTILINE))
    assert (ended.returncode, ended.stdout, set(listed)) == (2, "", BENCHES)


def test_a_name_that_is_no_bench_is_refused_with_the_list() -> None:
    ended = run("harness")
    assert ended.returncode == 2
    assert ended.stderr.startswith('there is no bench "harness"\nusage: ./scripts/bench/run NAME')


def test_the_pages_name_benches_that_exist() -> None:
    pages = [*Path().glob("*.md"), *Path("docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"scripts/bench/run (\w+)", page.read_text("utf-8"))}
    assert len(named) > 5
    assert named - {"NAME"} <= BENCHES
