# GitHub deploys without a key, from one repository; the promise has its burn-rate alerts. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  image        = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "without_a_repository_nobody_deploys_from_outside" {
  command = plan

  assert {
    condition     = length(google_iam_workload_identity_pool.github) + length(google_service_account.pipeline) == 0
    error_message = "There is a pipeline without a repository."
  }
}

run "one_repository_deploys" {
  command = plan

  variables {
    github_repository = "example/renderlane"
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.github[0].attribute_condition == "assertion.repository == \"example/renderlane\""
    error_message = "Any repository on GitHub could ask for an identity."
  }

  assert {
    condition     = length([for name, each in google_project_iam_member.pipeline : name if startswith(name, "planner ") && !contains(["roles/viewer", "roles/iam.securityReviewer"], each.role)]) == 0
    error_message = "What plans may change something."
  }

  assert {
    condition     = [for name in keys(google_service_account_iam_member.pipeline) : name if startswith(name, "deployer ")] == ["deployer attribute.environment/example/renderlane/production"]
    error_message = "What applies does not need the environment's approval."
  }
}

run "the_promise" {
  command = plan

  assert {
    condition     = google_monitoring_slo.ends_well.goal == 0.99 && google_monitoring_slo.ends_well.rolling_period_days == 28
    error_message = "The promise is another one than documented."
  }

  assert {
    condition     = alltrue([for each in google_monitoring_alert_policy.burn : each.combiner == "AND" && length(each.conditions) == 2])
    error_message = "A burn-rate alert looks at one window only: it comes late or never goes."
  }

  assert {
    condition     = contains(keys(google_project_iam_audit_config.service), "secretmanager.googleapis.com")
    error_message = "Nobody can tell who read the key."
  }
}
