# Every message comes, comes again where it must, and is given up where it should. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  image        = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "deliveries" {
  command = plan

  assert {
    condition = alltrue([
      for name, each in google_pubsub_subscription.push :
      each.ack_deadline_seconds >= tonumber(trimsuffix(google_cloud_run_v2_service.function[local.subscriptions[name].function].template[0].timeout, "s"))
    ])
    error_message = "A subscription's ack deadline is under its function's time-out."
  }

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : each.ack_deadline_seconds >= 10 && each.ack_deadline_seconds <= 600])
    error_message = "An ack deadline is outside Pub/Sub's 10 to 600 s."
  }

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : each.expiration_policy[0].ttl == ""])
    error_message = "A subscription would be removed for want of traffic."
  }

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : each.retry_policy[0].minimum_backoff == "1s" && each.retry_policy[0].maximum_backoff == "60s"])
    error_message = "A subscription has no retry policy of its own."
  }

  assert {
    condition = alltrue(flatten([
      for each in google_pubsub_subscription.push : [for policy in each.dead_letter_policy : policy.max_delivery_attempts >= 5 && policy.max_delivery_attempts <= 100]
    ]))
    error_message = "Deliveries before a dead letter are outside Pub/Sub's 5 to 100."
  }

  assert {
    condition     = google_pubsub_topic_iam_member.give_up.role == "roles/pubsub.publisher" && strcontains(google_pubsub_topic_iam_member.give_up.member, "gcp-sa-pubsub")
    error_message = "Pub/Sub's agent may not publish dead letters."
  }

  assert {
    condition = alltrue([
      for name, each in google_pubsub_subscription.push :
      length(each.dead_letter_policy) == 0 || contains(keys(google_pubsub_subscription_iam_member.give_up), name)
    ])
    error_message = "Pub/Sub's agent may not take messages off a subscription that gives up."
  }
}
