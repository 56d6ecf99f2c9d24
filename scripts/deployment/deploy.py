"""The way there and back: checks, image, plan, apply, smoke; and the revisions before.

Without an option it says what it would do.

Everything that changes something is a command of terraform or gcloud that is printed before it runs.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from scripts.deployment import bundle, checklist, plan_file, revisions
from scripts.deployment.place import ROOT, DeploymentTarget, Stopped
from scripts.deployment.shell import RealShell, Shell

BUNDLE = Path("build/bundle.zip")
AGENTS = ("pubsub.googleapis.com", "secretmanager.googleapis.com")
"""Google's own services that act in the project: they must exist before anything is granted to them."""
CONSOLE_AGENT = "iap.googleapis.com"
"""Identity-Aware Proxy calls the console as its own agent."""
APIS = Path("terraform/apis.json")
LIFECYCLE = Path("terraform/state-lifecycle.json")
"""Of the state's bucket: versions that others have replaced go after a while."""
LOCK = Path("terraform/.terraform.lock.hcl")
MADE_FIRST = (
    "google_secret_manager_secret.gemini_key",
    "google_logging_metric.event",
    "google_artifact_registry_repository_iam_member.build",
    "google_project_iam_member.build_logs",
    "google_storage_bucket_iam_member.build",
)
"""The secret, whose value a person adds; the metrics, which alert policies find only minutes after they were made
(hashicorp/terraform-provider-google#11102); and what the build needs."""
PAUSE_SECONDS = 120
APPLIES = 3
"""A new project refuses things for minutes: APIs, agents and grants that were just made."""
TRANSIENT = re.compile(
    r"has not been used in project|it is disabled|Cannot find metric\(s\) that match|You must grant"
    r"|does not have (storage|permission)|service account .{0,120}does not exist|Permission .{0,80}denied on resource"
    r"|Error 409|try again later|Resource .{0,80}not ready",
    re.IGNORECASE,
)
"""What Terraform says while a project is not ready yet; the next apply goes through.
https://registry.terraform.io/providers/hashicorp/google/latest/docs/resources/google_project_service"""
KICK = '{"queues": []}'
UNKNOWN_IMAGE = "@sha256:" + "0" * 64
"""Stands for the digest of an image that is not built yet."""


