# The key is pinned, rotated and never in Terraform; the schedule calls once a minute as an account of its own. No credentials are
# needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  image        = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "the_key" {
  command = plan

  assert {
    condition     = google_secret_manager_secret.gemini_key.rotation[0].rotation_period == "7776000s"
    error_message = "Nobody is reminded to rotate the key every 90 days."
  }

  assert {
    condition     = timecmp(google_secret_manager_secret.gemini_key.rotation[0].next_rotation_time, timeadd(plantimestamp(), "1h")) > 0
    error_message = "The first reminder lies in the past: Secret Manager refuses to make the secret."
  }

  assert {
    condition     = google_pubsub_subscription.key_rotation.filter == "attributes.eventType = \"SECRET_ROTATE\""
    error_message = "The reminder to rotate is drowned by every other change of the secret."
  }

  assert {
    condition     = length(google_secret_manager_secret.gemini_key.topics) == 1 && strcontains(google_pubsub_topic_iam_member.key_rotation.member, "gcp-sa-secretmanager")
    error_message = "Secret Manager's reminder reaches no topic."
  }

  assert {
    condition     = google_secret_manager_secret.gemini_key.deletion_protection && google_secret_manager_secret.gemini_key.version_destroy_ttl == "604800s"
    error_message = "The key, or a version of it, is gone at once when it is deleted."
  }

  assert {
    condition = alltrue(flatten([
      for each in google_cloud_run_v2_service.function : [
        for env in each.template[0].containers[0].env : env.value_source[0].secret_key_ref[0].version == "1" if length(env.value_source) > 0
      ]
    ]))
    error_message = "A function runs another version of the key than gemini_key_version."
  }
}

run "the_schedule" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.kick.schedule == "* * * * *" && google_cloud_scheduler_job.watch.schedule == "* * * * *"
    error_message = "A job does not run once a minute."
  }

  assert {
    condition     = length(google_cloud_scheduler_job.watch.http_target[0].oidc_token) == 1
    error_message = "watch is called without an identity."
  }
}

run "a_key_that_stays_in_named_regions" {
  command = plan

  variables {
    secret_locations = ["europe-west1", "europe-west4"]
  }

  assert {
    condition     = [for each in google_secret_manager_secret.gemini_key.replication[0].user_managed[0].replicas : each.location] == ["europe-west1", "europe-west4"]
    error_message = "The key is kept where the organisation does not allow it."
  }
}
