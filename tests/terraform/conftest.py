"""Fixtures `attachment`, `terraform` and `plan`: one provider and one plan for each test process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.terraform.terraform import Planned, Terraform, attached


@pytest.fixture(scope="session")
def attachment() -> Iterator[dict[str, str]]:
    """The environment in which Terraform finds the provider. Its folder is short: a socket's path may not be long."""
    with TemporaryDirectory() as folder, attached(Path(folder)) as environment:
        yield environment


@pytest.fixture(scope="session")
def terraform(attachment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    return Terraform(tmp_path_factory.mktemp("terraform"), attachment)


@pytest.fixture(scope="session")
def plan(terraform: Terraform) -> Planned:
    """What an empty project gets with nothing but the required variables."""
    return terraform.planned()
