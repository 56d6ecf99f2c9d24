"""Terraform and the code say the same: topology, indexes, environment, alerts, metrics, schemas."""

from __future__ import annotations

import ast
import importlib
import json
import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from shared.config import FirestoreSettings, LiveQuotaOn, PubsubSettings, Settings
from shared.core.conclusions.claims import POLICIES
from shared.core.lifecycle import queries
from shared.core.messages.topics import RENDER_DEAD_LETTERS, RENDER_REQUESTS, SUBSCRIPTIONS, TOPICS
from shared.core.observability import events
from shared.core.provider.failure import FailureKind
from shared.core.values.documents import Query
from tests.terraform import firestore_layout, indexing, rules
from tests.terraform.rehearsal import published_by
from tests.terraform.terraform import Planned, Terraform
from tests.terraform.written import collections_of_the_code, written_fields

ONE_MACHINE_ONLY = {"RENDERLANE_HOME", "RENDERLANE_CONFIRM", "PUBSUB_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST"}
SECRET = {"GEMINI_API_KEY", "RENDERLANE_GATEWAY_KEY_ACME"}
OF_OUR_OWN = {"renderlane-key-rotation"}
"""Topics and subscriptions that no code of ours knows."""
EVERYTHING_SET = {
    "probe_minutes": 15,
    "quota": "*=rpm:100",
    "catalogue": "other.toml",
    "flag_provider": "flags:provider",
    "gemini_base_url": "https://gemini.example.com",
    "reference_buckets": ["brand-assets"],
    "console_group": "oncall@example.com",
    "default_budget": "25.00",
    "api_callers": {"serviceAccount:shop@render-test.iam.gserviceaccount.com": ["shop"], "user:ada@example.com": ["*"]},
    "api_origins": ["https://app.example.com"],
    "interactive_per_minute": 60,
    "billing_account": "012345-6789AB-CDEF01",
    "gateway_keys": {"ACME": {"secret": "acme-key", "version": "1"}},
    "webhooks": {
        "public": True,
        "secret": {"name": "webhook-secret", "version": "1"},
        "audiences": ["project-7"],
        "issuers": ["https://accounts.google.com"],
    },
    "vertex": {"base_url": "https://vertex.example.com"},
    "billing_tier": "2",
    "monthly_cap_usd": 1500,
}


@pytest.fixture(scope="module")
def full(terraform: Terraform, plan: Planned) -> Planned:
    """A plan with everything on."""
    return terraform.planned(**EVERYTHING_SET)


def test_the_topics_are_the_topologys(plan: Planned) -> None:
    assert {values["name"] for values in plan.of("google_pubsub_topic").values()} - OF_OUR_OWN == set(TOPICS)


def test_the_subscriptions_are_the_topologys(plan: Planned) -> None:
    made = {values["name"]: values for values in plan.of("google_pubsub_subscription").values()}
    assert set(made) - OF_OUR_OWN == {subscription.name for subscription in SUBSCRIPTIONS}
    for subscription in SUBSCRIPTIONS:
        values = made[subscription.name]
        assert values["topic"].endswith(f"/{subscription.topic}")
        assert values["push_config"][0]["push_endpoint"] == plan.outputs["functions"][subscription.function]
        assert timedelta(seconds=values["ack_deadline_seconds"]) == subscription.ack_deadline
        given_up = [
            (policy["max_delivery_attempts"], policy["dead_letter_topic"]) for policy in values["dead_letter_policy"]
        ]
        wanted = (
            [(subscription.max_deliveries, f"google_pubsub_topic/{RENDER_DEAD_LETTERS}")]
            if subscription.max_deliveries
            else []
        )
        assert given_up == wanted
        retry = values["retry_policy"][0]
        assert retry["minimum_backoff"] == f"{subscription.minimum_backoff.total_seconds():.0f}s"
        assert retry["maximum_backoff"] == f"{subscription.maximum_backoff.total_seconds():.0f}s"


def test_every_function_of_the_image_is_deployed_and_no_other(plan: Planned, full: Planned) -> None:
    tree = ast.parse(Path("functions/main.py").read_text("utf-8"))
    targets = {item.name for item in tree.body if isinstance(item, ast.AsyncFunctionDef) and item.decorator_list}
    optional = {"console", "arrive", "api"}
    assert set(plan.outputs["entry_points"]) == targets - optional, "off until somebody turns them on"
    assert set(full.outputs["entry_points"]) == targets