class Deployment(Struct, frozen=True):
    place: DeploymentTarget
    shell: Shell
    say: Callable[[str], None]
    act: bool
    """False: say what would be done, and only look."""
    despite: frozenset[str] = frozenset()
    """Checks of doctor that may fail."""
    canary_percent: int | None = None
    """How much of the traffic the new revisions get; None = all."""

    def plan(self) -> None:
        """Check, build and plan: nothing that runs is changed. Raises Stopped where a step fails."""
        self._tools()
        self._clean()
        made = bundle.make(ROOT / BUNDLE)
        self.say(f"bundle {made.digest[:12]}: {made.bytes:,} bytes; functions {', '.join(made.targets)}")
        if self.place.console_group and "console" not in made.targets:
            raise Stopped("console_group names a group, but functions/main.py has no function `console`")
        self._doctor()
        self._prepare()
        self._made_first()
        image = self._image(made)
        kept, variables = plan_file.path_of(self.place.environment), self._variables(image)
        self._while_new(self._terraform("plan", f"-out=../{kept}", *variables))
        if self.act:
            self._refuse_losses(kept)
            plan_file.remember(ROOT / kept, plan_file.Note(made.digest, variables))

    def apply(self) -> None:
        """Apply the very plan that `plan` showed. Raises Stopped where there is none of this source."""
        self._tools()
        kept = plan_file.path_of(self.place.environment)
        note = plan_file.read(ROOT / kept)
        if self.act and (note is None or note.bundle != bundle.make(ROOT / BUNDLE).digest):
            raise Stopped(
                f"there is no plan of this source; look at it first: ./scripts/deploy {self.place.environment} --plan"
            )
        # The rest of a plan that failed midway is planned again, with the same image.
        again = self._terraform("plan", f"-out=../{kept}", *(note.variables if note else ()))
        self._while_new(self._terraform("apply", f"../{kept}"), again)
        if self.act:
            plan_file.forget(ROOT / kept)
        self._hand_over()
        self._smoke()

    def back(self) -> None:
        """Give all traffic to the revisions of the release before: seconds, nothing is built. Raises Stopped where
        there is none."""
        pools = json.loads(self.shell.look("terraform", "-chdir=terraform", "output", "-json", "pools") or "[]")
        for pool in pools:
            self._pool_back(pool)
        for service in self._services():
            if service in pools:
                continue
            before = revisions.before(self._json("run", "services", "describe", service), self._revisions(service))
            if before is None:
                raise Stopped(f"{service} has no ready revision of an earlier release: nothing to go back to")
            self._do(
                "gcloud", "run", "services", "update-traffic", service, f"--to-revisions={before}=100", *self._where()
            )
        self._hand_over()
        self._smoke()
        self.say("The next `--plan` and `--yes` give the traffic to the newest revision again.")

    def _pool_back(self, pool: str) -> None:
        """As a service's, by instances instead of traffic."""
        described = self._json("beta", "run", "worker-pools", "describe", pool)
        listed = self._json("beta", "run", "worker-pools", "revisions", "list", f"--worker-pool={pool}")
        before = revisions.before(revisions.as_service(described), list(listed or []))
        if before is None:
            raise Stopped(f"{pool} has no ready revision of an earlier release: nothing to go back to")
        self._do(
            "gcloud", "beta", "run", "worker-pools", "update-instance-split", pool, f"--to-revisions={before}=100",
            *self._where(),
        )  # fmt: skip

    def _services(self) -> list[str]:
        text = self.shell.look("terraform", "-chdir=terraform", "output", "-json", "entry_points")
        return [f"renderlane-{name}" for name in json.loads(text or "[]")] or ["renderlane-render"]

    def _revisions(self, service: str) -> list[Any]:
        return list(self._json("run", "revisions", "list", f"--service={service}") or [])

    def _json(self, *words: str) -> Any:
        return json.loads(self.shell.look("gcloud", *words, "--format=json", *self._where()) or "null")

    def _where(self) -> tuple[str, str]:
        return f"--region={self.place.region}", f"--project={self.place.project}"

    def _tools(self) -> None:
        """What the steps themselves need: nothing of it is doctor's to know."""
        missing = [program for program in ("terraform", "gcloud", "git") if shutil.which(program) is None]
        if missing:
            raise Stopped(f"{' and '.join(missing)} not found; install {' and '.join(missing)} first")
        if self.act and self.shell.look("gcloud", "auth", "print-access-token") is None:
            raise Stopped(
                "gcloud is not signed in; run `gcloud auth login` and `gcloud auth application-default login`"
            )

    def _clean(self) -> None:
        """What is deployed must be a commit: a regression has to have a date."""
        changed = self.shell.look(
            "git", "status", "--porcelain", "--", "functions", "shared", "terraform", "Dockerfile"
        )
        if self.act and changed:
            raise Stopped(f"the work tree differs from the last commit; commit or stash it first:\n{changed}")

    def _doctor(self) -> None:
        """The launch checklist. Of a project in which nothing runs yet only what can be known beforehand.

        The service of `watch` is among the last things an apply makes: a first apply that failed midway is no
        deployment.
        """
        described = self.shell.look("gcloud", "run", "services", "describe", "renderlane-watch", *self._where())
        deployed = not self.act or described is not None
        words = checklist.command(self.place, deployed=deployed)
        self.say(f"{'runs ' if self.act else 'would run'} {shlex.join(words)}")
        if self.act:
            for line in checklist.judge(checklist.read(self.shell.answer(*words)), self.despite):
                self.say(line)

    def _prepare(self) -> None:
        """What Terraform itself needs, and the agents that it grants to."""
        project = f"--project={self.place.project}"
        agents = (*AGENTS, *([CONSOLE_AGENT] if self.place.console_group else []))
        apis = json.loads((ROOT / APIS).read_text("utf-8"))
        wanted = sorted({*apis["always"], *(apis["console"] if self.place.console_group else [])})
        for at in range(0, len(wanted), 20):  # the API takes 20 at a time
            self._do("gcloud", "services", "enable", *wanted[at : at + 20], project)
        for agent in agents:
            self._do("gcloud", "beta", "services", "identity", "create", f"--service={agent}", project)
        bucket = f"gs://{self.place.state}"
        if not self.act or self.shell.look("gcloud", "storage", "buckets", "describe", bucket) is None:
            self._do(
                "gcloud", "storage", "buckets", "create", bucket, project, f"--location={self.place.region}",
                "--uniform-bucket-level-access", "--public-access-prevention",
            )  # fmt: skip
            self._do("gcloud", "storage", "buckets", "update", bucket, "--versioning", f"--lifecycle-file={LIFECYCLE}")
        backend = f"-backend-config=bucket={self.place.state}"
        # The lock names the provider's checksums: it is written once, committed, and only read from then on.
        locked = ("-lockfile=readonly",) if (ROOT / LOCK).is_file() else ()
        self._do("terraform", "-chdir=terraform", "init", "-input=false", "-reconfigure", backend, *locked)

    def _made_first(self) -> None:
        """The secret comes before the services, its value from the operator. Terraform never sees it."""
        version, secret = self.place.key_version, "renderlane-gemini-key"
        look = ("gcloud", "secrets", "versions", "describe", version, f"--secret={secret}",
                f"--project={self.place.project}")  # fmt: skip
        if self.act and self.shell.look(*look) is not None:
            return
        targets = [f"-target={resource}" for resource in MADE_FIRST]
        image = f"{self.place.repository}/worker{UNKNOWN_IMAGE}"
        self._while_new(self._terraform("apply", "-auto-approve", *targets, *self._variables(image)))
        if self.act and self.shell.look(*look) is None:
            raise Stopped(
                f"the secret {secret} has no version {version}: put the key there, then deploy again:\n"
                f"  gcloud secrets versions add {secret} --data-file=- --project={self.place.project}"
            )

    def _image(self, made: bundle.Bundle) -> str:
        """The image of this bundle by its digest; built where the registry does not have it yet."""
        tag = f"{self.place.repository}/worker:{made.digest[:12]}"
        look = ("gcloud", "artifacts", "docker", "images", "describe", tag, "--format=value(image_summary.digest)",
                f"--project={self.place.project}")  # fmt: skip
        if not (self.act and self.shell.look(*look)):
            account = f"renderlane-build@{self.place.project}.iam.gserviceaccount.com"
            self._do(
                "gcloud", "builds", "submit", str(BUNDLE), f"--tag={tag}", *self._where(),
                f"--service-account=projects/{self.place.project}/serviceAccounts/{account}",
                f"--gcs-source-staging-dir=gs://{self.place.source}/builds",
                "--default-buckets-behavior=regional-user-owned-bucket",
            )  # fmt: skip
        digest = (self.shell.look(*look) if self.act else None) or UNKNOWN_IMAGE.removeprefix("@")
        return f"{self.place.repository}/worker@{digest}"

    def _variables(self, image: str) -> tuple[str, ...]:
        commit = self.shell.look("git", "rev-parse", "--short=12", "HEAD") or ""
        canary: tuple[str, ...] = ()
        if self.canary_percent is not None:
            serving = {
                service.removeprefix("renderlane-"): revisions.serving(
                    self._json("run", "services", "describe", service)
                )
                for service in self._services()
            }
            stable = json.dumps({name: revision for name, revision in serving.items() if revision})
            canary = (f"-var=canary_percent={self.canary_percent}", f"-var=stable_revisions={stable}")
        return (
            f"-var-file=envs/{self.place.environment}.tfvars",
            f"-var=image={image}",
            f"-var=commit={commit}",
            *canary,
        )

    def _refuse_losses(self, kept: Path) -> None:
        shown = self.shell.look("terraform", "-chdir=terraform", "show", "-json", f"../{kept}")
        losses = plan_file.losses(shown or "{}")
        if losses:
            raise Stopped(f"the plan deletes what cannot be made again: {', '.join(losses)}; nothing was changed")
        self._platform_quota(plan_file.output(shown or "{}", "fleet"))

    def _platform_quota(self, fleet: str | None) -> None:
        """Cloud Run refuses a fleet over its quota midway through an apply; better before."""
        if fleet is None:
            return
        answered = self.shell.answer(*checklist.command(self.place, deployed=False, fleet=fleet))
        quota = [check for check in checklist.read(answered) if check.name == "platform-quota"]
        for line in checklist.judge(quota, self.despite):
            self.say(line)

    def _hand_over(self) -> None:
        """A kick reaches the pump of the revision that has the traffic now, which takes the lead over at once. Without
        one it would come with the next minute's; the pump of before goes on until then.
        """
        self._do("gcloud", "pubsub", "topics", "publish", "pump-kicks", f"--message={KICK}",
                 f"--project={self.place.project}")  # fmt: skip

    def _smoke(self) -> None:
        self._do("./scripts/smoke", f"--project={self.place.project}", f"--database={self.place.database}")

    @staticmethod
    def _terraform(verb: str, *words: str) -> tuple[str, ...]:
        return "terraform", "-chdir=terraform", verb, "-input=false", *words

    def _do(self, *words: str) -> None:
        if self._problem(*words) is not None:
            raise self._failed(*words)

    def _while_new(self, words: tuple[str, ...], before_again: tuple[str, ...] = ()) -> None:
        """Run the command; again, after `before_again`, where it fails as in a project that is not ready yet."""
        for tries_left in reversed(range(APPLIES)):
            problem = self._problem(*words)
            if problem is None:
                return
            if tries_left == 0 or not TRANSIENT.search(problem):
                raise self._failed(*words)
            self.say(f"the project is not ready yet; {tries_left} tries left, the next in {PAUSE_SECONDS} s")
            self.shell.pause(PAUSE_SECONDS)
            if before_again:
                self._do(*before_again)

    def _problem(self, *words: str) -> str | None:
        """What the command said where it failed."""
        self.say(f"{'runs ' if self.act else 'would run'} {shlex.join(words)}")
        return self.shell.do(*words) if self.act else None

    def _failed(self, *words: str) -> Stopped:
        return Stopped(f"{shlex.join(words[:3])} failed.\n{self.way_back()}")

    def way_back(self) -> str:
        return (
            f"The release before, in seconds: ./scripts/deploy {self.place.environment} --back --yes\n"
            "Until then: `renderlane flags --help` lists the flags; a tripped one changes the whole backlog in seconds."
        )


