# What a first apply, and then production, would have met: an assertion for each finding of the platform review, by its number. Each has a
# planted mistake (tests/terraform/test_findings.py) that fails it. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id       = "render-test"
  alert_emails     = ["oncall@example.com"]
  alert_channels   = ["projects/render-test/notificationChannels/1"]
  image            = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  console_group    = "oncall@example.com"
  billing_account  = "012345-6789AB-CDEF01"
  secret_locations = ["europe-west1"]
  image_readers    = ["group:web@example.com"]
  message_regions  = ["europe-west1"]
  stable_revisions = { pump = "renderlane-pump-00007-abc", render = "renderlane-render-00007-abc" }
}

run "first_apply" {
  command = plan

  assert {
    condition     = google_storage_bucket_iam_member.build.role == "roles/storage.objectViewer" && google_artifact_registry_repository_iam_member.build.role == "roles/artifactregistry.writer"
    error_message = "1.1: the build account may not read the source, or not write the image."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.console : each.template[0].containers[0].image == var.image])
    error_message = "1.3: the console does not run the image that was built."
  }

  assert {
    condition     = length(google_project_service.api) == length(local.apis) && contains(keys(google_project_service.api), "iap.googleapis.com")
    error_message = "1.4: an API that is used is not enabled."
  }

  assert {
    condition     = contains(keys(google_project_service.api), "cloudtrace.googleapis.com")
    error_message = "1.5: Cloud Trace is off, so every span is thrown away."
  }

  assert {
    condition     = google_billing_budget.month[0].amount[0].specified_amount[0].currency_code == null
    error_message = "1.6: a budget in another currency than the billing account's is refused."
  }

  assert {
    condition     = length(google_billing_budget.month[0].all_updates_rule[0].monitoring_notification_channels) == length(var.alert_emails)
    error_message = "1.6: a budget takes e-mail channels only."
  }

  assert {
    condition     = length(google_secret_manager_secret.gemini_key.replication[0].auto) == 0 && [for each in google_secret_manager_secret.gemini_key.replication[0].user_managed[0].replicas : each.location] == ["europe-west1"]
    error_message = "1.7: an organisation that allows only some locations refuses the secret."
  }

  assert {
    condition     = timecmp(google_secret_manager_secret.gemini_key.rotation[0].next_rotation_time, timeadd(plantimestamp(), "1h")) > 0
    error_message = "1.8: the first rotation lies in the past, so the secret is refused."
  }

  assert {
    condition     = local.fleet_cpus <= 20 && local.fleet_gib <= 40
    error_message = "1.9: the defaults need more than Cloud Run allows in a new project."
  }

  assert {
    condition     = google_firestore_database.this.deletion_policy == "ABANDON" && google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED"
    error_message = "1.10: the database does not follow database_deletion_policy."
  }
}

run "a_staging_that_is_made_again" {
  command = plan

  variables {
    database_deletion_policy = "DELETE"
  }

  assert {
    condition     = google_firestore_database.this.deletion_policy == "DELETE" && google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_DISABLED"
    error_message = "1.10: the database does not follow database_deletion_policy."
  }
}

run "production" {
  command = plan

  assert {
    condition     = alltrue([for name, each in google_pubsub_subscription.push : each.retry_policy[0].minimum_backoff == "10s" if length(each.dead_letter_policy) > 0])
    error_message = "2.1: a failed delivery comes again within a second, which slows the whole subscription."
  }

  assert {
    condition     = alltrue(flatten([for each in google_pubsub_subscription.push : [for policy in each.dead_letter_policy : policy.max_delivery_attempts >= 20]]))
    error_message = "2.2: an outage of half a minute makes dead letters of everything in flight."
  }

  assert {
    condition     = contains(keys(google_monitoring_alert_policy.threshold), "messages-given-up")
    error_message = "2.2: nobody hears of dead letters where `bury` does not work."
  }

  assert {
    condition = alltrue([
      strcontains(google_logging_metric.event["deferred"].filter, "delivery_deferred"), strcontains(google_logging_metric.event["crashed"].filter, "delivery_crashed"),
      contains(keys(google_monitoring_alert_policy.threshold), "delivery-deferred"), contains(keys(google_monitoring_alert_policy.logged), "delivery-crashed"),
    ])
    error_message = "2.3: a delivery that fails is counted by nobody."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.function : anytrue([for env in each.template[0].containers[0].env : env.name == "LOG_EXECUTION_ID" && env.value == "false"])])
    error_message = "2.3: log lines carry Cloud Run's span beside our trace."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.function : anytrue([for env in each.template[0].containers[0].env : strcontains(env.value, "cloud.region=europe-west1") if env.name == "OTEL_RESOURCE_ATTRIBUTES"])])
    error_message = "2.4: metrics without a location are refused."
  }

  assert {
    condition     = [for each in google_cloud_run_v2_service.function["pump"].traffic : each.percent] == [100]
    error_message = "2.5: traffic of the one pump is split, so two releases take the lead from each other."
  }

  assert {
    condition     = length(google_cloud_run_v2_service.function["render"].traffic) == 2
    error_message = "2.6: a canary is not possible, nor the way back by traffic."
  }

  assert {
    condition     = alltrue([for each in merge(google_monitoring_alert_policy.threshold, google_monitoring_alert_policy.logged) : each.alert_strategy[0].auto_close == "1800s"])
    error_message = "2.8: an incident of a metric that stopped stays open for days, and the next one notifies nobody."
  }

  assert {
    condition     = google_pubsub_subscription.key_rotation.filter == "attributes.eventType = \"SECRET_ROTATE\""
    error_message = "2.8: every change of the secret counts as due for rotation."
  }

  assert {
    condition     = !strcontains(google_monitoring_alert_policy.threshold["messages-wait"].conditions[0].condition_threshold[0].filter, "releases")
    error_message = "2.8: a delivery that is held for a whole call alerts."
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["function-saturated"].conditions[0].condition_threshold[0].filter, "429")
    error_message = "2.8: nobody hears of Cloud Run's 429."
  }

  assert {
    condition     = !strcontains(google_monitoring_dashboard.this.dashboard_json, "ALIGN_RATE")
    error_message = "2.9: what is called a minute is a second."
  }

  assert {
    condition     = contains(keys(google_storage_bucket_iam_member.image_reader), "group:web@example.com")
    error_message = "2.11: the upstream app may not read its own images."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.function : each.template[0].containers[0].image == var.image])
    error_message = "2.14: a changed setting builds something."
  }

  assert {
    condition     = alltrue([for each in google_pubsub_topic.topic : [for policy in each.message_storage_policy : join(",", policy.allowed_persistence_regions)] == ["europe-west1"]])
    error_message = "2.15: prompts may rest in any region."
  }
}
