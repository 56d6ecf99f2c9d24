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
    condition = alltrue(flatten([
      for name, each in google_pubsub_subscription.push : [
        for policy in each.dead_letter_policy :
        policy.max_delivery_attempts >= 20 && each.retry_policy[0].minimum_backoff == "10s" && each.retry_policy[0].maximum_backoff == "600s"
      ]
    ]))
    error_message = "A subscription gives messages up within minutes: an outage would make dead letters of all of them."
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

run "render_by_pull" {
  command = plan

  variables {
    render = { delivery = "pull" }
  }

  assert {
    condition     = !contains(keys(google_cloud_run_v2_service.function), "render") && length(google_pubsub_subscription.push["render-releases-render"].push_config) == 0
    error_message = "render is pushed to as well: two consumers of one subscription."
  }

  assert {
    condition = (
      google_cloud_run_v2_worker_pool.function["render"].template[0].containers[0].args == tolist(["-m", "functions.pull", "render"])
      && google_cloud_run_v2_worker_pool.function["render"].template[0].containers[0].image == var.image
    )
    error_message = "The worker pool does not pull for render, or runs another image or account."
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.function["render"].scaling[0].min_instance_count >= 1
    error_message = "The worker pool scales to nothing: nobody would pull."
  }

  assert {
    condition     = google_pubsub_subscription_iam_member.puller["render-releases-render"].role == "roles/pubsub.subscriber"
    error_message = "The worker pool may not take messages off its subscription."
  }

  assert {
    condition     = alltrue([for each in google_logging_metric.event : strcontains(each.filter, "cloud_run_worker_pool")])
    error_message = "A metric does not see what the worker pool logs."
  }

  assert {
    condition = alltrue([
      for heading in ["delivery-deferred", "timeout", "rejected"] :
      length([for each in google_monitoring_alert_policy.threshold[heading].conditions : each if strcontains(each.condition_threshold[0].filter, "cloud_run_worker_pool")]) == 1
    ])
    error_message = "An alert does not see what the worker pool logs."
  }
}
