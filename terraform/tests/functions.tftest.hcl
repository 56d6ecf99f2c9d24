# One pump, a fleet as large as it says, the key where it is used. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  image        = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "functions" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.function["pump"].template[0].scaling[0].max_instance_count == 1
    error_message = "There must be one pump."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.function : each.template[0].max_instance_request_concurrency > 1])
    error_message = "A function takes one request at a time: too few."
  }

  assert {
    condition = (
      google_cloud_run_v2_service.function["render"].template[0].scaling[0].max_instance_count
      * google_cloud_run_v2_service.function["render"].template[0].max_instance_request_concurrency
      >= tonumber(one([for env in google_cloud_run_v2_service.function["render"].template[0].containers[0].env : env.value if env.name == "RENDERLANE_CAPACITY"]))
    )
    error_message = "The fleet carries less than RENDERLANE_CAPACITY."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.function : tonumber(trimsuffix(each.template[0].timeout, "s")) <= 3600])
    error_message = "A function's time-out is over 60 minutes."
  }

  assert {
    condition = [
      for name, each in google_cloud_run_v2_service.function : name
      if anytrue([for env in each.template[0].containers[0].env : length(env.value_source) > 0])
    ] == ["collect", "render", "watch"]
    error_message = "Another function than collect, render and watch is given the Gemini key."
  }

  assert {
    condition = alltrue(flatten([
      for each in google_cloud_run_v2_service.function : [
        for env in each.template[0].containers[0].env : length(env.value_source) > 0 if strcontains(env.name, "API_KEY")
      ]
    ]))
    error_message = "The Gemini key is a plain environment variable."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.function : each.template[0].containers[0].image == var.image && each.template[0].containers[0].resources[0].startup_cpu_boost])
    error_message = "A service runs another image, or starts without the boost."
  }

  assert {
    condition     = alltrue([for name, each in google_cloud_run_v2_service.function : contains([for env in each.template[0].containers[0].env : env.value if env.name == "FUNCTION_TARGET"], name)])
    error_message = "A service runs another function."
  }
}

run "a_first_apply" {
  command = plan

  assert {
    condition     = contains(keys(google_project_service.api), "cloudtrace.googleapis.com")
    error_message = "Spans are thrown away: Cloud Trace is not enabled."
  }

  assert {
    condition = alltrue([
      for each in google_cloud_run_v2_service.function : anytrue([
        for env in each.template[0].containers[0].env : strcontains(env.value, "cloud.region=europe-west1") && strcontains(env.value, "service.version=0123456789ab")
        if env.name == "OTEL_RESOURCE_ATTRIBUTES"
      ])
    ])
    error_message = "Metrics without a location are refused."
  }

  assert {
    condition = alltrue([
      for each in google_cloud_run_v2_service.function : alltrue([
        for name, value in { LOG_EXECUTION_ID = "false", RENDERLANE_RELEASE = "0123456789ab" } :
        contains([for env in each.template[0].containers[0].env : env.value if env.name == name], value)
      ])
    ])
    error_message = "A function does not know its release, or its log lines carry Cloud Run's span beside our trace."
  }
}

run "all_traffic_goes_to_the_newest" {
  command = plan

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.function : length(each.traffic) == 1 && each.traffic[0].percent == 100])
    error_message = "A service keeps traffic on an older revision."
  }
}

run "a_canary" {
  command = plan

  variables {
    stable_revisions = { render = "renderlane-render-00007-abc", pump = "renderlane-pump-00007-abc" }
    canary_percent   = 20
  }

  assert {
    condition     = [for each in google_cloud_run_v2_service.function["pump"].traffic : "${each.revision} ${each.percent}"] == ["renderlane-pump-00007-abc 100"]
    error_message = "Traffic of the one pump is split: two releases would take the lead from each other."
  }

  assert {
    condition = [for each in google_cloud_run_v2_service.function["render"].traffic : "${each.type} ${each.percent}"] == [
      "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION 80", "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST 20",
    ]
    error_message = "The canary does not get its part, or the stable revision not the rest."
  }
}

run "the_defaults_fit_a_new_project" {
  command = plan

  assert {
    condition     = local.fleet_cpus <= 20 && local.fleet_gib <= 40
    error_message = "The defaults need more than Cloud Run allows in a new project."
  }

  assert {
    condition     = length(google_cloud_quotas_quota_preference.run) == 0
    error_message = "Quota is requested that nobody asked for."
  }
}

run "quota_is_requested_where_somebody_is_named" {
  command = plan

  variables {
    render                 = { max_instances = 20 }
    platform_quota         = { cpus = 60, gib = 120 }
    request_platform_quota = "oncall@example.com"
  }

  assert {
    condition = { for id, each in google_cloud_quotas_quota_preference.run : id => each.quota_config[0].preferred_value } == {
      CpuAllocPerProjectRegion = "60000", MemAllocPerProjectRegion = "128849018880"
    }
    error_message = "The request is not in thousandths of a CPU and bytes."
  }
}