def test_firestore_json_is_what_the_code_asks_for() -> None:
    written = firestore_layout.FILE.read_text("utf-8")
    assert written == firestore_layout.text(), "queries or fields have changed: run ./scripts/firestore-layout"


@pytest.mark.parametrize("query", firestore_layout.every_query(), ids=lambda query: str(firestore_layout.needed(query)))
def test_every_query_has_its_index(query: Query, plan: Planned) -> None:
    assert firestore_layout.needed(query) in _indexes(plan)


def test_every_query_of_the_code_is_among_the_compared() -> None:
    written = {
        name
        for name, var in vars(queries).items()
        if callable(var) and getattr(var, "__annotations__", {}).get("return") == "Query"
    }
    compared = Path("tests/every_query.py").read_text("utf-8") + Path("tests/terraform/firestore_layout.py").read_text(
        "utf-8"
    )
    assert {name for name in written if f"queries.{name}(" not in compared} == set()


def test_no_index_is_kept_that_no_query_needs(plan: Planned) -> None:
    assert _indexes(plan) == {firestore_layout.needed(query) for query in firestore_layout.every_query()}


def test_a_field_has_the_index_that_a_query_needs_and_no_other(plan: Planned) -> None:
    assert indexing.wrongly_indexed(plan) == []
    assert len(indexing.configured(plan)) <= firestore_layout.MOST_FIELDS


def test_the_rehearsal_writes_to_what_flows_keep() -> None:
    kept = {"requests", "attempts", "batches", "budgets", "budget_shards", "calendars", "cancels", "evidence", "flags"}
    kept |= {"flag_history", "gateways", "ledger", "pump", "quota", "rejected", "tenants", "provider_webhooks"}
    assert kept - set(written_fields()) == set()
    assert kept - collections_of_the_code() == {"flag_history"}, "its name is a constant of its own"


def test_what_queries_search_is_in_the_layout() -> None:
    searched = {collection for collection, _ in map(firestore_layout.needed, firestore_layout.every_query())}
    assert searched <= firestore_layout.collections()


def test_every_expiring_collection_has_a_ttl_policy(plan: Planned) -> None:
    fields = plan.of("google_firestore_field").values()
    expiring = {values["collection"]: values["field"] for values in fields if values["ttl_config"]}
    assert expiring == dict.fromkeys(queries.EXPIRING, "expire_at")


def test_every_variable_has_its_place(full: Planned) -> None:
    code = Path("shared/config.py").read_text("utf-8")
    table = Path("docs/configuration.md").read_text("utf-8")
    read = set(re.findall(r'"((?:RENDERLANE|GEMINI|GOOGLE)_[A-Z_]+)"', code))
    rows = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    named = read | set(re.findall(r"`([A-Z][A-Z_]+)`", rows))
    secrets = [*_secrets(full, "render"), *_of_arrive(full, secrets=True)]
    placed = _environment(full, "render") | dict.fromkeys(secrets, "") | _of_console(full) | _of_api(full)
    begun = {name for name in named if name.endswith("_") and any(word.startswith(name) for word in placed)}
    assert named - set(placed) - begun == ONE_MACHINE_ONLY & named
    assert set(_secrets(full, "render")) == SECRET


def test_the_worker_accepts_the_environment_it_is_given(full: Planned, tmp_path: Path) -> None:
    (tmp_path / "other.toml").touch()
    settings = Settings.read(_environment(full, "render") | {"GEMINI_API_KEY": "AQ.test"}, tmp_path)
    assert settings.store == FirestoreSettings("render-test", "renderlane")
    assert settings.topics == PubsubSettings("render-test")
    assert settings.images == "gs://render-test-renderlane-images"
    assert settings.spool == "gs://render-test-renderlane-spool"
    assert settings.references == ("gs://brand-assets/",)
    assert settings.live_quota == LiveQuotaOn("limits and usage", None)
    assert settings.capacity == 200


