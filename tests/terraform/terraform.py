"""Terraform on a copy of ours, attached to the provider that reaches no cloud."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.provider.server import serving

OURS = Path("terraform")
LOCAL_STATE = 'terraform {\n  backend "local" {}\n}\n'
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
IMAGE = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:" + "0123456789abcdef" * 4
REQUIRED = {"project_id": "render-test", "alert_emails": ["oncall@example.com"]}


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    """Both streams, each message on one line."""


@dataclass(frozen=True)
class Planned:
    """A plan's resources: address -> values, defaults of the provider left out."""

    resources: Mapping[str, dict[str, Any]]
    outputs: Mapping[str, Any]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Those of one type, by what follows it in the address."""
        return {
            address.removeprefix(f"{kind}."): values
            for address, values in self.resources.items()
            if address.startswith(f"{kind}.")
        }


class Terraform:
    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """A copy of ours in `folder`, initialised. Raises AssertionError where that fails."""
        self.folder = folder
        self._environment = environment
        shutil.copytree(OURS, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"), dirs_exist_ok=True)
        (folder / "backend_override.tf").write_text(LOCAL_STATE)
        ended = self.run("init", "-input=false")
        assert ended.code == 0, ended.output

    def run(self, *words: str) -> Ended:
        ended = subprocess.run(
            ["terraform", *words, *([] if words[0] == "show" else ["-no-color"])],
            cwd=self.folder,
            env=dict(self._environment),
            capture_output=True,
            text=True,
            timeout=300,
        )
        text = COLOUR.sub("", f"{ended.stdout}\n{ended.stderr}")
        return Ended(ended.returncode, " ".join(text.split()))

    def plan(self, *options: str, **variables: Any) -> Ended:
        """The plan is kept for `planned`."""
        given = {**REQUIRED, "image": IMAGE, **variables}
        if any(option.startswith("-var-file") for option in options):
            given = {"image": IMAGE, **variables}
        (self.folder / "given.tfvars.json").write_text(json.dumps(given))
        return self.run("plan", "-input=false", "-out=kept", "-var-file=given.tfvars.json", *options)

    def planned(self, *options: str, **variables: Any) -> Planned:
        """Raises AssertionError with what Terraform said where there is no plan."""
        ended = self.plan(*options, **variables)
        assert ended.code == 0, ended.output
        shown = subprocess.run(
            ["terraform", "show", "-json", "kept"],
            cwd=self.folder,
            env=dict(self._environment),
            capture_output=True,
            check=True,
        )
        values = json.loads(shown.stdout)["planned_values"]
        resources = {resource["address"]: resource["values"] for resource in values["root_module"]["resources"]}
        return Planned(resources, {name: output.get("value") for name, output in values.get("outputs", {}).items()})


@contextmanager
def attached(folder: Path) -> Iterator[dict[str, str]]:
    """The environment for Terraform, while the provider is served; skips, or fails with --all, without Terraform."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    nothing = folder / "terraformrc"
    nothing.write_text("disable_checkpoint = true\n")
    with serving(folder) as environment:
        yield {**os.environ, **environment, "TF_CLI_CONFIG_FILE": str(nothing), "TF_IN_AUTOMATION": "1"}
