"""A test of the tests: mistakes that are planted in a copy are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.terraform import rules
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
    ("file", "right", "wrong", "said"),
    [
        ("subscriptions.tf", "ack_deadline_seconds  ", "ack_deadline_second  ", "Unsupported argument"),
        ("subscriptions.tf", "push_endpoint =", "push_url =", "Unsupported argument"),
        ("topics.tf", "google_pubsub_schema", "google_pubsub_shape", "Invalid resource type"),
        (
            "functions.tf",
            "timeout_seconds                  = var",
            "timeout_seconds = [9] #",
            "Incorrect attribute value",
        ),
        ("database.tf", '"FIRESTORE_NATIVE"', '"FIRESTORE_NATIV"', "FIRESTORE_NATIVE, DATASTORE_MODE"),
        ("database.tf", "location_id  ", "#", "Missing required argument"),
    ],
)
def test_a_wrong_name_type_or_value_does_not_validate(
    copy: Terraform, file: str, right: str, wrong: str, said: str
) -> None:
    plant(copy, file, right, wrong)
    ended = copy.run("validate")
    assert ended.code != 0
    assert said in ended.said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "file", "right", "wrong", "said"),
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
        ("exposure", "functions.tf", '"ALLOW_INTERNAL_ONLY"', '"ALLOW_ALL"', "can be reached from outside"),
        ("functions", "functions.tf", 'images = "none", key = false', 'images = "none", key = true', "Gemini key"),
        ("documents", "indexes.tf", "each.value.order == null ? []", "false ? []", "Prompts are indexed"),
    ],
)
def test_a_wrong_value_fails_terraforms_own_tests(
    copy: Terraform, suite: str, file: str, right: str, wrong: str, said: str
) -> None:
    plant(copy, file, right, wrong)
    ended = copy.run("test", f"-filter=tests/{suite}.tftest.hcl")
    assert ended.code != 0
    assert said in ended.said


def test_a_function_open_to_all_is_seen(copy: Terraform) -> None:
    plant(copy, "accounts.tf", 'google_service_account.caller["schedule"].member', '"allUsers"')
    assert rules.exposures(copy.planned()) == ["renderlane-watch is open to allUsers"]


def test_a_missing_grant_is_seen(copy: Terraform) -> None:
    plant(copy, "subscriptions.tf", "member = local.pubsub_agent", 'member = "serviceAccount:other@example.com"')
    assert rules.givings_up(copy.planned()) != []
