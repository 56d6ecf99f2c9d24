"""Terraform's own checks, without a cloud: format, names, types, listed values, value ranges, security rules."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.terraform import rules
from tests.terraform.terraform import Planned, Terraform

ENVIRONMENTS = sorted(path.name for path in Path("terraform/envs").glob("*.tfvars"))


def test_it_is_formatted(attachment: dict[str, str]) -> None:
    subprocess.run(["terraform", "fmt", "-check", "-recursive", "terraform"], env=attachment, check=True)


def test_every_name_type_and_listed_value_is_one_the_provider_knows(terraform: Terraform) -> None:
    ended = terraform.run("validate")
    assert ended.code == 0, ended.output


@pytest.mark.slow
def test_values_and_refusals_hold_in_terraforms_own_tests(terraform: Terraform) -> None:
    ended = terraform.run("test")
    assert ended.code == 0, ended.output
    written = sum(path.read_text("utf-8").count("\nrun ") for path in Path("terraform/tests").glob("*.tftest.hcl"))
    assert f"{written} passed, 0 failed" in ended.output


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_each_environment_has_a_plan(name: str, terraform: Terraform) -> None:
    ended = terraform.plan(f"-var-file=envs/{name}")
    assert ended.code == 0, ended.output


def test_nothing_is_public_and_nobody_has_a_sweeping_role(plan: Planned) -> None:
    assert rules.exposures(plan) == []


def test_pubsubs_own_agent_may_give_messages_up(plan: Planned) -> None:
    assert rules.givings_up(plan) == []


def test_no_function_is_reached_from_outside_and_the_console_only_through_its_proxy(terraform: Terraform) -> None:
    callers = {"serviceAccount:shop@render-test.iam.gserviceaccount.com": ["shop"]}
    plan = terraform.planned(console_group="oncall@example.com", webhooks={"public": True}, api_callers=callers)
    assert rules.exposures(plan) == []
    assert rules.open_doors(plan) == []


def test_only_arrive_can_be_called_by_anybody_and_only_where_it_is_wanted(terraform: Terraform, plan: Planned) -> None:
    assert rules.strangers(plan) == []
    assert rules.strangers(terraform.planned(webhooks={"public": True})) == ["renderlane-arrive"]