def test_arrive_is_told_its_own_address_and_given_one_secret(full: Planned, plan: Planned) -> None:
    url = "https://renderlane-arrive-123456789012.europe-west1.run.app"
    assert _of_arrive(full)["RENDERLANE_WEBHOOK_URL"] == url == full.outputs["webhooks"]
    assert _environment(full, "render")["RENDERLANE_WEBHOOK_URL"] == url
    assert list(_of_arrive(full, secrets=True)) == ["RENDERLANE_WEBHOOK_SECRET"]
    assert _of_arrive(full)["FUNCTION_TARGET"] == "arrive"
    assert "RENDERLANE_WEBHOOK_URL" not in _environment(plan, "render"), "without it everything is polled"


@pytest.mark.parametrize("function", ["intake", "pump", "bury", "deliver"])
def test_only_who_calls_the_provider_is_given_the_key(function: str, full: Planned) -> None:
    assert _secrets(full, function) == []


def test_every_escalation_has_its_alert(plan: Planned) -> None:
    assert _escalated() <= _alerted(plan), "add an entry to local.escalations in terraform/alerts.tf"


def test_no_alert_waits_for_an_escalation_that_never_comes(plan: Planned) -> None:
    filters = " ".join(
        matched["filter"]
        for values in _alerts(plan).values()
        for condition in values["conditions"]
        for matched in condition["condition_matched_log"]
    )
    assert set(re.findall(r'message="escalation" AND jsonPayload.runbook="([\w-]+)"', filters)) == _escalated()


NO_ALERT = {"succeeded", "cancelled", "disk-full"}
"""Good ends, and what happens on one machine alone."""


def test_every_heading_of_the_runbook_that_can_happen_in_the_cloud_has_its_alert(plan: Planned) -> None:
    headings = re.findall(r"^### (.+)$", Path("RUNBOOK.md").read_text("utf-8"), re.MULTILINE)
    assert _alerted(plan) == set(headings) - NO_ALERT
    assert len(_alerts(plan)) == len(_alerted(plan))


def test_an_alert_over_what_is_counted_names_a_metric_a_label_and_an_outcome_that_exist(plan: Planned) -> None:
    metrics = {
        values["name"]: {label["key"] for label in values["metric_descriptor"][0]["labels"]}
        for values in plan.of("google_logging_metric").values()
    }
    pairs = set()
    for values in _alerts(plan).values():
        for over in [item for condition in values["conditions"] for item in condition["condition_threshold"]]:
            for metric in re.findall(r'metric.type="logging.googleapis.com/user/([\w/]+)"', over["filter"]):
                labels = dict(re.findall(r'metric.labels.(\w+)="(\w+)"', over["filter"]))
                assert set(labels) <= metrics[metric]
                pairs.add((metric, labels.get("outcome")))
    assert {outcome for metric, outcome in pairs if metric == "renderlane/attempts"} == {
        kind.value for kind in FailureKind
    } - {"credential", "permission", "cancelled"}, "two escalate, and who cancels knows it"
    assert ("renderlane/rejected", None) in pairs


def test_every_alert_tells_where_to_read_on(plan: Planned) -> None:
    for values in _alerts(plan).values():
        heading = values["user_labels"]["runbook"]
        assert f"RUNBOOK.md#{heading}" in values["documentation"][0]["content"]
        assert values["notification_channels"]


def test_an_alert_opens_its_heading_on_the_console_where_there_is_one(terraform: Terraform) -> None:
    for variables, place in (
        (
            {"console_group": "oncall@example.com"},
            r"https://renderlane-console-\d+\.[a-z0-9-]+\.run\.app/console/runbook",
        ),
        ({"console_group": "oncall@example.com", "runbook_url": "https://wiki.example/rb"}, "https://wiki.example/rb"),
    ):
        alerts = _alerts(terraform.planned(**variables))
        assert len(alerts) > 20
        for values in alerts.values():
            content = values["documentation"][0]["content"]
            assert re.search(f"What to do: {place}#{values['user_labels']['runbook']}$", content), content


def test_events_that_are_counted_and_alerted_on_are_declared_with_their_fields(plan: Planned) -> None:
    for values in plan.of("google_logging_metric").values():
        signal = events.ALL[re.findall(r'jsonPayload\.message="(\w+)"', values["filter"])[0]]
        extracted = [*(values["label_extractors"] or {}).values(), values["value_extractor"] or ""]
        assert set(re.findall(r"jsonPayload\.(\w+)", " ".join(extracted))) <= set(signal.fields)
    for values in _alerts(plan).values():
        for condition in values["conditions"]:
            for matched in condition["condition_matched_log"]:
                signal = events.ALL[re.findall(r'jsonPayload\.message="(\w+)"', matched["filter"])[0]]
                fields = set(re.findall(r"jsonPayload\.(\w+)", f"{matched['filter']} {matched['label_extractors']}"))
                assert fields - {"message"} <= set(signal.fields)


