# Nothing is public, and the console is for a named group. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  image        = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "nothing_is_public" {
  command = plan

  assert {
    condition     = google_storage_bucket.images.public_access_prevention == "enforced" && google_storage_bucket.source.public_access_prevention == "enforced"
    error_message = "A bucket could be made public."
  }

  assert {
    condition     = google_storage_bucket.images.uniform_bucket_level_access && google_storage_bucket.source.uniform_bucket_level_access
    error_message = "A bucket has access lists of single objects."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.function : each.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" && !each.invoker_iam_disabled])
    error_message = "A function can be reached from outside."
  }

  assert {
    condition     = length(google_cloud_run_v2_service.console) + length(google_iap_web_cloud_run_service_iam_member.console) == 0
    error_message = "Without a group there is no console."
  }
}

run "the_console_is_for_a_named_group" {
  command = plan

  variables {
    console_group = "renderlane-oncall@example.com"
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.console : each.iap_enabled && !each.invoker_iam_disabled])
    error_message = "The console has no Identity-Aware Proxy in front of it."
  }

  assert {
    condition     = [for each in google_iap_web_cloud_run_service_iam_member.console : "${each.role} ${each.member}"] == ["roles/iap.httpsResourceAccessor group:renderlane-oncall@example.com"]
    error_message = "The console is open to somebody else."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_service_iam_member.console : strcontains(each.member, "gcp-sa-iap")])
    error_message = "The console can be called past Identity-Aware Proxy."
  }

  assert {
    condition = alltrue([
      for each in google_cloud_run_v2_service.console : contains(
        [for env in each.template[0].containers[0].env : env.value if env.name == "RENDERLANE_CONSOLE_AUDIENCE"],
        "/projects/${data.google_project.this.number}/locations/europe-west1/services/renderlane-console",
      )
    ])
    error_message = "The console does not know whose signature to expect."
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.console : alltrue([for env in each.template[0].containers[0].env : !strcontains(env.name, "KEY")])])
    error_message = "The console is given a key."
  }
}

run "images_are_read_by_who_is_named" {
  command = plan

  variables {
    image_readers = ["serviceAccount:web@render-test.iam.gserviceaccount.com"]
    operators     = ["group:oncall@example.com"]
  }

  assert {
    condition     = toset([for each in google_storage_bucket_iam_member.image_reader : each.member]) == toset(["serviceAccount:web@render-test.iam.gserviceaccount.com", "group:oncall@example.com"])
    error_message = "An upstream app cannot read its own images."
  }

  assert {
    condition     = alltrue([for each in google_project_iam_member.operator : strcontains(each.condition[0].expression, "databases/renderlane")])
    error_message = "An operator may read other databases."
  }
}

run "messages_stay_where_they_may_be" {
  command = plan

  variables {
    message_regions = ["europe-west1"]
  }

  assert {
    condition     = alltrue([for each in google_pubsub_topic.topic : each.message_storage_policy[0].allowed_persistence_regions == tolist(["europe-west1"])])
    error_message = "Prompts may rest in any region."
  }
}

run "the_api_is_for_named_accounts" {
  command = plan

  variables {
    api_callers = { "serviceAccount:shop@render-test.iam.gserviceaccount.com" = ["shop"] }
  }

  assert {
    condition     = alltrue([for each in google_cloud_run_v2_service.api : !each.invoker_iam_disabled])
    error_message = "The API is called without a grant, and trusts tokens that nobody has checked."
  }

  assert {
    condition     = [for each in google_cloud_run_service_iam_member.api : "${each.role} ${each.member}"] == ["roles/run.invoker serviceAccount:shop@render-test.iam.gserviceaccount.com"]
    error_message = "The API is open to somebody else."
  }
}
