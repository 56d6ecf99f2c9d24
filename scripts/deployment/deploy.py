"""The way there and back: checks, plan, apply, smoke; and the bundle before. Without --yes it says what it would do.

Everything that changes something is a command of terraform or gcloud that is printed before it runs.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import click
from msgspec import Struct

from scripts.deployment import bundle, checklist
from scripts.deployment.place import ROOT, Place, Stopped

BUNDLE = Path("build/bundle.zip")
BACK = Path("build/bundle-before.zip")
AGENTS = ("pubsub.googleapis.com", "secretmanager.googleapis.com")
"""Google's own services that act in the project: they must exist before anything is granted to them."""
CONSOLE_AGENT = "iap.googleapis.com"
"""Identity-Aware Proxy calls the console as its own agent."""
APIS = Path("terraform/apis.json")
MADE_FIRST = ("google_secret_manager_secret.gemini_key", "google_logging_metric.event")
"""The secret, whose value a person adds; and the metrics, which alert policies find only minutes after they were made
(hashicorp/terraform-provider-google#11102)."""
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


class Shell(Protocol):
    def look(self, *words: str) -> str | None:
        """The output of a command that changes nothing; None where it fails."""
        ...

    def answer(self, *words: str) -> str:
        """What a command that changes nothing says, however it ends."""
        ...

    def pause(self, seconds: int) -> None:
        """Let a new project come to itself."""
        ...

    def do(self, *words: str) -> str | None:
        """Run a command that changes something, its output shown. None, or where it fails what it said on stderr."""
        ...


class RealShell:
    def look(self, *words: str) -> str | None:
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        return ended.stdout.strip() if ended.returncode == 0 else None

    def pause(self, seconds: int) -> None:
        time.sleep(seconds)

    def answer(self, *words: str) -> str:
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        return ended.stdout or ended.stderr

    def do(self, *words: str) -> str | None:
        process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        lines = []
        for line in process.stderr or ():
            sys.stderr.write(line)
            lines.append(line)
        return "".join(lines[-200:]) if process.wait() else None


