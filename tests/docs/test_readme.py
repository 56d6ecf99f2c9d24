"""The README says what is true now."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.core import metrics, spans
from shared.core.request import Cancel, RenderRequest, parse_message

README = Path("README.md").read_text("utf-8")
CONTRIBUTING = Path("CONTRIBUTING.md").read_text("utf-8")
CONFIG = Path("shared/config.py").read_text("utf-8")


def test_the_help_text_is_the_commands_own() -> None:
    command = str(Path(sys.executable).parent / "renderlane")
    said = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    shown = "\n".join(f"    {line}".rstrip() for line in said.strip().splitlines())
    assert shown in README


def test_the_configuration_table_names_every_variable_that_is_read() -> None:
    read = set(re.findall(r'"((?:RENDERLANE|GEMINI|GOOGLE)_[A-Z_]+)"', CONFIG))
    table = README.split("## Configuration")[1].split("##")[0]
    assert read <= set(re.findall(r"`([A-Z_]+)`", table))


@pytest.mark.parametrize("document", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_path_it_names_exists(document: str) -> None:
    named = set(re.findall(r"`\.?/?((?:functions|shared|scripts|tests)/[\w/.-]+)`", document))
    assert named
    missing = sorted(path for path in named if not Path(path).exists())
    assert missing == []


def test_the_requests_it_shows_are_requests() -> None:
    shown = [text for text in re.findall(r"\{\"(?:request_id|cancel)\".*?\}", README) if "messages" not in text]
    parsed = [parse_message(text.encode()) for text in shown]
    assert any(isinstance(message, RenderRequest) for message in parsed)
    assert any(isinstance(message, Cancel) for message in parsed)


def test_the_shape_it_points_to_is_json_schema() -> None:
    assert json.loads(Path("shared/request.schema.json").read_text("utf-8"))["$schema"].startswith(
        "https://json-schema"
    )


def test_no_place_is_left_to_fill_in() -> None:
    assert not re.search(r"\b(TODO|FIXME|FIGURES|TBD)\b", README)


def test_every_metric_and_every_stage_of_a_trace_is_named() -> None:
    seeing = README.split("## Seeing")[1].split("\n## ")[0]
    assert [name for name in metrics.ALL if f"`{name}`" not in seeing] == []
    own = [
        name for name in spans.ALL if name not in ("generate_content", "store image", "settle", "pump tick", "release")
    ]
    assert [name for name in own if not re.search(rf"^ +{name}\b", seeing, re.MULTILINE)] == []
