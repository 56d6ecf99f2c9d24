"""The way there and back, with a shell that notes what it is told."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scripts.deployment.deploy import Deployment, Place, Stopped, earlier

OLD, NEW = "a" * 64, "b" * 64
LISTED = json.dumps(
    [
        {"url": f"gs://p/bundles/{digest}.zip#1", "metadata": {"timeCreated": at}}
        for digest, at in (
            (OLD, "2026-11-20T10:00:00Z"),
            ("c" * 64, "2026-11-01T10:00:00Z"),
            (NEW, "2026-11-22T10:00:00Z"),
        )
    ]
)


@dataclass
class Told:
    """Answers looks by the first words that are known; every command goes well but those named."""

    answers: dict[str, str] = field(default_factory=dict)
    fails: str = "nothing"
    done: list[str] = field(default_factory=list)

    def look(self, *words: str) -> str | None:
        return next((answer for known, answer in self.answers.items() if " ".join(words).startswith(known)), None)

    def do(self, *words: str) -> bool:
        self.done.append(" ".join(words))
        return self.fails not in self.done[-1]


SIGNED_IN = {"gcloud auth": "token", "gcloud secrets versions describe": "ENABLED", "gcloud storage buckets": "there"}


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")


def a_deployment(shell: Told, *, apply: bool) -> tuple[Deployment, list[str]]:
    said: list[str] = []
    return Deployment(Place.read("staging"), shell, said.append, apply), said


def test_without_yes_nothing_is_done_and_every_step_is_said() -> None:
    shell = Told()
    deployment, said = a_deployment(shell, apply=False)
    deployment.forward()
    assert shell.done == []
    steps = [line for line in said if line.startswith("would run")]
    for word in (
        "services enable",
        "identity create",
        "buckets create",
        "init",
        "-target",
        "plan",
        "apply",
        "scripts/smoke",
    ):
        assert any(word in step for step in steps), word


def test_it_plans_applies_and_smokes_in_that_order() -> None:
    shell = Told(SIGNED_IN)
    deployment, _ = a_deployment(shell, apply=True)
    deployment.forward()
    order = [re.sub(r".*terraform (\w+).*|.*/(smoke).*", r"\1\2", each) for each in shell.done if "gcloud" not in each]
    assert order == ["init", "plan", "apply", "smoke"]
    assert "-var-file=envs/staging.tfvars -var=bundle=../build/bundle.zip" in next(
        x for x in shell.done if " plan " in x
    )
    assert shell.done[-1] == "./scripts/smoke --project=renderlane-staging --database=renderlane"


def test_a_key_that_is_not_there_stops_before_the_functions_with_the_command_that_adds_it() -> None:
    shell = Told({"gcloud auth": "token"})
    deployment, _ = a_deployment(shell, apply=True)
    with pytest.raises(Stopped, match="gcloud secrets versions add renderlane-gemini-key"):
        deployment.forward()
    assert "-target=google_secret_manager_secret.gemini_key" in shell.done[-1]
    assert not any(" plan " in each for each in shell.done)


def test_a_smoke_that_fails_names_the_way_back() -> None:
    deployment, _ = a_deployment(Told(SIGNED_IN, fails="smoke"), apply=True)
    with pytest.raises(Stopped, match=r"\./scripts/deploy staging --back --yes"):
        deployment.forward()


def test_who_is_not_signed_in_is_told_before_anything_is_done() -> None:
    shell = Told()
    deployment, _ = a_deployment(shell, apply=True)
    with pytest.raises(Stopped, match="gcloud auth login"):
        deployment.forward()
    assert shell.done == []


def test_the_way_back_takes_the_newest_bundle_that_does_not_run() -> None:
    shell = Told({"terraform -chdir=terraform output": NEW, "gcloud storage ls": LISTED})
    deployment, _ = a_deployment(shell, apply=True)
    deployment.back()
    assert f"gcloud storage cp gs://p/bundles/{OLD}.zip build/bundle-before.zip" in shell.done
    assert "-var=bundle=../build/bundle-before.zip" in next(each for each in shell.done if " plan " in each)


def test_there_is_no_way_back_from_the_first_bundle() -> None:
    assert earlier(LISTED, NEW) == f"gs://p/bundles/{OLD}.zip"
    assert earlier("[]", NEW) is None
    deployment, _ = a_deployment(Told(), apply=True)
    with pytest.raises(Stopped, match="nothing to go back to"):
        deployment.back()


def test_an_environment_without_a_file_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(Stopped, match="allowed: production, staging"):
        Place.read("prod")
    assert Place.read("production", Path.cwd()).state == "renderlane-production-renderlane-terraform"