@click.command(help="Deploy one environment of terraform/envs, or say what that would do.")
@click.argument("environment")
@click.option(
    "--plan", "only_plan", is_flag=True, help="Check, build the image and show the plan; nothing that runs changes."
)
@click.option(
    "--yes", is_flag=True, help="Apply the plan that --plan has shown. Without this and --plan nothing is done."
)
@click.option("--back", is_flag=True, help="Give the traffic to the release before.")
@click.option(
    "--canary",
    type=click.IntRange(0, 100),
    metavar="PERCENT",
    help="With --plan: the new revisions' part of the traffic.",
)
@click.option("--despite", multiple=True, metavar="CHECK", help="A check of doctor that may fail; repeatable.")
def main(
    environment: str, only_plan: bool, yes: bool, back: bool, canary: int | None, despite: tuple[str, ...]
) -> None:
    deployment = Deployment(
        DeploymentTarget.read(environment), RealShell(), click.echo, act=yes or only_plan, despite=frozenset(despite),
        canary_percent=canary,
    )  # fmt: skip
    if back:
        deployment.back()
    elif yes:
        deployment.apply()
    else:
        deployment.plan()
        if not only_plan:
            deployment.apply()
    if not deployment.act:
        click.echo(f"nothing was changed; --plan looks, --yes applies what it has shown. {deployment.way_back()}")
    elif only_plan:
        click.echo(f"nothing that runs was changed; ./scripts/deploy {environment} --yes applies this plan")
    else:
        click.echo("done")


if __name__ == "__main__":
    main(prog_name="./scripts/deploy")
