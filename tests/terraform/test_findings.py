"""A planted mistake for each finding of the platform review: the assertion with its number fails.

Findings that no plan can show are at the end, or in the tests of the deployment: docs/deployment/first-apply.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.terraform.terraform import Terraform
from tests.terraform.test_planted_mistakes import plant

SUITE = "findings"
ALL_EMAILS = "slice(local.email_channels, 0, min(5, length(local.email_channels)))"
MISTAKES = {
    "1.1": ("build.tf", 'role   = "roles/storage.objectViewer"', 'role   = "roles/storage.objectCreator"'),
    "1.3": ("console.tf", "image = var.image", 'image = "europe-west1-docker.pkg.dev/p/r/console:latest"'),
    "1.4": ("project.tf", "for_each = local.apis", 'for_each = toset(["cloudtrace.googleapis.com"])'),
    "1.5": ("apis.json", '"cloudtrace.googleapis.com",', ""),
    "1.6": ("budget.tf", "units = ", 'currency_code = "USD"\n      units = '),
    "1.6 channels": ("budget.tf", ALL_EMAILS, "local.channels"),
    "1.7": ("secret.tf", "length(var.secret_locations) == 0 ? [1] : []", "[1]"),
    "1.8": ("secret.tf", 'timeadd(plantimestamp(), "${var.key_rotation.days * 24}h")', '"2026-01-01T09:00:00Z"'),
    "1.9": ("services.tf", "concurrency = 80, max_instances = 3", "concurrency = 80, max_instances = 40"),
    "1.10": ("database.tf", "= var.database_deletion_policy\n", '= "ABANDON"\n'),
    "2.1": ("subscriptions.tf", 'patient = ["10s", "600s"]', 'patient = ["1s", "60s"]'),
    "2.2": ("subscriptions.tf", 'function = "render", max_deliveries = 20', 'function = "render", max_deliveries = 5'),
    "2.2 alert": ("alerts.tf", "    messages-given-up = {", "    something-else = {"),
    "2.3": ("metrics.tf", 'event = "delivery_deferred"', 'event = "request_requeued"'),
    "2.3 trace": ("services.tf", '= "false"', '= "true"'),
    "2.4": ("services.tf", "cloud.region=${var.region},", ""),
    "2.5": ("services.tf", 'each.key == "pump" ? 0 : var.canary_percent', "var.canary_percent"),
    "2.6": ("services.tf", "for_each = contains(keys(var.stable_revisions), each.key) ? [1] : []", "for_each = []"),
    "2.8": ("alerts.tf", 'auto_close = "1800s"', 'auto_close = "604800s"'),
    "2.8 key": ("secret.tf", 'attributes.eventType = \\"SECRET_ROTATE\\"', 'attributes.eventType != \\"\\"'),
    "2.8 held": ("alerts.tf", "render-(requests-intake|", "render-(requests-intake|releases-render|"),
    "2.8 429": ("alerts.tf", 'metric.labels.response_code=\\"429\\"', 'metric.labels.response_code=\\"500\\"'),
    "2.9": ("dashboard.tf", 'aligner = "ALIGN_DELTA"', 'aligner = "ALIGN_RATE"'),
    "2.11": ("grants.tf", "setunion(var.image_readers, var.operators)", "var.operators"),
    "2.14": ("services.tf", "image = var.image", 'image = "europe-west1-docker.pkg.dev/p/r/worker:latest"'),
    "2.15": ("topics.tf", "length(var.message_regions) == 0 ? [] : [1]", "[]"),
}  # fmt: skip


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory, attachment: dict[str, str]) -> Terraform:
    """One copy for all: each mistake is taken back."""
    return Terraform(tmp_path_factory.mktemp("findings"), attachment)


@pytest.mark.slow
@pytest.mark.parametrize("finding", MISTAKES)
def test_a_planted_mistake_fails_the_assertion_with_its_number(finding: str, copies: Terraform) -> None:
    file, right, wrong = MISTAKES[finding]
    path = copies.folder / file
    before = path.read_bytes()
    plant(copies, file, right, wrong)
    try:
        ended = copies.run("test", f"-filter=tests/{SUITE}.tftest.hcl")
    finally:
        path.write_bytes(before)
    assert ended.code != 0, "nothing saw it"
    number = finding.partition(" ")[0]
    assert re.search(rf"(?<![\d.]){re.escape(number)}: |platform_quota", ended.output), ended.output[-1500:]


def test_each_assertion_of_the_suite_has_its_planted_mistake() -> None:
    text = Path(f"terraform/tests/{SUITE}.tftest.hcl").read_text("utf-8")
    numbers = set(re.findall(r'error_message = "(\d\.\d+):', text))
    assert numbers == {finding.partition(" ")[0] for finding in MISTAKES}


def test_no_service_runs_before_its_topics_schemas_and_indexes() -> None:
    """2.7: a plan does not show dependencies; Terraform makes both at once without them."""
    for file in ("services.tf", "pools.tf"):
        text = Path(f"terraform/{file}").read_text("utf-8")
        waits = re.findall(r"^  depends_on = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)[-1]
        for other in ("google_pubsub_topic.topic", "google_firestore_index.composite", "google_firestore_field.field"):
            assert other in waits, f"{file}: {other}"


def test_production_is_warm_where_a_person_waits_and_its_alerts_lead_somewhere() -> None:
    """2.10."""
    text = Path("terraform/envs/production.tfvars").read_text("utf-8")
    assert re.search(r"min_instances\s*= \{ intake = 1, pump = 1, render = 1 \}", text)
    assert re.search(r'runbook_url\s*= "https://', text)
    assert re.search(r"image_readers\s*= \[\"", text)
    assert re.search(r"operators\s*= \[\"", text)


def test_whoever_may_call_a_service_is_granted_anew_with_it() -> None:
    """2.15: a service that is created again has lost its callers."""
    text = Path("terraform/accounts.tf").read_text("utf-8")
    members = re.findall(r'resource "google_cloud_run_service_iam_member" "(\w+)" \{(.*?)\n\}', text, re.DOTALL)
    assert {name for name, _ in members} == {"push", "schedule"}
    assert all("replace_triggered_by" in body for _, body in members)


def test_the_providers_lock_is_committed_and_not_ignored() -> None:
    """2.12: the first `./scripts/deploy ENV --plan` writes it; the next one asks for its commit."""
    assert ".terraform.lock.hcl" not in Path(".gitignore").read_text("utf-8")
