# The one public service exists where it is wanted, is bounded, and holds nothing worth having. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  image        = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "without_being_wanted_there_is_none" {
  command = plan

  assert {
    condition     = length(google_cloud_run_v2_service.arrive) == 0 && output.webhooks == null
    error_message = "Without being wanted there is a service that anybody can call."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.function : alltrue([for env in each.template[0].containers[0].env : env.name != "RENDERLANE_WEBHOOK_URL"])])
    error_message = "A function sends the provider to an address that does not exist."
  }
}

run "the_public_door" {
  command = plan

  variables {
    webhooks = { public = true, secret = { name = "webhook-secret", version = "3" } }
  }

  assert {
    condition     = google_cloud_run_v2_service.arrive["arrive"].template[0].scaling[0].max_instance_count <= 20
    error_message = "Strangers can have as many instances started as they like."
  }

  assert {
    condition     = google_cloud_run_v2_service.arrive["arrive"].ingress == "INGRESS_TRAFFIC_ALL" && google_cloud_run_v2_service.arrive["arrive"].invoker_iam_disabled
    error_message = "The provider cannot call it."
  }

  assert {
    condition     = !contains(local.key_readers, "arrive") && length([for name, each in local.imaging : name if each.function == "arrive"]) == 0
    error_message = "The public function may do more than it needs: it has the key or the images."
  }

  assert {
    condition = [
      for env in google_cloud_run_v2_service.arrive["arrive"].template[0].containers[0].env : "${env.name} ${env.value_source[0].secret_key_ref[0].version}"
      if length(env.value_source) > 0
    ] == ["RENDERLANE_WEBHOOK_SECRET 3"]
    error_message = "The secret of a static webhook is not given, or not pinned."
  }

  assert {
    condition = alltrue([
      for each in google_cloud_run_v2_service.function : contains([for env in each.template[0].containers[0].env : env.value if env.name == "RENDERLANE_WEBHOOK_URL"], output.webhooks)
    ])
    error_message = "A function sends the provider to another address."
  }
}
