"""The documentation says what is true now."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import docs_site, schema_page
from shared.core.messages.render_request import Cancel, RenderRequest, parse_message, request_schema
from shared.core.observability import metrics, spans

README = Path("README.md").read_text("utf-8")
PAGES = {
    str(path): path.read_text("utf-8")
    for path in (Path("README.md"), Path("CONTRIBUTING.md"), Path("RUNBOOK.md"), *sorted(Path("docs").rglob("*.md")))
}
WAY = "docs/find-your-way.md"
CONFIG = Path("shared/config.py").read_text("utf-8")


def test_the_help_text_is_the_commands_own() -> None:
    command = str(Path(sys.executable).parent / "renderlane")
    output = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    shown = "\n".join(f"    {line}".rstrip() for line in output.strip().splitlines())
    assert shown in PAGES["docs/cli.md"]


def test_the_configuration_table_names_every_variable_that_is_read() -> None:
    read = set(re.findall(r'"((?:RENDERLANE|GEMINI|GOOGLE)_[A-Z_]+)"', CONFIG))
    assert read <= set(re.findall(r"`([A-Z_]+)`", PAGES["docs/configuration.md"]))


@pytest.mark.parametrize("page", PAGES)
def test_every_path_it_names_exists(page: str) -> None:
    named = set(re.findall(r"`\.?/?((?:functions|shared|scripts|tests|terraform)/[\w/.-]+)`", PAGES[page]))
    assert sorted(path for path in named if not Path(path).exists()) == []


def test_every_name_it_points_to_is_defined_there() -> None:
    """Names stand before their path: `tick` in `shared/core/admission/tick.py`, or several of one file."""
    pointers = re.findall(r"((?:`\w+`(?:, | and )?)+) in `((?:shared|scripts|functions|tests)/[\w/]+\.py)`", PAGES[WAY])
    named = [(name, path) for names, path in pointers for name in re.findall(r"`(\w+)`", names)]
    assert len(named) >= 9
    missing = [
        (name, path)
        for name, path in named
        if not re.search(rf"^\s*(?:(?:async )?def|class) {name}\b|^{name}\b.*=", Path(path).read_text("utf-8"), re.M)
    ]
    assert missing == []


def test_find_your_way_names_files_and_folders_that_exist() -> None:
    paths = re.findall(r"`((?:shared|scripts|functions|tests|docs|terraform)/[\w./-]+)`", PAGES[WAY])
    assert len(set(paths)) >= 30
    assert [path for path in paths if not Path(path).exists()] == []


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len(README.encode()) <= 12_000


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page: str) -> None:
    assert docs_site.broken(Path.cwd(), Path(page), PAGES[page]) == []


def test_the_page_of_request_fields_is_the_parsers_own() -> None:
    assert PAGES["docs/request-fields.md"] == schema_page.page(request_schema()), "run ./scripts/schema"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    assert docs_site.gather(Path.cwd()) == []
    command = [str(Path(sys.executable).parent / "mkdocs"), "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "docs/publishing.html").is_file()


def test_the_requests_it_shows_are_requests() -> None:
    samples = README.partition("Its result comes on")[0] + PAGES["docs/publishing.md"]
    shown = [text for text in re.findall(r"\{\"(?:request_id|cancel)\".*?\}", samples) if "messages" not in text]
    parsed = [parse_message(text.encode()) for text in shown]
    assert any(isinstance(message, RenderRequest) for message in parsed)
    assert any(isinstance(message, Cancel) for message in parsed)


def test_the_shape_it_points_to_is_json_schema() -> None:
    assert json.loads(Path("shared/request.schema.json").read_text("utf-8"))["$schema"].startswith(
        "https://json-schema"
    )


@pytest.mark.parametrize("page", PAGES)
def test_no_place_is_left_to_fill_in(page: str) -> None:
    assert not re.search(r"\b(TODO|FIXME|FIGURES|TBD)\b", PAGES[page])


def test_every_metric_and_every_stage_of_a_trace_is_named() -> None:
    seeing = PAGES["docs/observability.md"]
    assert [name for name in metrics.ALL if f"`{name}`" not in seeing] == []
    own = [
        name for name in spans.ALL if name not in ("generate_content", "store image", "settle", "pump tick", "release")
    ]
    assert [name for name in own if not re.search(rf"^ +{name}\b", seeing, re.MULTILINE)] == []
