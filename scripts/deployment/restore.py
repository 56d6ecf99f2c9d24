"""A lost or damaged database: a new one from a moment of the last week or a backup, and the worker moved to it.

Nothing is restored in place: the damaged database stays for the inquest, and the way back is its name. What happens
to requests is decided by the documents as they were then (docs/deployment/recovery.md): images are never overwritten,
interactions that exist are collected, and an attempt whose end was after that moment counts as crashed.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from msgspec import Struct

from scripts.deployment.place import DeploymentTarget, Stopped
from scripts.deployment.shell import RealShell, Shell

RECOVERABLE = timedelta(days=7)
"""Point-in-time recovery: https://cloud.google.com/firestore/docs/pitr"""
PAUSED = ("render-requests-intake", "pump-kicks-pump", "render-releases-render")
NAME = re.compile(r"[a-z][a-z0-9-]{2,61}[a-z0-9]")


class Restore(Struct, frozen=True):
    place: DeploymentTarget
    shell: Shell
    say: Callable[[str], None]
    goal: str
    """The new database."""
    act: bool
    now: datetime

    def from_moment(self, moment: datetime) -> None:
        """Clone the database as it was at that minute. Raises Stopped."""
        self._check_goal()
        if not self.now - RECOVERABLE < moment < self.now:
            first = (self.now - RECOVERABLE).strftime("%Y-%m-%dT%H:%M:00Z")
            raise Stopped(
                f"--at: found {moment.isoformat()}; allowed: a time from {first} until now; else use --backup"
            )
        at = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:00Z")
        source = f"projects/{self.place.project}/databases/{self.place.database}"
        self._do("gcloud", "firestore", "databases", "clone", f"--source-database={source}", f"--snapshot-time={at}",
                 f"--destination-database={self.goal}", f"--project={self.place.project}")  # fmt: skip
        self._move()

    def from_backup(self, name: str) -> None:
        """Restore a daily backup, `latest` or its full name. Raises Stopped."""
        self._check_goal()
        backup = self._latest() if name == "latest" else name
        self._do("gcloud", "firestore", "databases", "restore", f"--source-backup={backup}",
                 f"--destination-database={self.goal}", f"--project={self.place.project}")  # fmt: skip
        self._move()

    def _check_goal(self) -> None:
        if NAME.fullmatch(self.goal) is None or self.goal == self.place.database:
            raise Stopped(
                f"--to: found {self.goal!r}; allowed: another name than {self.place.database}, "
                "4-63 lower-case letters, digits and hyphens"
            )

    def _latest(self) -> str:
        text = self.shell.look("gcloud", "firestore", "backups", "list", f"--project={self.place.project}",
                               "--format=json")  # fmt: skip
        ready: list[dict[str, Any]] = [
            backup
            for backup in json.loads(text or "[]")
            if backup.get("state") == "READY" and backup["database"].endswith(f"/{self.place.database}")
        ]
        if not ready:
            raise Stopped(f"{self.place.database} has no backup that is ready; see `gcloud firestore backups list`")
        return str(max(ready, key=lambda backup: backup["snapshotTime"])["name"])

    def _move(self) -> None:
        """What a person does next, since it changes a file of the repository."""
        environment = self.place.environment
        self.say(f"Then, in this order, to move the worker to {self.goal}:")
        for step in (
            "terraform -chdir=terraform state rm google_firestore_database.this google_firestore_backup_schedule.daily",
            f"terraform -chdir=terraform import google_firestore_database.this {self.goal}",
            f'set database = "{self.goal}" in terraform/envs/{environment}.tfvars, and commit it',
            f"./scripts/deploy {environment} --plan && ./scripts/deploy {environment} --yes",
            "renderlane doctor, then compare the bill since that moment: renderlane cost --reconcile EXPORT.csv",
        ):
            self.say(f"  {step}")

    def pause(self) -> None:
        """Stop deliveries; messages are kept for a week, releases for a day."""
        for subscription in PAUSED:
            self._do("gcloud", "pubsub", "subscriptions", "update", subscription, "--push-endpoint=",
                     f"--project={self.place.project}")  # fmt: skip
        self.say(f"Deliveries are stopped. The next ./scripts/deploy {self.place.environment} starts them again.")

    def _do(self, *words: str) -> None:
        self.say(f"{'runs ' if self.act else 'would run'} {shlex.join(words)}")
        if self.act and self.shell.do(*words) is not None:
            raise Stopped(f"{shlex.join(words[:4])} failed; nothing of the running system was changed")


@click.command(help="Make a new database from a moment or a backup, and say how to move to it.")
@click.argument("environment")
@click.option("--to", "goal", metavar="DATABASE", help="Name of the new database.")
@click.option("--at", metavar="TIME", help="A minute of the last seven days, such as 2026-11-29T12:00:00Z.")
@click.option("--backup", metavar="NAME", help="`latest`, or a backup's full name.")
@click.option("--pause", is_flag=True, help="Only stop deliveries, so that nothing else is written meanwhile.")
@click.option("--yes", is_flag=True, help="Do it; without this, say what would be done.")
def main(environment: str, goal: str | None, at: str | None, backup: str | None, pause: bool, yes: bool) -> None:
    restore = Restore(DeploymentTarget.read(environment), RealShell(), click.echo, goal or "", yes, datetime.now(UTC))
    if sum((pause, at is not None, backup is not None)) != 1:
        raise click.UsageError("name one of --at TIME, --backup NAME and --pause")
    if pause:
        restore.pause()
    elif backup is not None:
        restore.from_backup(backup)
    else:
        try:
            moment = datetime.fromisoformat(at or "")
        except ValueError as error:
            raise click.UsageError(f"--at: found {at!r}; allowed: a time such as 2026-11-29T12:00:00Z") from error
        restore.from_moment(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


if __name__ == "__main__":
    main(prog_name="./scripts/restore")
