"""The way there and back, with a shell that notes what it is told."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from scripts.deployment import bundle, checklist, contents, deploy, plan_file, revisions
from scripts.deployment.deploy import Deployment
from scripts.deployment.place import DeploymentTarget, Stopped


@dataclass
class ScriptedShell:
    """Answers looks by the first words that are known; every command goes well but those named."""

    answers: dict[str, str] = field(default_factory=dict)
    fails: str = "nothing"
    done: list[str] = field(default_factory=list)
    doctor: str = json.dumps({"ready": True, "checks": []})
    commands: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What `terraform apply` says, one failure after the other."""
    pauses: list[int] = field(default_factory=list)

    def look(self, *words: str) -> str | None:
        return next((answer for prefix, answer in self.answers.items() if " ".join(words).startswith(prefix)), None)

    def answer(self, *words: str) -> str:
        self.commands.append(" ".join(words))
        return self.doctor

    def pause(self, seconds: int) -> None:
        self.pauses.append(seconds)

    def do(self, *words: str) -> str | None:
        self.done.append(" ".join(words))
        if " plan " in self.done[-1]:
            (HERE["root"] / KEPT).write_text("a plan")
        if self.problems and " apply " in self.done[-1]:
            return self.problems.pop(0)
        return "broken" if self.fails in self.done[-1] else None


SIGNED_IN = {
    "gcloud auth": "token",
    "gcloud secrets versions describe": "ENABLED",
    "gcloud storage buckets": "there",
    "gcloud artifacts docker images describe": "sha256:" + "ab" * 32,
    "gcloud run services describe renderlane-watch": "there",
}
TRIPPED = {
    "owner": "rollback", "check": "flags-left-tripped", "verdict": "fail", "found": "pause-ann by ann: too dear",
    "remedy": "Reset what is no longer needed: `renderlane flags`.",
}  # fmt: skip
UNSEEN = {"owner": "model", "check": "quality-bar", "verdict": "unknown", "found": "never", "remedy": "Look."}


