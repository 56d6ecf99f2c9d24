# One alert for each heading of the runbook. The key of an entry is the heading; a test compares both with the code.

locals {
  # What an event `escalation` may name as its runbook.
  escalations = {
    batch-stuck            = "A batch has been with the provider for longer than it promises."
    batch-strange-answers  = "A batch came back with answers that are nobody's, or twice."
    credential             = "The Gemini API rejects the key: nothing renders until it is replaced."
    dead-letter            = "A delivery kept crashing and was given up; the message has been looked at once more."
    no-balance             = "No balance, no billing or a limit of 0: the model is closed five minutes at a time."
    no-route               = "Requests wait because no route is open for them."
    permission             = "The project may not make this call."
    release-not-handed-out = "A slot was granted and its release could not be published."
  }

  # Events that have a heading of their own.
  events = {
    bad-message           = { event = "bad_message", says = "A message on an inner topic that none of our functions wrote." }
    live-quota-unreadable = { event = "live_quota_unreadable", says = "The live limits cannot be read; the last good values hold." }
  }

  # Thresholds over metrics of the platform.
  thresholds = {
    messages-wait = {
      says      = "The oldest message has waited for five minutes: deliveries are not answered."
      filter    = "resource.type=\"pubsub_subscription\" AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.labels.subscription_id=monitoring.regex.full_match(\"render-(requests-intake|releases-render|dead-letters-bury)\")"
      aligner   = "ALIGN_MAX", reducer = "REDUCE_MAX", group = ["resource.label.subscription_id"]
      threshold = 300, duration = "0s"
    }
    function-fails = {
      says      = "A function answers with 5xx: what it was told to do is not on record, and comes again."
      filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"5xx\" AND resource.labels.service_name=monitoring.regex.full_match(\"renderlane-.*\")"
      aligner   = "ALIGN_RATE", reducer = "REDUCE_SUM", group = ["resource.label.service_name"]
      threshold = 0.05, duration = "300s"
    }
    key-rotation = {
      says      = "The Gemini key is due for rotation."
      filter    = "resource.type=\"pubsub_topic\" AND metric.type=\"pubsub.googleapis.com/topic/send_request_count\" AND resource.labels.topic_id=\"${google_pubsub_topic.key_rotation.name}\""
      aligner   = "ALIGN_DELTA", reducer = "REDUCE_SUM", group = []
      threshold = 0, duration = "0s"
    }
  }

  documented = { for heading, says in merge(
    local.escalations,
    { for heading, each in local.events : heading => each.says },
    { for heading, each in local.thresholds : heading => each.says },
    {
      watch-is-silent = "watch has not ended well for ten minutes: live limits, lapsed leases and deadlines are not seen to."
      escalation      = "An escalation names a heading that no alert of its own knows."
    },
  ) : heading => "${says}\n\nWhat to do: ${var.runbook_url}#${heading}" }
}

resource "google_monitoring_alert_policy" "escalation" {
  for_each = local.escalations

  display_name          = "Renderlane: ${each.key}"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = { runbook = each.key }

  conditions {
    display_name = "escalation: ${each.key}"

    condition_matched_log {
      filter           = "${local.our_logs} AND jsonPayload.message=\"escalation\" AND jsonPayload.runbook=\"${each.key}\""
      label_extractors = { what = "EXTRACT(jsonPayload.what)" }
    }
  }

  alert_strategy {
    auto_close = "1800s"

    notification_rate_limit {
      period = "300s"
    }
  }

  documentation {
    content   = local.documented[each.key]
    mime_type = "text/markdown"
  }
}

# Whatever escalates under a heading that is not listed above, so that none goes unheard.
resource "google_monitoring_alert_policy" "escalation_unlisted" {
  display_name          = "Renderlane: escalation"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = { runbook = "escalation" }

  conditions {
    display_name = "escalation under an unlisted heading"

    condition_matched_log {
      filter           = "${local.our_logs} AND jsonPayload.message=\"escalation\" AND NOT jsonPayload.runbook=(${join(" OR ", [for each in keys(local.escalations) : "\"${each}\""])})"
      label_extractors = { what = "EXTRACT(jsonPayload.what)" }
    }
  }

  alert_strategy {
    auto_close = "1800s"

    notification_rate_limit {
      period = "300s"
    }
  }

  documentation {
    content   = local.documented["escalation"]
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "event" {
  for_each = local.events

  display_name          = "Renderlane: ${each.key}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = { runbook = each.key }

  conditions {
    display_name = each.value.event

    condition_matched_log {
      filter           = "${local.our_logs} AND jsonPayload.message=\"${each.value.event}\""
      label_extractors = { reason = "EXTRACT(jsonPayload.reason)" }
    }
  }

  alert_strategy {
    auto_close = "1800s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content   = local.documented[each.key]
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.thresholds

  display_name          = "Renderlane: ${each.key}"
  combiner              = "OR"
  severity              = each.key == "key-rotation" ? "WARNING" : "ERROR"
  notification_channels = local.channels
  user_labels           = { runbook = each.key }

  conditions {
    display_name = each.key

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = each.value.duration

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
        group_by_fields      = each.value.group
      }
    }
  }

  documentation {
    content   = local.documented[each.key]
    mime_type = "text/markdown"
  }

  depends_on = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "silence" {
  display_name          = "Renderlane: watch-is-silent"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = { runbook = "watch-is-silent" }

  conditions {
    display_name = "no good answer of watch"

    condition_absent {
      filter   = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"2xx\" AND resource.labels.service_name=\"${google_cloudfunctions2_function.function["watch"].name}\""
      duration = "600s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content   = local.documented["watch-is-silent"]
    mime_type = "text/markdown"
  }
}
