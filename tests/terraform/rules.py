"""Security rules over a plan: each returns what breaks it, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from tests.terraform.terraform import Planned

Grant: TypeAlias = tuple[str, str, str]
"""Who (the part of an account's address before its project), which role, on what."""

IAM = {
    "google_artifact_registry_repository_iam_member": "repository",
    "google_cloud_run_service_iam_member": "service",
    "google_iap_web_cloud_run_service_iam_member": "cloud_run_service_name",
    "google_project_iam_member": "project",
    "google_pubsub_subscription_iam_member": "subscription",
    "google_pubsub_topic_iam_member": "topic",
    "google_secret_manager_secret_iam_member": "secret_id",
    "google_service_account_iam_member": "service_account_id",
    "google_storage_bucket_iam_member": "bucket",
}
PUBLIC = ("allUsers", "allAuthenticatedUsers")
SIGNED = "renderlane-arrive"
"""The one service that anybody can call: it takes only what the provider has signed."""
SWEEPING = ("roles/owner", "roles/editor", "roles/viewer", "roles/datastore.owner", "roles/pubsub.admin")


def grants(plan: Planned) -> set[Grant]:
    return {(_who(values["member"]), values["role"], _on(values, place)) for values, place in _iam(plan)}


def exposures(plan: Planned) -> list[str]:
    """Grants to everybody, and roles that allow more than one thing."""
    exposed = [
        f"{_on(values, place)} is open to {values['member']}"
        for values, place in _iam(plan)
        if values["member"] in PUBLIC
    ]
    exposed += [f"{values['member']} has {values['role']}" for values, _ in _iam(plan) if values["role"] in SWEEPING]
    for name, bucket in plan.of("google_storage_bucket").items():
        if bucket["public_access_prevention"] != "enforced" or not bucket["uniform_bucket_level_access"]:
            exposed.append(f"the bucket {name} could be made public")
    return exposed


def strangers(plan: Planned) -> list[str]:
    """Services that anybody can call."""
    services = plan.of("google_cloud_run_v2_service").values()
    return [values["name"] for values in services if values["invoker_iam_disabled"]]


def open_doors(plan: Planned) -> list[str]:
    """Functions that can be reached from outside, and services that nobody stands in front of; `arrive` may be both."""
    granted = grants(plan)
    services = plan.of("google_cloud_run_v2_service")
    doors = [
        f"{name} can be reached from outside"
        for name, values in services.items()
        if name.startswith("function[") and values["ingress"] != "INGRESS_TRAFFIC_INTERNAL_ONLY"
    ]
    for address, values in services.items():
        name = values["name"]
        if name == SIGNED and address.startswith("arrive["):
            continue
        if address.startswith("function["):
            doors += [f"{name} is called without a grant"] if values["invoker_iam_disabled"] else []
            continue
        if address.startswith("api["):  # Cloud Run itself stands in front of it, for named accounts
            if values["invoker_iam_disabled"] or values["iap_enabled"]:
                doors.append(f"{name} is called without the grant that it trusts")
            continue
        if not values["iap_enabled"] or values["invoker_iam_disabled"]:
            doors.append(f"{name} has no Identity-Aware Proxy in front of it")
        callers = {who for who, role, on in granted if role == "roles/run.invoker" and on == name}
        doors += [f"{who} may call {name} past IAP" for who in sorted(callers) if "gcp-sa-iap" not in who]
        doors += [] if callers else [f"IAP may not call {name}"]
    return doors


def givings_up(plan: Planned) -> list[str]:
    """Subscriptions that give up without Pub/Sub's own agent being allowed to."""
    granted = grants(plan)
    texts = []
    for values in plan.of("google_pubsub_subscription").values():
        for policy in values["dead_letter_policy"]:
            topic = policy["dead_letter_topic"].rpartition("/")[2]
            agent = next((who for who, _, _ in granted if "gcp-sa-pubsub" in who), "nobody")
            if (agent, "roles/pubsub.publisher", topic) not in granted:
                texts.append(f"{agent} may not publish to {topic}")
            if (agent, "roles/pubsub.subscriber", values["name"]) not in granted:
                texts.append(f"{agent} may not take messages off {values['name']}")
    return texts


def _iam(plan: Planned) -> Iterator[tuple[dict[str, Any], str]]:
    for kind, place in IAM.items():
        for values in plan.of(kind).values():
            yield values, place


def _who(member: str) -> str:
    return member.removeprefix("serviceAccount:").replace("@render-test.iam.gserviceaccount.com", "")


def _on(values: dict[str, Any], place: str) -> str:
    return str(values[place]).rpartition("/")[2].replace("@render-test.iam.gserviceaccount.com", "")
