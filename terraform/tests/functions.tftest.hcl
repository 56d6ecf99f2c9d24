# One pump, a fleet as large as it says, the key where it is used. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  bundle       = "bundle.zip"
}

run "functions" {
  command = plan

  assert {
    condition     = google_cloudfunctions2_function.function["pump"].service_config[0].max_instance_count == 1
    error_message = "There must be one pump."
  }

  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.function : each.service_config[0].max_instance_request_concurrency > 1])
    error_message = "A function takes one request at a time: the default, and too few."
  }

  assert {
    condition = (
      google_cloudfunctions2_function.function["render"].service_config[0].max_instance_count
      * google_cloudfunctions2_function.function["render"].service_config[0].max_instance_request_concurrency
      >= tonumber(google_cloudfunctions2_function.function["render"].service_config[0].environment_variables["RENDERLANE_CAPACITY"])
    )
    error_message = "The fleet carries less than RENDERLANE_CAPACITY."
  }

  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.function : each.service_config[0].timeout_seconds <= 3600])
    error_message = "A function's time-out is over 60 minutes."
  }

  assert {
    condition     = [for name, each in google_cloudfunctions2_function.function : name if length(each.service_config[0].secret_environment_variables) > 0] == ["render", "watch"]
    error_message = "Another function than render and watch is given the Gemini key."
  }

  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.function : !contains(keys(each.service_config[0].environment_variables), "GEMINI_API_KEY")])
    error_message = "The Gemini key is a plain environment variable."
  }
}

run "a_first_apply" {
  command = plan

  assert {
    condition     = strcontains(google_project_iam_member.build_sources.condition[0].expression, "buckets/gcf-v2-sources-") && google_project_iam_member.build_sources.role == "roles/storage.objectViewer"
    error_message = "Cloud Build cannot read the Functions API's copy of the source."
  }

  assert {
    condition     = contains(keys(google_project_service.api), "cloudtrace.googleapis.com")
    error_message = "Spans are thrown away: Cloud Trace is not enabled."
  }

  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.function : strcontains(each.service_config[0].environment_variables["OTEL_RESOURCE_ATTRIBUTES"], "cloud.region=europe-west1")])
    error_message = "Metrics without a location are refused."
  }

  assert {
    condition     = alltrue([for each in google_cloudfunctions2_function.function : each.build_config[0].environment_variables["SOURCE_DATE_EPOCH"] == "315532801"])
    error_message = "The byte code of the bundle is stale when a function starts."
  }
}
