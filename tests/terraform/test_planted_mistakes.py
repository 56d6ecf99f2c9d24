"""A test of the tests: mistakes that are planted in a copy are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.terraform import indexing, rules
from tests.terraform.terraform import Terraform


@pytest.fixture
def copy(tmp_path: Path, attachment: dict[str, str]) -> Terraform:
    return Terraform(tmp_path / "copy", attachment)


def plant(copy: Terraform, file: str, right: str, wrong: str) -> None:
    path = copy.folder / file
    text = path.read_text("utf-8")
    assert right in text, f"{right!r} no longer stands in {file}: plant the mistake elsewhere"
    path.write_text(text.replace(right, wrong, 1))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "message"),
    [
        ("subscriptions.tf", "ack_deadline_seconds  ", "ack_deadline_second  ", "Unsupported argument"),
        ("subscriptions.tf", "push_endpoint =", "push_url =", "Unsupported argument"),
        ("topics.tf", "google_pubsub_schema", "google_pubsub_shape", "Invalid resource type"),
        (
            "services.tf",
            "max_instance_request_concurrency = each",
            "max_instance_request_concurrency = [9] #",
            "Incorrect attribute value",
        ),
        ("database.tf", '"FIRESTORE_NATIVE"', '"FIRESTORE_NATIV"', "FIRESTORE_NATIVE, DATASTORE_MODE"),
        ("database.tf", "location_id  ", "#", "Missing required argument"),
    ],
)
def test_a_wrong_name_type_or_value_does_not_validate(
    copy: Terraform, file: str, right: str, wrong: str, message: str
) -> None:
    plant(copy, file, right, wrong)
    ended = copy.run("validate")
    assert ended.code != 0
    assert message in ended.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "file", "right", "wrong", "message"),
    [
        (
            "deliveries",
            "subscriptions.tf",
            "var.ack_deadline_seconds[each.key]",
            "20",
            "ack deadline is under its function's time-out",
        ),
        (
            "deliveries",
            "subscriptions.tf",
            "for_each = local.giving_up",
            "for_each = {}",
            "may not take messages off a subscription",
        ),
        ("exposure", "images.tf", '"enforced"', '"inherited"', "A bucket could be made public"),
        (
            "exposure",
            "services.tf",
            '"INGRESS_TRAFFIC_INTERNAL_ONLY"',
            '"INGRESS_TRAFFIC_ALL"',
            "can be reached from outside",
        ),
        ("functions", "services.tf", 'images = "none", key = false', 'images = "none", key = true', "Gemini key"),
        (
            "exposure",
            "console.tf",
            "iap_enabled          = true",
            "iap_enabled          = false",
            "no Identity-Aware Proxy",
        ),
        ("exposure", "console.tf", '"group:${var.console_group}"', '"allUsers"', "open to somebody else"),
        ("webhooks", "arrive.tf", "var.webhooks.max_instances", "100", "Strangers can have as many instances"),
        (
            "webhooks",
            "arrive.tf",
            'images = "none", key = false',
            'images = "reader", key = true',
            "more than it needs",
        ),
        ("webhooks", "arrive.tf", "if local.has_webhooks", "if true", "Without being wanted"),
        ("documents", "indexes.tf", "each.value.order == null ? []", "false ? []", "Prompts are indexed"),
    ],
)
def test_a_wrong_value_fails_terraforms_own_tests(
    copy: Terraform, suite: str, file: str, right: str, wrong: str, message: str
) -> None:
    plant(copy, file, right, wrong)
    ended = copy.run("test", f"-filter=tests/{suite}.tftest.hcl")
    assert ended.code != 0
    assert message in ended.output


def test_a_function_open_to_all_is_seen(copy: Terraform) -> None:
    plant(copy, "accounts.tf", 'google_service_account.caller["schedule"].member', '"allUsers"')
    assert rules.exposures(copy.planned()) == ["renderlane-watch is open to allUsers"]


def test_a_missing_grant_is_seen(copy: Terraform) -> None:
    plant(copy, "subscriptions.tf", "member = local.pubsub_agent", 'member = "serviceAccount:other@example.com"')
    assert rules.givings_up(copy.planned()) != []


CONSOLE = {"console_group": "oncall@example.com"}


def test_a_console_open_to_all_is_seen(copy: Terraform) -> None:
    plant(copy, "console.tf", '"group:${var.console_group}"', '"allUsers"')
    assert rules.exposures(copy.planned(**CONSOLE)) == ["renderlane-console is open to allUsers"]


def test_a_console_that_others_than_its_proxy_may_call_is_seen(copy: Terraform) -> None:
    plant(copy, "console.tf", "member   = local.iap_agent", 'member   = "group:${var.console_group}"')
    assert rules.open_doors(copy.planned(**CONSOLE)) == [
        "group:oncall@example.com may call renderlane-console past IAP"
    ]


def test_a_console_without_its_proxy_is_seen(copy: Terraform) -> None:
    plant(copy, "console.tf", "iap_enabled          = true", "iap_enabled          = false")
    assert rules.open_doors(copy.planned(**CONSOLE)) == [
        "renderlane-console has no Identity-Aware Proxy in front of it"
    ]


def test_another_service_that_anybody_can_call_is_seen(copy: Terraform) -> None:
    plant(copy, "services.tf", "invoker_iam_disabled = false", "invoker_iam_disabled = true")
    plan = copy.planned(webhooks={"public": True})
    assert "renderlane-watch is called without a grant" in rules.open_doors(plan)
    assert rules.strangers(plan) != ["renderlane-arrive"]


def test_a_function_that_can_be_reached_from_outside_is_seen(copy: Terraform) -> None:
    plant(copy, "services.tf", '"INGRESS_TRAFFIC_INTERNAL_ONLY"', '"INGRESS_TRAFFIC_ALL"')
    assert 'function["intake"] can be reached from outside' in rules.open_doors(copy.planned())


def test_an_index_of_a_field_that_no_query_uses_is_seen(copy: Terraform) -> None:
    plant(copy, "indexes.tf", 'field = "*", order = null', 'field = "*", order = "ASCENDING"')
    assert "requests.request: found ['ASCENDING'], wanted []" in indexing.wrongly_indexed(copy.planned())


def test_a_query_without_its_index_is_seen(copy: Terraform) -> None:
    plant(copy, "firestore.json", '"number": "ASCENDING"', '"numbers": "ASCENDING"')
    assert "attempts.number: found [], wanted ['ASCENDING']" in indexing.wrongly_indexed(copy.planned())
