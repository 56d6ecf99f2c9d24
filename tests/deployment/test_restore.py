"""Restoring the database: the commands, and a rehearsal on Firestore's emulator as far as it goes."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts.deployment.place import DeploymentTarget, Stopped
from scripts.deployment.restore import Restore
from shared.adapters.google_cloud.firestore_store import FirestoreStore
from shared.core.lifecycle import request_record
from shared.core.values.documents import Document
from tests.deployment.test_deploy import ScriptedShell

NOW = datetime(2026, 11, 29, 12, 0, 30, tzinfo=UTC)
BACKUPS = [
    {"name": "projects/p/locations/eur3/backups/old", "state": "READY", "snapshotTime": "2026-11-27T01:00:00Z"},
    {"name": "projects/p/locations/eur3/backups/new", "state": "READY", "snapshotTime": "2026-11-28T01:00:00Z"},
    {"name": "projects/p/locations/eur3/backups/half", "state": "CREATING", "snapshotTime": "2026-11-29T01:00:00Z"},
]


def a_restore(shell: ScriptedShell, goal: str = "renderlane-2", *, act: bool = True) -> tuple[Restore, list[str]]:
    lines: list[str] = []
    return Restore(DeploymentTarget.read("staging"), shell, lines.append, goal, act, NOW), lines


def listed(database: str = "renderlane") -> str:
    return json.dumps([{**backup, "database": f"projects/p/databases/{database}"} for backup in BACKUPS])


def test_a_moment_of_the_last_week_is_cloned_into_a_new_database_and_the_next_steps_are_said() -> None:
    shell = ScriptedShell()
    restore, lines = a_restore(shell)
    restore.from_moment(NOW - timedelta(hours=3))
    (clone,) = shell.done
    assert clone.startswith("gcloud firestore databases clone --source-database=projects/renderlane-staging/databases/")
    assert "--snapshot-time=2026-11-29T09:00:00Z" in clone, "whole minutes alone can be cloned"
    assert "--destination-database=renderlane-2" in clone
    steps = "\n".join(lines)
    assert steps.index("state rm") < steps.index("import") < steps.index("tfvars") < steps.index("--plan")


def test_the_newest_backup_that_is_ready_is_restored() -> None:
    shell = ScriptedShell({"gcloud firestore backups list": listed()})
    restore, _ = a_restore(shell)
    restore.from_backup("latest")
    assert "--source-backup=projects/p/locations/eur3/backups/new" in shell.done[0]


@pytest.mark.parametrize("answer", ["[]", listed("another")])
def test_without_a_backup_of_this_database_nothing_is_done(answer: str) -> None:
    shell = ScriptedShell({"gcloud firestore backups list": answer})
    restore, _ = a_restore(shell)
    with pytest.raises(Stopped, match="no backup that is ready"):
        restore.from_backup("latest")
    assert shell.done == []


@pytest.mark.parametrize("moment", [NOW - timedelta(days=7, minutes=1), NOW + timedelta(minutes=1)])
def test_a_moment_that_cannot_be_recovered_is_refused_with_the_first_that_can(moment: datetime) -> None:
    restore, _ = a_restore(ScriptedShell())
    with pytest.raises(Stopped, match="2026-11-22T12:00:00Z until now"):
        restore.from_moment(moment)


@pytest.mark.parametrize("goal", ["", "renderlane", "X", "ab"])
def test_a_database_is_never_restored_in_place(goal: str) -> None:
    restore, _ = a_restore(ScriptedShell(), goal)
    with pytest.raises(Stopped, match="another name than renderlane"):
        restore.from_backup("latest")


def test_without_yes_nothing_is_done() -> None:
    shell = ScriptedShell()
    restore, lines = a_restore(shell, act=False)
    restore.from_moment(NOW - timedelta(minutes=5))
    restore.pause()
    assert shell.done == []
    assert any("databases clone" in line for line in lines)


def test_pausing_takes_the_address_off_each_subscription_that_starts_work() -> None:
    shell = ScriptedShell()
    restore, _ = a_restore(shell)
    restore.pause()
    assert [command.split()[4] for command in shell.done] == [
        "render-requests-intake",
        "pump-kicks-pump",
        "render-releases-render",
    ]


@pytest.mark.slow
@pytest.mark.emulator
async def test_a_lost_database_comes_back_as_it_was_within_a_minute(
    firestore_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emulator's own export and import stand in for a clone: everything is lost, and comes back as it was then."""
    project = f"restore-{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_host)
    store = FirestoreStore(project)
    emulator = f"http://{firestore_host}"
    await _fill(store)
    began = time.monotonic()
    exported = _ask("POST", f"{emulator}/emulator/v1/projects/{project}:export", _export(project, tmp_path))
    _ask("DELETE", f"{emulator}/emulator/v1/projects/{project}/databases/(default)/documents")
    assert not isinstance(await store.get("requests/r-0"), Document), "all is lost"
    folder = next(tmp_path.rglob("*.overall_export_metadata"))
    _ask("POST", f"{emulator}/emulator/v1/projects/{project}:import", {
        "database": f"projects/{project}/databases/(default)", "export_directory": str(folder),
    })  # fmt: skip
    took = time.monotonic() - began
    documents = [await store.get(f"requests/r-{number}") for number in range(20)]
    await store.close()
    assert exported is not None
    assert all(isinstance(document, Document) for document in documents)
    assert [document.data["status"] for document in documents if isinstance(document, Document)] == ["queued"] * 20
    assert took < 60, f"{took:.0f} s"


async def _fill(store: FirestoreStore) -> None:
    from shared.core.values.documents import Create
    from tests.builders import a_record, a_request

    for number in range(20):
        request = a_request(request_id=f"r-{number}")
        await store.commit(Create(request_record.path(f"r-{number}"), a_record(request, now=datetime.now(UTC))))


def _export(project: str, folder: Path) -> dict[str, Any]:
    database = f"projects/{project}/databases/(default)"
    return {"database": database, "export_directory": str(folder), "export_name": "backup"}


def _ask(method: str, url: str, body: dict[str, Any] | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return bytes(answer.read())