KEPT = plan_file.path_of("staging")
HERE: dict[str, Path] = {}
"""Where the test's deployment keeps its plan."""


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every program is there, and what a deployment keeps lies in a folder of the test."""
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    (tmp_path / "root/terraform").mkdir(parents=True)
    shutil.copy("terraform/apis.json", tmp_path / "root/terraform/apis.json")
    (tmp_path / "root/build").mkdir()
    monkeypatch.setattr(deploy, "ROOT", tmp_path / "root")
    HERE["root"] = tmp_path / "root"
    real = bundle.make
    monkeypatch.setattr(bundle, "make", lambda path: real(path, Path.cwd()))


def a_deployment(
    shell: ScriptedShell, *, apply: bool, despite: frozenset[str] = frozenset()
) -> tuple[Deployment, list[str]]:
    lines: list[str] = []
    return Deployment(DeploymentTarget.read("staging"), shell, lines.append, apply, despite), lines


def planned_and_applied(deployment: Deployment) -> None:
    """What a person does: look at the plan, then apply it."""
    deployment.plan()
    deployment.apply()


def test_without_yes_nothing_is_done_and_every_step_is_said() -> None:
    shell = ScriptedShell()
    deployment, lines = a_deployment(shell, apply=False)
    planned_and_applied(deployment)
    assert shell.done == []
    steps = [line for line in lines if line.startswith("would run")]
    for word in (
        "services enable",
        "identity create",
        "buckets create",
        "init",
        "-target",
        "plan",
        "apply",
        "topics publish pump-kicks",
        "scripts/smoke",
    ):
        assert any(word in step for step in steps), word


def test_it_plans_applies_and_smokes_in_that_order() -> None:
    shell = ScriptedShell(SIGNED_IN)
    deployment, _ = a_deployment(shell, apply=True)
    planned_and_applied(deployment)
    order = [re.sub(r".*terraform (\w+).*|.*/(smoke).*", r"\1\2", name) for name in shell.done if "gcloud" not in name]
    assert order == ["init", "plan", "apply", "smoke"]
    made = next(command for command in shell.done if " plan " in command)
    assert "-var-file=envs/staging.tfvars" in made
    assert f"-var=image=europe-west1-docker.pkg.dev/renderlane-staging/renderlane/worker@sha256:{'ab' * 32}" in made
    assert shell.done[-1] == "./scripts/smoke --project=renderlane-staging --database=renderlane"


def test_a_key_that_is_not_there_stops_before_the_functions_with_the_command_that_adds_it() -> None:
    shell = ScriptedShell({"gcloud auth": "token"})
    deployment, _ = a_deployment(shell, apply=True)
    with pytest.raises(Stopped, match="gcloud secrets versions add renderlane-gemini-key"):
        planned_and_applied(deployment)
    assert "-target=google_secret_manager_secret.gemini_key" in shell.done[-1]
    assert "-target=google_logging_metric.event" in shell.done[-1], "alert policies find metrics only minutes later"
    assert not any(" plan " in name for name in shell.done)


NO_METRIC = 'Error 404: Cannot find metric(s) that match type = "logging.googleapis.com/user/renderlane/rejected"'
DISABLED = "Error 403: Cloud Run Admin API has not been used in project 123 before or it is disabled."


def test_a_project_that_is_not_ready_yet_is_planned_and_applied_again() -> None:
    shell = ScriptedShell(SIGNED_IN, problems=[NO_METRIC, DISABLED])
    deployment, lines = a_deployment(shell, apply=True)
    planned_and_applied(deployment)
    assert [sum(f" {verb} " in command for command in shell.done) for verb in ("plan", "apply")] == [3, 3]
    assert len(shell.pauses) == 2
    assert any("not ready yet" in line for line in lines)


@pytest.mark.parametrize("problems", [["Error 400: Invalid value"], [DISABLED] * 3])
def test_an_apply_that_will_not_go_through_stops_with_the_way_back(problems: list[str]) -> None:
    deployment, _ = a_deployment(ScriptedShell(SIGNED_IN, problems=problems), apply=True)
    with pytest.raises(Stopped, match="--back"):
        planned_and_applied(deployment)


def test_every_api_is_enabled_before_the_first_plan_and_the_state_lies_in_the_region() -> None:
    shell = ScriptedShell({name: text for name, text in SIGNED_IN.items() if "buckets" not in name})
    deployment, _ = a_deployment(shell, apply=True)
    planned_and_applied(deployment)
    enabled = {word for command in shell.done if "services enable" in command for word in command.split()}
    first = next(at for at, command in enumerate(shell.done) if "terraform" in command)
    assert set(json.loads(Path("terraform/apis.json").read_text("utf-8"))["always"]) <= enabled
    assert max(at for at, command in enumerate(shell.done) if "services enable" in command) < first
    assert "--location=europe-west1" in next(command for command in shell.done if "buckets create" in command)


def test_a_smoke_that_fails_names_the_way_back() -> None:
    deployment, _ = a_deployment(ScriptedShell(SIGNED_IN, fails="smoke"), apply=True)
    with pytest.raises(Stopped, match=r"\./scripts/deploy staging --back --yes"):
        planned_and_applied(deployment)


def test_who_is_not_signed_in_is_told_before_anything_is_done() -> None:
    shell = ScriptedShell()
    deployment, _ = a_deployment(shell, apply=True)
    with pytest.raises(Stopped, match="gcloud auth login"):
        planned_and_applied(deployment)
    assert shell.done == []


def test_nothing_is_applied_that_was_not_planned_and_shown() -> None:
    shell = ScriptedShell(SIGNED_IN)
    deployment, _ = a_deployment(shell, apply=True)
    with pytest.raises(Stopped, match=r"look at it first: \./scripts/deploy staging --plan"):
        deployment.apply()
    assert shell.done == []


def test_a_plan_is_applied_once() -> None:
    deployment, _ = a_deployment(ScriptedShell(SIGNED_IN), apply=True)
    planned_and_applied(deployment)
    with pytest.raises(Stopped, match="no plan of this source"):
        deployment.apply()


def test_a_plan_of_another_source_is_not_applied() -> None:
    deployment, _ = a_deployment(ScriptedShell(SIGNED_IN), apply=True)
    deployment.plan()
    plan_file.remember(HERE["root"] / KEPT, plan_file.Note("f" * 64, ()))
    with pytest.raises(Stopped, match="no plan of this source"):
        deployment.apply()


def test_a_plan_that_deletes_what_cannot_be_made_again_is_refused() -> None:
    change = {"address": "google_firestore_database.this", "type": "google_firestore_database",
              "change": {"actions": ["delete", "create"]}}  # fmt: skip
    shell = ScriptedShell(SIGNED_IN | {"terraform -chdir=terraform show": json.dumps({"resource_changes": [change]})})
    deployment, _ = a_deployment(shell, apply=True)
    with pytest.raises(Stopped, match=r"google_firestore_database\.this"):
        deployment.plan()
    with pytest.raises(Stopped, match="no plan of this source"):
        deployment.apply()


def test_a_work_tree_that_differs_from_its_commit_is_not_deployed() -> None:
    shell = ScriptedShell(SIGNED_IN | {"git status": " M shared/config.py"})
    deployment, _ = a_deployment(shell, apply=True)
    with pytest.raises(Stopped, match=r"shared/config\.py"):
        deployment.plan()
    assert shell.done == []


def test_an_image_is_built_once_and_by_the_build_account() -> None:
    has_none = {name: text for name, text in SIGNED_IN.items() if "artifacts" not in name}
    shell = ScriptedShell(has_none)
    a_deployment(shell, apply=True)[0].plan()
    (built,) = [command for command in shell.done if "builds submit" in command]
    assert "serviceAccounts/renderlane-build@renderlane-staging.iam.gserviceaccount.com" in built
    again = ScriptedShell(SIGNED_IN)
    a_deployment(again, apply=True)[0].plan()
    assert not [command for command in again.done if "builds submit" in command]


def a_revision(name: str, made_at: str, release: str, *, ready: bool = True) -> dict[str, object]:
    """As `gcloud run revisions list --format=json` has it."""
    return {
        "metadata": {"name": name, "creationTimestamp": made_at, "labels": {"release": release}},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def a_service(*traffic: tuple[str, int]) -> dict[str, object]:
    return {"status": {"traffic": [{"revisionName": name, "percent": percent} for name, percent in traffic]}}


A, B, C = (
    a_revision(f"renderlane-render-{at}", f"2026-11-2{at}T10:00:00Z", release)
    for at, release in ((1, "a"), (2, "b"), (3, "c"))
)


def test_the_way_back_gives_traffic_to_the_release_before_and_builds_nothing() -> None:
    shell = ScriptedShell(
        {
            "terraform -chdir=terraform output -json entry_points": '["render"]',
            "gcloud run services describe": json.dumps(a_service(("renderlane-render-3", 100))),
            "gcloud run revisions list": json.dumps([A, B, C]),
        }
    )
    deployment, _ = a_deployment(shell, apply=True)
    deployment.back()
    assert shell.done[0].startswith(
        "gcloud run services update-traffic renderlane-render --to-revisions=renderlane-render-2=100"
    )
    assert not [command for command in shell.done if "build" in command or "terraform" in command]


def test_a_worker_pool_goes_back_by_its_instances() -> None:
    """https://cloud.google.com/run/docs/managing/workerpool-instance-splits-rollbacks"""
    pool = {"status": {"instanceSplits": [{"revisionName": "renderlane-render-3", "percent": 100}]}}
    shell = ScriptedShell(
        {
            "terraform -chdir=terraform output -json entry_points": '["render"]',
            "terraform -chdir=terraform output -json pools": '["renderlane-render"]',
            "gcloud beta run worker-pools describe": json.dumps(pool),
            "gcloud beta run worker-pools revisions list": json.dumps([A, B, C]),
        }
    )
    deployment, _ = a_deployment(shell, apply=True)
    deployment.back()
    (moved, kicked, _) = shell.done
    assert moved.startswith(
        "gcloud beta run worker-pools update-instance-split renderlane-render --to-revisions=renderlane-render-2=100"
    )
    assert "pump-kicks" in kicked