def test_every_event_of_severity_error_is_alerted_on(plan: Planned) -> None:
    """`escalation` by its headings. What is worth an ERROR is worth a message to somebody."""
    filters = " ".join(
        matched["filter"]
        for values in _alerts(plan).values()
        for condition in values["conditions"]
        for matched in condition["condition_matched_log"]
    )
    alerted = set(re.findall(r'jsonPayload\.message="(\w+)"', filters))
    errors = {signal.name for signal in events.ALL.values() if signal.severity == "ERROR"}
    assert {"document_skipped", "pump_tick_failed", "escalation"} <= errors
    assert errors <= alerted, "add an entry to local.events in terraform/alerts.tf, and its heading to RUNBOOK.md"


def test_every_tile_of_the_dashboard_shows_a_metric_that_exists_by_a_label_of_it(plan: Planned) -> None:
    texts = [values["dashboard_json"] for values in plan.of("google_monitoring_dashboard").values()]
    assert Path("terraform/dashboards/signals.json").read_text("utf-8") in texts
    (dashboard,) = (text for text in texts if "prometheusQuery" not in text)
    metrics = {
        f"logging.googleapis.com/user/{values['name']}": {
            label["key"] for label in values["metric_descriptor"][0]["labels"]
        }
        for values in plan.of("google_logging_metric").values()
    }
    tiles = json.loads(dashboard)["mosaicLayout"]["tiles"]
    assert len(tiles) >= 10
    for tile in tiles:
        for dataSet in tile["widget"]["xyChart"]["dataSets"]:
            filter_ = dataSet["timeSeriesQuery"]["timeSeriesFilter"]
            (metric,) = re.findall(r'metric.type="([\w./]+)"', filter_["filter"])
            if metric.startswith("logging."):
                assert {
                    group.removeprefix("metric.label.") for group in filter_["aggregation"]["groupByFields"]
                } <= metrics[metric]


def test_every_variable_that_refuses_values_is_seen_to_refuse_one() -> None:
    variables = re.split(r'^variable "', Path("terraform/variables.tf").read_text("utf-8"), flags=re.MULTILINE)[1:]
    refusing = {text.partition('"')[0] for text in variables if "validation {" in text}
    refused = Path("terraform/tests/refusals.tftest.hcl").read_text("utf-8")
    expected = set(re.findall(r"var\.(\w+)", " ".join(re.findall(r"expect_failures = \[([^\]]*)\]", refused))))
    assert refusing - expected == set()


def test_every_function_may_publish_what_its_flow_is_seen_to_publish(plan: Planned) -> None:
    granted = rules.grants(plan)
    missing = {
        (function, topic)
        for function, topic in published_by()
        if (f"renderlane-{function}", "roles/pubsub.publisher", topic) not in granted
    }
    assert missing == set()


