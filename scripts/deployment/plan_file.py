"""A kept plan: of which source it is, and whether it would lose something that cannot be made again."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from msgspec import Struct

IRREPLACEABLE = (
    "google_firestore_database",
    "google_storage_bucket",
    "google_secret_manager_secret",
    "google_artifact_registry_repository",
)


def path_of(environment: str) -> Path:
    return Path(f"build/{environment}.tfplan")


class Note(Struct, frozen=True):
    """What a plan was made of."""

    bundle: str
    """SHA-256 of the bundle."""
    variables: tuple[str, ...]
    """Options of `terraform plan`."""


def remember(plan: Path, note: Note) -> None:
    _note(plan).write_bytes(msgspec.json.encode(note))


def read(plan: Path) -> Note | None:
    """None where there is no plan."""
    if not (plan.is_file() and _note(plan).is_file()):
        return None
    return msgspec.json.decode(_note(plan).read_bytes(), type=Note)


def forget(plan: Path) -> None:
    """A plan is applied once."""
    for path in (plan, _note(plan)):
        path.unlink(missing_ok=True)


def losses(shown: str) -> list[str]:
    """Addresses of irreplaceable resources that the plan deletes or replaces (`terraform show -json`)."""
    changes = json.loads(shown).get("resource_changes", [])
    return [
        change["address"]
        for change in changes
        if change["type"] in IRREPLACEABLE and "delete" in change["change"]["actions"]
    ]


def output(shown: str, name: str) -> str | None:
    """What an output will be; None where the plan does not know it."""
    value = json.loads(shown).get("planned_values", {}).get("outputs", {}).get(name, {}).get("value")
    return None if value is None else str(value)


def _note(plan: Path) -> Path:
    return plan.with_suffix(".json")