def test_going_back_twice_reaches_the_release_before_that() -> None:
    assert revisions.before(a_service(("renderlane-render-3", 100)), [A, B, C]) == "renderlane-render-2"
    assert revisions.before(a_service(("renderlane-render-2", 100)), [A, B, C]) == "renderlane-render-1"
    assert revisions.before(a_service(("renderlane-render-1", 100)), [A, B, C]) is None


def test_the_way_back_passes_over_revisions_of_the_same_release_and_such_as_never_started() -> None:
    same = a_revision("renderlane-render-4", "2026-11-24T10:00:00Z", "c")
    broken = a_revision("renderlane-render-2", "2026-11-22T10:00:00Z", "b", ready=False)
    assert revisions.before(a_service(("renderlane-render-4", 90)), [A, broken, C, same]) == "renderlane-render-1"


def test_there_is_no_way_back_from_the_first_release() -> None:
    deployment, _ = a_deployment(ScriptedShell(), apply=True)
    with pytest.raises(Stopped, match="nothing to go back to"):
        deployment.back()


def test_a_canary_keeps_the_rest_of_the_traffic_on_what_serves() -> None:
    shell = ScriptedShell(
        SIGNED_IN
        | {
            "terraform -chdir=terraform output -json entry_points": '["render"]',
            "gcloud run services describe": json.dumps(
                a_service(("renderlane-render-2", 80), ("renderlane-render-3", 20))
            ),
        }
    )
    deployment, _ = a_deployment(shell, apply=True)
    replace(deployment, canary_percent=10).plan()
    made = next(command for command in shell.done if " plan " in command)
    assert '-var=canary_percent=10 -var=stable_revisions={"render": "renderlane-render-2"}' in made


