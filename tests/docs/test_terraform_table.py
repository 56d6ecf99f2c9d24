"""terraform/README.md is what the files say."""

from __future__ import annotations

import re
from pathlib import Path

from scripts.documentation import terraform_table


def test_the_page_is_current() -> None:
    assert terraform_table.PAGE.read_text("utf-8") == terraform_table.page(), "run ./scripts/terraform-table"


def test_every_variable_and_output_is_described_and_in_the_table() -> None:
    text = "".join(path.read_text("utf-8") for path in Path("terraform").glob("*.tf"))
    names = set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))
    assert {variable.name for variable in terraform_table.variables()} == names
    assert {output.name for output in terraform_table.outputs()} == set(
        re.findall(r'^output "(\w+)"', text, re.MULTILINE)
    )
    described = {variable.name: variable.description for variable in terraform_table.variables()}
    described |= {output.name: output.description for output in terraform_table.outputs()}
    assert [name for name, description in described.items() if not description.endswith(".")] == []


def test_every_file_says_what_it_is_about() -> None:
    about = dict(re.findall(r"^\| `(\w+\.tf)` \| (.*) \|$", terraform_table.page(), re.MULTILINE))
    assert len(about) >= 20
    assert all(about.values())


def test_types_and_defaults_stand_on_one_line() -> None:
    rows = {variable.name: variable for variable in terraform_table.variables()}
    assert rows["project_id"].default is None
    assert rows["region"].default == '"europe-west1"'
    assert rows["failure_alerts"].type == "object({ attempts = optional(number, 50), requests = optional(number, 20) })"