def test_each_account_can_do_what_is_listed_here_and_nothing_else(plan: Planned) -> None:
    publisher, database, traces = "roles/pubsub.publisher", "roles/datastore.user", "roles/telemetry.writer"
    images, read, create = "render-test-renderlane-images", "roles/storage.objectViewer", "roles/storage.objectCreator"
    functions = ("intake", "pump", "render", "collect", "watch", "bury", "deliver")
    everyone = {(f"renderlane-{function}", publisher, "pump-kicks") for function in functions if function != "deliver"}
    everyone |= {
        (f"renderlane-{function}", publisher, "render-results") for function in functions if function != "deliver"
    }
    everyone |= {(f"renderlane-{name}", publisher, "webhook-deliveries") for name in ("watch", "bury", "deliver")}
    everyone |= {
        (f"renderlane-{function}", role, "render-test") for function in functions for role in (database, traces)
    }
    pubsub, secrets = (
        f"service-123456789012@gcp-sa-{item}.iam.gserviceaccount.com" for item in ("pubsub", "secretmanager")
    )
    assert rules.grants(plan) == everyone | {
        ("renderlane-pump", publisher, "render-releases"),
        *(
            (f"renderlane-{function}", publisher, "render-arrivals")
            for function in ("intake", "pump", "render", "watch", "bury")
        ),
        ("renderlane-collect", read, images),
        ("renderlane-collect", create, images),
        ("renderlane-collect", "roles/secretmanager.secretAccessor", "renderlane-gemini-key"),
        ("renderlane-collect", "roles/storage.objectUser", "render-test-renderlane-spool"),
        ("renderlane-render", read, images),
        ("renderlane-render", create, images),
        ("renderlane-render", "roles/secretmanager.secretAccessor", "renderlane-gemini-key"),
        ("renderlane-watch", read, images),
        ("renderlane-watch", create, images),
        ("renderlane-watch", "roles/secretmanager.secretAccessor", "renderlane-gemini-key"),
        ("renderlane-watch", "roles/cloudquotas.viewer", "render-test"),
        ("renderlane-watch", "roles/monitoring.viewer", "render-test"),
        ("renderlane-bury", read, images),
        ("renderlane-deliver", read, images),
        ("renderlane-deliver", "roles/iam.serviceAccountTokenCreator", "renderlane-deliver"),
        ("renderlane-render", "roles/storage.objectUser", "render-test-renderlane-spool"),
        ("renderlane-watch", "roles/storage.objectUser", "render-test-renderlane-spool"),
        ("renderlane-bury", read, "render-test-renderlane-spool"),
        *(
            ("renderlane-push", "roles/run.invoker", f"renderlane-{item}")
            for item in ("intake", "pump", "render", "collect", "bury", "deliver")
        ),
        ("renderlane-schedule", "roles/run.invoker", "renderlane-watch"),
        ("renderlane-build", read, "render-test-renderlane-source"),
        ("renderlane-build", "roles/artifactregistry.writer", "renderlane"),
        ("renderlane-build", "roles/logging.logWriter", "render-test"),
        (pubsub, "roles/iam.serviceAccountTokenCreator", "renderlane-push"),
        (pubsub, publisher, RENDER_DEAD_LETTERS),
        (pubsub, "roles/pubsub.subscriber", "render-requests-intake"),
        (pubsub, "roles/pubsub.subscriber", "render-releases-render"),
        (pubsub, "roles/pubsub.subscriber", "render-arrivals-collect"),
        (pubsub, "roles/pubsub.subscriber", "render-results-deliver"),
        (pubsub, "roles/pubsub.subscriber", "webhook-deliveries-deliver"),
        (secrets, publisher, "renderlane-key-rotation"),
    }


def test_operators_can_do_what_is_listed_here_and_nothing_else(terraform: Terraform, plan: Planned) -> None:
    with_them = rules.grants(terraform.planned(operators=["group:oncall@example.com"]))
    assert with_them - rules.grants(plan) == {
        ("group:oncall@example.com", "roles/datastore.user", "render-test"),
        ("group:oncall@example.com", "roles/pubsub.publisher", "pump-kicks"),
        ("group:oncall@example.com", "roles/pubsub.publisher", RENDER_REQUESTS),
        ("group:oncall@example.com", "roles/storage.objectViewer", "render-test-renderlane-images"),
    }


def test_the_vertex_lane_adds_one_grant_in_its_project_and_its_api(terraform: Terraform, plan: Planned) -> None:
    with_it = terraform.planned(vertex={"project": "shop-vertex", "location": "eu", "route": "first"})
    assert rules.grants(with_it) - rules.grants(plan) == {("renderlane-render", "roles/aiplatform.user", "shop-vertex")}
    assert rules.exposures(with_it) == []
    (api,) = [item for name, item in with_it.of("google_project_service").items() if name.startswith("vertex")]
    assert (api["project"], api["service"]) == ("shop-vertex", "aiplatform.googleapis.com")
    services = {name: item for name, item in with_it.of("google_cloud_run_v2_service").items() if "function" in name}
    environments = {name: _variables_of(item) for name, item in services.items()}
    assert {item["RENDERLANE_VERTEX"] for item in environments.values()} == {"shop-vertex/eu"}
    assert {item["RENDERLANE_VERTEX_ROUTE"] for item in environments.values()} == {"first"}
    assert not any(
        "RENDERLANE_VERTEX" in _variables_of(item) for item in plan.of("google_cloud_run_v2_service").values()
    )