def test_an_environment_without_a_file_is_refused_with_those_that_have_one() -> None:
    with pytest.raises(Stopped, match="allowed: production, staging"):
        DeploymentTarget.read("prod")
    assert DeploymentTarget.read("production", Path.cwd()).state == "renderlane-production-renderlane-terraform"


def test_doctor_looks_at_what_is_deployed_before_anything_is_done() -> None:
    shell = ScriptedShell(SIGNED_IN, doctor="no JSON: RENDERLANE_QUOTA: found 'x'")
    deployment, _ = a_deployment(shell, apply=True)
    with pytest.raises(Stopped, match="could not check anything:\nno JSON: RENDERLANE_QUOTA"):
        planned_and_applied(deployment)
    assert shell.done == []
    (command,) = shell.commands
    assert command.endswith(".venv/bin/renderlane doctor --json")
    for setting in (
        "RENDERLANE_STORE=firestore://renderlane-staging/renderlane",
        "RENDERLANE_TOPICS=pubsub://renderlane-staging",
        "RENDERLANE_IMAGES=gs://renderlane-staging-renderlane-images",
        "RENDERLANE_QUOTA=*=rpm:30,concurrency:20",
        "RENDERLANE_LIVE_QUOTA=limits,usage",
    ):
        assert setting in command.split(" ")


def test_of_a_project_with_nothing_in_it_only_what_can_be_known_is_asked() -> None:
    shell = ScriptedShell({name: text for name, text in SIGNED_IN.items() if "gcloud run" not in name})
    deployment, _ = a_deployment(shell, apply=True)
    planned_and_applied(deployment)
    assert "RENDERLANE_HOME=build/nothing-deployed" in shell.commands[0]
    assert "RENDERLANE_STORE" not in shell.commands[0]