class Deployment(Struct, frozen=True):
    place: Place
    shell: Shell
    say: Callable[[str], None]
    apply: bool
    """False: say what would be done, and only look."""
    despite: frozenset[str] = frozenset()
    """Checks of doctor that may fail."""

    def forward(self) -> None:
        """Raises Stopped where a step fails, with the way back."""
        made = bundle.make(ROOT / BUNDLE)
        self.say(f"bundle {made.digest[:12]}: {made.bytes:,} bytes; functions {', '.join(made.targets)}")
        self._tools(made)
        self._doctor()
        self._prepare()
        self._key()
        self._roll_out(BUNDLE)

    def back(self) -> None:
        """The newest bundle in the bucket that is not the one that runs. Raises Stopped where there is none."""
        self._init()
        running = self.shell.look("terraform", "-chdir=terraform", "output", "-raw", "bundle")
        listed = self.shell.look("gcloud", "storage", "ls", "--json", f"gs://{self.place.source}/bundles/*.zip")
        before = earlier(listed or "[]", running or "")
        if before is None:
            raise Stopped(
                f"gs://{self.place.source}/bundles holds no bundle but the one that runs: nothing to go back to"
            )
        self.say(f"back from {(running or 'nothing known')[:12]} to {Path(before).stem[:12]}")
        (ROOT / BACK).parent.mkdir(exist_ok=True)
        self._do("gcloud", "storage", "cp", before, str(BACK))
        self._roll_out(BACK)

    def _tools(self, made: bundle.Bundle) -> None:
        """What the steps themselves need: nothing of it is doctor's to know."""
        missing = [program for program in ("terraform", "gcloud") if shutil.which(program) is None]
        if missing:
            raise Stopped(f"{' and '.join(missing)} not found; install {' and '.join(missing)} first")
        if not made.compiled:
            wanted = ".".join(map(str, bundle.RUNTIME))
            raise Stopped(f"the bundle is not byte-compiled: run with Python {wanted}, the functions' own")
        if self.place.console_group and "console" not in made.targets:
            raise Stopped("console_group names a group, but functions/main.py has no function `console`")
        if self.apply and self.shell.look("gcloud", "auth", "print-access-token") is None:
            raise Stopped(
                "gcloud is not signed in; run `gcloud auth login` and `gcloud auth application-default login`"
            )

    def _doctor(self) -> None:
        """The launch checklist. Of a project in which nothing runs yet only what can be known beforehand.

        The function `watch` is among the last things an apply makes: a first apply that failed midway is no deployment.
        """
        watch = ("renderlane-watch", f"--region={self.place.region}", f"--project={self.place.project}")
        deployed = not self.apply or self.shell.look("gcloud", "run", "services", "describe", *watch) is not None
        words = checklist.command(self.place, deployed=deployed)
        self.say(f"{'runs ' if self.apply else 'would run'} {shlex.join(words)}")
        if self.apply:
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
        if not self.apply or self.shell.look("gcloud", "storage", "buckets", "describe", bucket) is None:
            self._do(
                "gcloud", "storage", "buckets", "create", bucket, project, f"--location={self.place.region}",
                "--uniform-bucket-level-access", "--public-access-prevention",
            )  # fmt: skip
            self._do("gcloud", "storage", "buckets", "update", bucket, "--versioning")
        self._init()

    def _init(self) -> None:
        bucket = f"-backend-config=bucket={self.place.state}"
        self._do("terraform", "-chdir=terraform", "init", "-input=false", "-reconfigure", bucket)

    def _key(self) -> None:
        """The secret comes before the functions, its value from whoever has it. Terraform never sees it."""
        version, secret = self.place.key_version, "renderlane-gemini-key"
        look = (
            "gcloud",
            "secrets",
            "versions",
            "describe",
            version,
            f"--secret={secret}",
            f"--project={self.place.project}",
        )
        if self.apply and self.shell.look(*look) is not None:
            return
        targets = [f"-target={resource}" for resource in MADE_FIRST]
        self._do_while_new(
            ("terraform", "-chdir=terraform", "apply", "-input=false", "-auto-approve", *targets,
             *self._variables(BUNDLE)),
        )  # fmt: skip
        if self.apply and self.shell.look(*look) is None:
            raise Stopped(
                f"the secret {secret} has no version {version}: put the key there, then deploy again:\n"
                f"  gcloud secrets versions add {secret} --data-file=- --project={self.place.project}"
            )

    def _roll_out(self, path: Path) -> None:
        kept = f"../build/{self.place.environment}.tfplan"
        self._do_while_new(
            ("terraform", "-chdir=terraform", "plan", "-input=false", f"-out={kept}", *self._variables(path)),
            ("terraform", "-chdir=terraform", "apply", "-input=false", kept),
        )
        self._do("./scripts/smoke", f"--project={self.place.project}", f"--database={self.place.database}")

    def _variables(self, path: Path) -> tuple[str, str]:
        return f"-var-file=envs/{self.place.environment}.tfvars", f"-var=bundle=../{path}"

    def _do(self, *words: str) -> None:
        if self._problem(*words) is not None:
            raise self._failed(*words)

    def _do_while_new(self, *commands: tuple[str, ...]) -> None:
        """Run the commands; all of them again where one fails as it does in a project that is not ready yet."""
        for applies_left in reversed(range(APPLIES)):
            failed = next(((words, said) for words in commands if (said := self._problem(*words)) is not None), None)
            if failed is None:
                return
            words, said = failed
            if applies_left == 0 or not TRANSIENT.search(said):
                raise self._failed(*words)
            self.say(
                f"the project is not ready yet; {applies_left} more of {APPLIES} tries, the next in {PAUSE_SECONDS} s"
            )
            self.shell.pause(PAUSE_SECONDS)

    def _problem(self, *words: str) -> str | None:
        """What the command said where it failed."""
        self.say(f"{'runs ' if self.apply else 'would run'} {shlex.join(words)}")
        return self.shell.do(*words) if self.apply else None

    def _failed(self, *words: str) -> Stopped:
        return Stopped(f"{shlex.join(words[:3])} failed.\n{self.way_back()}")

    def way_back(self) -> str:
        return (
            f"The bundle before: ./scripts/deploy {self.place.environment} --back --yes\n"
            "Until then: `renderlane flags --help` lists the flags; a tripped one bends the whole backlog in seconds."
        )


def earlier(listed: str, running: str) -> str | None:
    """The newest bundle of a listing (`gcloud storage ls --json`) beside the one of that digest."""
    found = [(each["metadata"]["timeCreated"], each["url"].partition("#")[0]) for each in json.loads(listed)]
    others = sorted((at, url) for at, url in found if Path(url).stem != running)
    return others[-1][1] if others else None


@click.command(help="Deploy one environment of terraform/envs, or say what that would do.")
@click.argument("environment")
@click.option("--yes", is_flag=True, help="Do it. Without this nothing is changed.")
@click.option("--back", is_flag=True, help="Go back to the bundle before.")
@click.option("--despite", multiple=True, metavar="CHECK", help="A check of doctor that may fail; repeatable.")
def main(environment: str, yes: bool, back: bool, despite: tuple[str, ...]) -> None:
    deployment = Deployment(Place.read(environment), RealShell(), click.echo, apply=yes, despite=frozenset(despite))
    deployment.back() if back else deployment.forward()
    click.echo("done" if yes else f"nothing was changed; --yes does it. {deployment.way_back()}")


if __name__ == "__main__":
    main(prog_name="./scripts/deploy")
