# The push subscriptions of shared/core/messages/topics.py. The ack deadline is the push request's time limit too.
#
# backoff: from a failed delivery to the next, shortest and longest. 20 deliveries take two hours and a half: an outage of Firestore, or
# 429 while instances start, makes no dead letters. A kick is out of date soon and comes again each minute.

locals {
  patient = ["10s", "600s"]
  subscriptions = {
    render-requests-intake     = { topic = "render-requests", function = "intake", max_deliveries = 20, retention = "604800s", backoff = local.patient }
    pump-kicks-pump            = { topic = "pump-kicks", function = "pump", max_deliveries = 0, retention = "600s", backoff = ["1s", "60s"] }
    render-releases-render     = { topic = "render-releases", function = "render", max_deliveries = 20, retention = "86400s", backoff = local.patient }
    render-arrivals-collect    = { topic = "render-arrivals", function = "collect", max_deliveries = 20, retention = "86400s", backoff = local.patient }
    render-dead-letters-bury   = { topic = "render-dead-letters", function = "bury", max_deliveries = 0, retention = "604800s", backoff = local.patient }
    render-results-deliver     = { topic = "render-results", function = "deliver", max_deliveries = 20, retention = "604800s", backoff = local.patient }
    webhook-deliveries-deliver = { topic = "webhook-deliveries", function = "deliver", max_deliveries = 20, retention = "86400s", backoff = local.patient }
  }
  giving_up = { for name, each in local.subscriptions : name => each if each.max_deliveries > 0 }
}

resource "google_pubsub_subscription" "push" {
  for_each = local.subscriptions

  name                       = each.key
  topic                      = google_pubsub_topic.topic[each.value.topic].id
  ack_deadline_seconds       = var.ack_deadline_seconds[each.key]
  message_retention_duration = each.value.retention

  # Without this it is pulled from (pools.tf).
  dynamic "push_config" {
    for_each = contains(local.pulling, each.value.function) ? [] : [google_cloud_run_v2_service.function[each.value.function].uri]

    content {
      push_endpoint = push_config.value

      oidc_token {
        service_account_email = google_service_account.caller["push"].email
        audience              = push_config.value
      }
    }
  }

  # A nack says only that a state could not be written; waiting is done in the store. Beside this, Pub/Sub slows the push of the whole
  # subscription by 0.1 to 60 s while deliveries fail, which cannot be turned off: https://cloud.google.com/pubsub/docs/push#push_backoff
  retry_policy {
    minimum_backoff = each.value.backoff[0]
    maximum_backoff = each.value.backoff[1]
  }

  # Never removed for want of traffic.
  expiration_policy {
    ttl = ""
  }

  dynamic "dead_letter_policy" {
    for_each = each.value.max_deliveries > 0 ? [each.value.max_deliveries] : []

    content {
      dead_letter_topic     = google_pubsub_topic.topic["render-dead-letters"].id
      max_delivery_attempts = dead_letter_policy.value
    }
  }

  depends_on = [google_cloud_run_service_iam_member.push, google_service_account_iam_member.push_tokens]
}

# Without these two, Pub/Sub's agent cannot move a message to the dead letters, and it is redelivered without end.
resource "google_pubsub_topic_iam_member" "give_up" {
  topic  = google_pubsub_topic.topic["render-dead-letters"].name
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "give_up" {
  for_each = local.giving_up

  subscription = google_pubsub_subscription.push[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}