def test_a_check_that_fails_stops_it_with_its_remedy() -> None:
    shell = ScriptedShell(SIGNED_IN, doctor=json.dumps({"checks": [TRIPPED, UNSEEN]}))
    deployment, lines = a_deployment(shell, apply=True)
    with pytest.raises(Stopped, match=r"pause-ann by ann: too dear\n +Reset what is no longer needed"):
        planned_and_applied(deployment)
    assert shell.done == []
    assert "doctor: 0 checks pass, 1 fail" in lines
    assert "doctor does not know: quality-bar" in lines


def test_a_deployment_that_is_the_remedy_goes_on_despite_the_named_check() -> None:
    shell = ScriptedShell(SIGNED_IN, doctor=json.dumps({"checks": [TRIPPED]}))
    deployment, lines = a_deployment(shell, apply=True, despite=frozenset({"flags-left-tripped"}))
    planned_and_applied(deployment)
    assert "goes on despite flags-left-tripped: pause-ann by ann: too dear" in lines
    assert shell.done[-1].startswith("./scripts/smoke")


def test_without_yes_doctor_is_named_and_not_run() -> None:
    shell = ScriptedShell()
    deployment, lines = a_deployment(shell, apply=False)
    planned_and_applied(deployment)
    assert shell.commands == []
    assert any(line.startswith("would run") and "renderlane doctor --json" in line for line in lines)


@pytest.mark.parametrize("has_it", [True, False])
def test_a_console_needs_its_function_in_the_bundle_and_the_agent_of_its_proxy(
    has_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "targets", lambda _root: ["intake", *(["console"] if has_it else [])])
    shell = ScriptedShell(SIGNED_IN)
    deployment, _ = a_deployment(shell, apply=True)
    with_console = replace(deployment, place=replace(deployment.place, console_group="oncall@example.com"))
    if not has_it:
        with pytest.raises(Stopped, match="no function `console`"):
            planned_and_applied(with_console)
        assert shell.done == []
        return
    planned_and_applied(with_console)
    assert any("identity create --service=iap.googleapis.com" in name for name in shell.done)


def test_without_a_console_nothing_is_made_for_its_proxy() -> None:
    shell = ScriptedShell(SIGNED_IN)
    deployment, _ = a_deployment(shell, apply=True)
    planned_and_applied(deployment)
    assert not any("iap" in name for name in shell.done)


def test_what_doctor_really_says_of_a_home_that_does_not_exist_is_understood(tmp_path: Path) -> None:
    settings = DeploymentTarget.read("staging").settings(deployed=False) | {
        "RENDERLANE_HOME": str(tmp_path / "nothing")
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    code = "from scripts.cli.main import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json"], env=kept | settings, capture_output=True, text=True
    )
    checks = checklist.read(ended.stdout)
    assert {check.owner for check in checks} >= {"model", "price", "credential", "quota", "rollback"}
    assert not any(check.verdict == "fail" and check.owner in ("data", "quota", "rollback") for check in checks)
    assert not (tmp_path / "nothing/state.db").exists()


def test_a_plan_whose_fleet_is_over_cloud_runs_quota_is_not_kept_for_an_apply() -> None:
    """Half of an apply would go through before Cloud Run refuses the rest."""
    quota = {
        "owner": "quota", "check": "platform-quota", "verdict": "fail",
        "found": "the fleet may need 34 CPUs and 42 GiB in europe-west1; allowed: 20 CPUs, 40 GiB",
        "remedy": "Request more.",
    }  # fmt: skip
    outputs = {"planned_values": {"outputs": {"fleet": {"value": "34x42@europe-west1"}}}}
    shell = ScriptedShell(SIGNED_IN | {"terraform -chdir=terraform show": json.dumps(outputs)})
    deployment, _ = a_deployment(shell, apply=True)
    answer = shell.answer

    def answering(*words: str) -> str:
        checks = [quota] if any(word.startswith("--fleet=34x42@europe-west1") for word in words) else []
        return answer(*words) if not checks else json.dumps({"ready": False, "checks": checks})

    shell.answer = answering  # type: ignore[method-assign]
    with pytest.raises(Stopped, match="34 CPUs and 42 GiB"):
        deployment.plan()
    with pytest.raises(Stopped, match="no plan of this source"):
        deployment.apply()
