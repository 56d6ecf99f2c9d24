"""Which revision of a Cloud Run service serves, and which one served before it, as gcloud says it in JSON."""

from __future__ import annotations

from typing import Any

RELEASE = "release"
"""The label that names a revision's release (terraform/services.tf)."""


def serving(service: Any) -> str | None:
    """The revision with the largest part of the traffic."""
    traffic = [part for part in (service or {}).get("status", {}).get("traffic", []) if part.get("revisionName")]
    largest = max(traffic, key=lambda part: part.get("percent", 0), default=None)
    return largest["revisionName"] if largest else None


def as_service(pool: Any) -> Any:
    """A worker pool in the form of a service: its instance splits stand where a service has its traffic."""
    status = (pool or {}).get("status", {})
    return {"status": {"traffic": status.get("instanceSplits", [])}}


def before(service: Any, revisions: list[Any]) -> str | None:
    """The newest ready revision of another release that is older than the one that serves.

    Older, not merely other: going back twice reaches the release before that one.
    """
    current = serving(service)
    by_name = {revision["metadata"]["name"]: revision for revision in revisions}
    if current not in by_name:
        return None
    made_at, release = by_name[current]["metadata"]["creationTimestamp"], _release(by_name[current])
    older = [
        revision
        for revision in revisions
        if revision["metadata"]["creationTimestamp"] < made_at and _release(revision) != release and _is_ready(revision)
    ]
    newest = max(older, key=lambda revision: revision["metadata"]["creationTimestamp"], default=None)
    return str(newest["metadata"]["name"]) if newest else None


def _release(revision: Any) -> str:
    return str(revision["metadata"].get("labels", {}).get(RELEASE, ""))


def _is_ready(revision: Any) -> bool:
    conditions = revision.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
