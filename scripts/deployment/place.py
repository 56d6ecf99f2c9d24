"""Where an environment of terraform/envs is, and how the worker's own commands reach it."""

from __future__ import annotations

import re
from pathlib import Path

import click
from msgspec import Struct

ROOT = Path(__file__).parents[2]
NOTHING_YET = "build/nothing-deployed"
"""A home that does not exist: doctor says of what lies in a store that it is unknown."""


class Stopped(click.ClickException):
    """A check or a step did not go well; says what to do."""

    exit_code = 1


class DeploymentTarget(Struct, frozen=True):
    """As its tfvars file says, defaults as in terraform/variables.tf."""

    environment: str
    project: str
    database: str
    key_version: str
    region: str = "europe-west1"
    console_group: str = ""
    quota: str = ""
    live_quota: str = "limits,usage"
    catalogue: str = ""

    @classmethod
    def read(cls, environment: str, root: Path = ROOT) -> DeploymentTarget:
        """Raises Stopped for an environment that has no file, or a file without a project."""
        folder = root / "terraform/envs"
        environments = sorted(path.stem for path in folder.glob("*.tfvars"))
        if environment not in environments:
            raise Stopped(f"found {environment!r}; allowed: {', '.join(environments)}: the files in terraform/envs")
        text = (folder / f"{environment}.tfvars").read_text("utf-8")
        given = dict(re.findall(r'^(\w+)\s*=\s*"([^"]*)"', text, re.MULTILINE))
        if "project_id" not in given:
            raise Stopped(f"terraform/envs/{environment}.tfvars: project_id is missing")
        named = {
            name: given[name]
            for name in ("console_group", "quota", "live_quota", "catalogue", "region")
            if name in given
        }
        return cls(
            environment,
            given["project_id"],
            given.get("database", "renderlane"),
            given.get("gemini_key_version", "1"),
            **named,
        )

    @property
    def state(self) -> str:
        return f"{self.project}-renderlane-terraform"

    @property
    def repository(self) -> str:
        """Where images are: `HOST/PROJECT/REPOSITORY`."""
        return f"{self.region}-docker.pkg.dev/{self.project}/renderlane"

    @property
    def source(self) -> str:
        return f"{self.project}-renderlane-source"

    def settings(self, *, deployed: bool) -> dict[str, str]:
        """The environment variables by which `renderlane` looks at what is deployed, or at what is not yet."""
        named = {
            "GOOGLE_CLOUD_PROJECT": self.project,
            "RENDERLANE_CATALOGUE": self.catalogue,
            "RENDERLANE_QUOTA": self.quota,
        }
        if not deployed:
            return named | {"RENDERLANE_HOME": NOTHING_YET}
        return named | {
            "RENDERLANE_STORE": f"firestore://{self.project}/{self.database}",
            "RENDERLANE_TOPICS": f"pubsub://{self.project}",
            "RENDERLANE_IMAGES": f"gs://{self.project}-renderlane-images",
            "RENDERLANE_LIVE_QUOTA": self.live_quota,
        }