def test_with_vertex_alone_no_function_gets_the_gemini_key(terraform: Terraform, plan: Planned) -> None:
    only = terraform.planned(vertex={"route": "only"})
    assert any("GEMINI_API_KEY" in _variables_of(item) for item in plan.of("google_cloud_run_v2_service").values())
    for values in only.of("google_cloud_run_v2_service").values():
        assert "GEMINI_API_KEY" not in _variables_of(values)
        assert _variables_of(values)["RENDERLANE_VERTEX"] == "render-test/global"


@pytest.mark.parametrize(
    ("vertex", "field"),
    [({"route": "always"}, "route"), ({"location": "Europe"}, "location"), ({"project": "No Project"}, "project")],
)
def test_a_wrong_value_of_vertex_is_refused_by_its_name(
    vertex: dict[str, str], field: str, terraform: Terraform
) -> None:
    ended = terraform.plan(vertex=vertex)
    assert ended.code != 0
    assert f"vertex.{field}: allowed" in ended.output


def _variables_of(service: dict[str, Any]) -> dict[str, str | None]:
    return {item["name"]: item.get("value") for item in service["template"][0]["containers"][0]["env"]}


def test_the_console_can_do_what_is_listed_here_and_nothing_else(terraform: Terraform, plan: Planned) -> None:
    with_it = rules.grants(terraform.planned(console_group="oncall@example.com"))
    assert with_it - rules.grants(plan) == {
        ("renderlane-console", "roles/pubsub.publisher", "pump-kicks"),
        ("renderlane-console", "roles/pubsub.publisher", RENDER_REQUESTS),
        ("renderlane-console", "roles/datastore.user", "render-test"),
        ("renderlane-console", "roles/telemetry.writer", "render-test"),
        ("renderlane-console", "roles/storage.objectViewer", "render-test-renderlane-images"),
        ("group:oncall@example.com", "roles/iap.httpsResourceAccessor", "renderlane-console"),
        ("service-123456789012@gcp-sa-iap.iam.gserviceaccount.com", "roles/run.invoker", "renderlane-console"),
    }


def test_the_api_can_do_what_is_listed_here_and_nothing_else(terraform: Terraform, plan: Planned) -> None:
    shop = "serviceAccount:shop@render-test.iam.gserviceaccount.com"
    with_it = terraform.planned(api_callers={shop: ["shop"], "user:ada@example.com": ["shop", "web"]})
    assert rules.grants(with_it) - rules.grants(plan) == {
        ("renderlane-api", "roles/pubsub.publisher", RENDER_REQUESTS),
        ("renderlane-api", "roles/datastore.user", "render-test"),
        ("renderlane-api", "roles/telemetry.writer", "render-test"),
        ("renderlane-api", "roles/storage.objectViewer", "render-test-renderlane-images"),
        ("renderlane-api", "roles/iam.serviceAccountTokenCreator", "renderlane-api"),
        ("shop", "roles/run.invoker", "renderlane-api"),
        ("user:ada@example.com", "roles/run.invoker", "renderlane-api"),
    }
    assert "GEMINI_API_KEY" not in _of_api(with_it)


def test_the_api_accepts_the_environment_it_is_given(full: Planned, tmp_path: Path) -> None:
    (tmp_path / "other.toml").touch()
    settings = Settings.read(_of_api(full), tmp_path)
    assert settings.api_callers == {
        "shop@render-test.iam.gserviceaccount.com": ("shop",), "ada@example.com": ("*",),
    }  # fmt: skip
    (service,) = [values for name, values in full.of("google_cloud_run_v2_service").items() if name.startswith("api[")]
    assert service["custom_audiences"] == [settings.api_audience]
    assert settings.default_budget_micros == 25_000_000


@pytest.mark.parametrize(
    ("caller", "tenants"),
    [
        ("allUsers", ["web"]), ("allAuthenticatedUsers", ["web"]), ("group:shop@example.com", ["web"]),
        ("domain:example.com", ["web"]), ("serviceAccount:shop@example.com", []), ("user:a@example.com", ["a/b"]),
        ("user:a@example.com", ["a~b"]),
    ],
)  # fmt: skip
def test_a_caller_of_the_api_is_an_account_with_tenants(caller: str, tenants: list[str], terraform: Terraform) -> None:
    ended = terraform.plan(api_callers={caller: tenants})
    assert ended.code != 0
    assert "api_callers: " in ended.output


def test_arrive_can_do_what_is_listed_here_and_nothing_else(terraform: Terraform, plan: Planned) -> None:
    webhooks = {"public": True, "secret": {"name": "webhook-secret", "version": "1"}}
    with_it = rules.grants(terraform.planned(webhooks=webhooks))
    assert with_it - rules.grants(plan) == {
        ("renderlane-arrive", "roles/pubsub.publisher", "render-arrivals"),
        ("renderlane-arrive", "roles/datastore.user", "render-test"),
        ("renderlane-arrive", "roles/telemetry.writer", "render-test"),
        ("renderlane-arrive", "roles/secretmanager.secretAccessor", "webhook-secret"),
    }


def test_without_a_group_nothing_of_the_console_exists(plan: Planned) -> None:
    texts = {address: str(values) for address, values in plan.resources.items() if "google_monitoring" not in address}
    assert [
        address for address, values in texts.items() if "console" in address + values or "gcp-sa-iap" in values
    ] == []


def test_the_console_knows_whose_signature_to_expect(full: Planned) -> None:
    audience = "/projects/123456789012/locations/europe-west1/services/renderlane-console"
    assert _of_console(full)["RENDERLANE_CONSOLE_AUDIENCE"] == audience
    assert not any("KEY" in name for name in _of_console(full))


def test_documents_of_other_databases_are_out_of_reach(plan: Planned) -> None:
    conditions = [
        values["condition"][0]["expression"]
        for values in plan.of("google_project_iam_member").values()
        if values["role"] == "roles/datastore.user"
    ]
    assert set(conditions) == {'resource.name == "projects/render-test/databases/renderlane"'}


def _indexes(plan: Planned) -> set[firestore_layout.Index]:
    composite = {
        (values["collection"], tuple(_named(field["field_path"], field["order"]) for field in values["fields"]))
        for values in plan.of("google_firestore_index").values()
    }
    return composite | {
        (values["collection"], (_named(values["field"], index["order"]),))
        for values in plan.of("google_firestore_field").values()
        for index in values["index_config"][0]["indexes"]
    }


def _named(field: str, order: str) -> str:
    return {"ASCENDING": "", "DESCENDING": "-"}[order] + field


def _variables(plan: Planned, address: str) -> list[dict[str, Any]]:
    service = plan.of("google_cloud_run_v2_service")[address]
    return list(service["template"][0]["containers"][0]["env"])


def _environment(plan: Planned, function: str) -> dict[str, str]:
    return {item["name"]: item["value"] for item in _plain(_variables(plan, f'function["{function}"]'))}


def _secrets(plan: Planned, function: str) -> list[str]:
    return [variable["name"] for variable in _variables(plan, f'function["{function}"]') if variable["value_source"]]


def _plain(variables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [variable for variable in variables if not variable["value_source"]]


def _of_api(plan: Planned) -> dict[str, str]:
    return {item["name"]: item["value"] for item in _plain(_variables(plan, 'api["api"]'))}


def _of_arrive(plan: Planned, *, secrets: bool = False) -> dict[str, str]:
    variables = _variables(plan, 'arrive["arrive"]')
    return {entry["name"]: entry["value"] for entry in variables if bool(entry["value_source"]) is secrets}


def _of_console(plan: Planned) -> dict[str, str]:
    return {item["name"]: item["value"] for item in _plain(_variables(plan, 'console["console"]'))}


def _alerts(plan: Planned) -> dict[str, dict[str, Any]]:
    return plan.of("google_monitoring_alert_policy")


def _alerted(plan: Planned) -> set[str]:
    return {values["user_labels"]["runbook"] for values in _alerts(plan).values()}


@cache
def _escalated() -> set[str]:
    """Every heading that the code names: `runbook="…"`, a constant of its module, or the table of claims."""
    runbooks = {policy.runbook for policy in POLICIES.values()} - {""}
    for path in Path("shared").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.keyword) and call.arg == "runbook":
                runbooks |= _headings(call.value, path)
    return runbooks


def _headings(value: ast.expr, path: Path) -> set[str]:
    if isinstance(value, ast.Constant):
        return {str(value.value)}
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    value_ = getattr(module, value.id, None) if isinstance(value, ast.Name) else None
    if isinstance(value_, str):
        return {value_}
    assert ast.unparse(value).endswith(".runbook"), f"{path}: which headings can {ast.unparse(value)} be?"
    return {policy.runbook for policy in POLICIES.values()} - {""}
