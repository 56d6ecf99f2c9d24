# One alert for each heading of the runbook but `succeeded` and `cancelled`. The key of an entry is the heading; a test compares both
# with the code. An escalation and an event alert at once; ends of attempts and requests where many are alike.

locals {
  # What an event `escalation` may name as its runbook.
  escalations = {
    batch-strange-answers  = "A batch returned unreadable lines or lines with unknown keys; they may be billed."
    batch-stuck            = "A batch has not changed for 12 hours, or could not be submitted for one hour."
    credential             = "The Gemini API rejects the key: nothing renders until it is replaced."
    dead-letter            = "A message repeatedly crashed its function and was given up after one more try."
    monthly-cap            = "The worker has spent most of what the billing account may spend this month."
    no-balance             = "No balance, no billing or a limit of 0: the model is closed except for probes."
    no-route               = "Requests wait because every route is unavailable."
    paid-and-nothing-came  = "Calls on a route are charged but return no readable image; the route is closed except for probes."
    paid-image-waits       = "An image that is paid for could not be stored; it is kept and storing is retried every minute."
    permission             = "The project may not make this call."
    release-not-handed-out = "A slot was granted but its release could not be published."
  }

  # Events that have a heading of their own. also: what else must be so; extract: the field that the alert shows.
  events = {
    bad-message           = { event = "bad_message", also = "", extract = "reason", says = "An internal topic received a message that none of our functions sent." }
    cost_over_estimate    = { event = "cost_over_estimate", also = "", extract = "route", says = "An attempt cost more than its estimate." }
    delivery-crashed      = { event = "delivery_crashed", also = "", extract = "function", says = "A function crashed on a delivery; the log line has the stack trace." }
    document-skipped      = { event = "document_skipped", also = "", extract = "document", says = "A document cannot be read or written; it is left out until it is repaired." }
    duplicate             = { event = "attempt_ended", also = " AND jsonPayload.outcome=\"succeeded\" AND jsonPayload.effect=\"booked\"", extract = "route", says = "A paid image arrived after its request had ended." }
    live-quota-unreadable = { event = "live_quota_unreadable", also = "", extract = "reason", says = "Live limits cannot be read; the last good values stay in force." }
    webhook-unverified    = { event = "webhook_unverified", also = "", extract = "reason", says = "Webhooks cannot be checked: the provider's keys cannot be fetched. Polling goes on." }
    webhook-unexpected    = { event = "webhook_refused", also = " AND jsonPayload.why=(\"issuer\" OR \"audience\" OR \"contradicted\")", extract = "detail", says = "A webhook that the provider signed is refused for its issuer, its audience or its body." }
    probe-failed          = { event = "probe_failed", also = "", extract = "status", says = "A request of our own did not end with an image." }
    pump-tick-failed      = { event = "pump_tick_failed", also = "", extract = "reason", says = "A tick of the pump failed; the next one is tried, but no request starts while they all fail." }
  }

  # Outcomes of attempts and of requests, counted over ten minutes against var.failure_alerts.
  attempts_ending = toset([
    "background_refused", "balance", "connection", "connection_lost", "crashed", "image_store", "invalid_request", "lane_unsupported", "late",
    "malformed_answer", "model_gone", "no_image", "not_finished", "overload", "quota_day", "quota_minute", "quota_spend", "quota_unknown", "reference",
    "refused", "server_error", "timeout",
  ])
  requests_ending = toset(["budget", "cost_cap", "expired", "unroutable"])

  # Thresholds over metrics of the platform.
  thresholds = {
    messages-wait = {
      # render-releases is not among them: a delivery there is held for the whole call, up to 540 s for a 4K image.
      says      = "The oldest message has waited for five minutes: its function does not answer."
      filter    = "resource.type=\"pubsub_subscription\" AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.labels.subscription_id=monitoring.regex.full_match(\"render-(requests-intake|arrivals-collect|dead-letters-bury|results-deliver)\")"
      aligner   = "ALIGN_MAX", reducer = "REDUCE_MAX", group = ["resource.label.subscription_id"]
      threshold = 300, duration = "0s", period = "60s", severity = "ERROR"
    }
    function-fails = {
      says      = "A function answers with 5xx: it could not record a step, and the message is delivered again."
      filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"5xx\" AND resource.labels.service_name=monitoring.regex.full_match(\"renderlane-.*\")"
      aligner   = "ALIGN_RATE", reducer = "REDUCE_SUM", group = ["resource.label.service_name"]
      threshold = 0.05, duration = "300s", period = "60s", severity = "ERROR"
    }
    function-saturated = {
      says      = "Cloud Run answers deliveries with 429: no instance is free, or the region's quota is used up."
      filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code=\"429\" AND resource.labels.service_name=monitoring.regex.full_match(\"renderlane-.*\")"
      aligner   = "ALIGN_RATE", reducer = "REDUCE_SUM", group = ["resource.label.service_name"]
      threshold = 0.05, duration = "300s", period = "60s", severity = "ERROR"
    }
    messages-given-up = {
      says      = "Pub/Sub has given up on messages and moved them to render-dead-letters."
      filter    = "resource.type=\"pubsub_subscription\" AND metric.type=\"pubsub.googleapis.com/subscription/dead_letter_message_count\""
      aligner   = "ALIGN_DELTA", reducer = "REDUCE_SUM", group = ["resource.label.subscription_id"]
      threshold = 0, duration = "0s", period = "60s", severity = "ERROR"
    }
    key-rotation = {
      says      = "The Gemini key is due for rotation."
      filter    = "resource.type=\"pubsub_subscription\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.key_rotation.name}\""
      aligner   = "ALIGN_MAX", reducer = "REDUCE_MAX", group = []
      threshold = 0, duration = "0s", period = "60s", severity = "WARNING"
    }
    delivery-deferred = {
      says      = "A function answered more than 20 deliveries with an error within five minutes: it could not record a step."
      filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"${local.log_metric}/deferred\""
      aligner   = "ALIGN_DELTA", reducer = "REDUCE_SUM", group = ["metric.label.function"]
      threshold = 20, duration = "0s", period = "300s", severity = "ERROR"
    }
    rejected = {
      says      = "More than ${var.failure_alerts.requests} invalid requests within ten minutes."
      filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"${local.log_metric}/rejected\""
      aligner   = "ALIGN_DELTA", reducer = "REDUCE_SUM", group = []
      threshold = var.failure_alerts.requests, duration = "0s", period = "600s", severity = "WARNING"
    }
  }
  endings = merge([
    for metric, each in {
      attempts = { outcomes = local.attempts_ending, threshold = var.failure_alerts.attempts }
      finished = { outcomes = local.requests_ending, threshold = var.failure_alerts.requests }
      } : {
      for outcome in each.outcomes : outcome => {
        says      = "More than ${each.threshold} ${metric == "finished" ? "requests" : "attempts"} within ten minutes end with `${outcome}`."
        filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"${local.log_metric}/${metric}\" AND metric.labels.outcome=\"${outcome}\""
        aligner   = "ALIGN_DELTA", reducer = "REDUCE_SUM", group = []
        threshold = each.threshold, duration = "0s", period = "600s", severity = "WARNING"
      }
    }
  ]...)

  # What alerts as soon as it is logged.
  logged = merge(
    { for heading, says in local.escalations : heading => {
      says   = says, severity = "CRITICAL", period = "300s", extract = "what", shown = "escalation: ${heading}"
      filter = "jsonPayload.message=\"escalation\" AND jsonPayload.runbook=\"${heading}\""
    } },
    { for heading, each in local.events : heading => {
      says   = each.says, severity = "WARNING", period = "3600s", extract = each.extract, shown = each.event
      filter = "jsonPayload.message=\"${each.event}\"${each.also}"
    } },
    # All that escalates under a heading that is not listed above, so that none is missed.
    { escalation = {
      says     = "An escalation names a heading that has no alert of its own."
      filter   = "jsonPayload.message=\"escalation\" AND NOT jsonPayload.runbook=(${join(" OR ", [for each in keys(local.escalations) : "\"${each}\""])})"
      severity = "CRITICAL", period = "300s", extract = "what", shown = "escalation under an unlisted heading"
    } },
  )

  documented = { for heading, says in merge(
    { for heading, each in local.logged : heading => each.says },
    { for heading, each in merge(local.thresholds, local.endings) : heading => each.says },
    { watch-is-silent = "watch has not completed for ten minutes: live limits, lapsed leases and deadlines are not handled." },
  ) : heading => "${says}\n\nWhat to do: ${local.runbook_url}#${heading}" }
}

resource "google_monitoring_alert_policy" "logged" {
  for_each = local.logged

  display_name          = "Renderlane: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = { runbook = each.key }

  conditions {
    display_name = each.value.shown

    condition_matched_log {
      filter           = "${local.our_logs} AND ${each.value.filter}"
      label_extractors = { (each.value.extract) = "EXTRACT(jsonPayload.${each.value.extract})" }
    }
  }

  alert_strategy {
    auto_close = "1800s"

    notification_rate_limit {
      period = each.value.period
    }
  }

  documentation {
    content   = local.documented[each.key]
    mime_type = "text/markdown"
    # One line for Slack, a pager or a mail's subject; the API takes 255 bytes.
    subject = substr("Renderlane ${lower(each.value.severity)}: ${split("\n", local.documented[each.key])[0]}", 0, 255)
  }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = merge(local.thresholds, local.endings)

  display_name          = "Renderlane: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = { runbook = each.key }

  # With a worker pool, what is counted in log lines comes from two kinds of resource; any of them alerts.
  dynamic "conditions" {
    for_each = strcontains(each.value.filter, local.log_metric) ? local.log_resources : ["its own"]

    content {
      display_name = conditions.key == 0 ? each.key : "${each.key}, of worker pools"

      condition_threshold {
        filter          = conditions.value == "its own" ? each.value.filter : replace(each.value.filter, "cloud_run_revision", conditions.value)
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.threshold
        duration        = each.value.duration

        aggregations {
          alignment_period     = each.value.period
          per_series_aligner   = each.value.aligner
          cross_series_reducer = each.value.reducer
          group_by_fields      = each.value.group
        }
      }
    }
  }

  # A metric of log lines stops when they stop; without this the incident stays open for days, and the next one notifies nobody.
  alert_strategy {
    auto_close = "1800s"
  }

  documentation {
    content   = local.documented[each.key]
    mime_type = "text/markdown"
    # One line for Slack, a pager or a mail's subject; the API takes 255 bytes.
    subject = substr("Renderlane ${lower(each.value.severity)}: ${split("\n", local.documented[each.key])[0]}", 0, 255)
  }

  # A condition over a metric that does not exist yet is refused.
  depends_on = [google_project_service.api, google_logging_metric.event]
}

resource "google_monitoring_alert_policy" "silence" {
  display_name          = "Renderlane: watch-is-silent"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = { runbook = "watch-is-silent" }

  conditions {
    display_name = "no successful run of watch"

    condition_absent {
      filter   = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"2xx\" AND resource.labels.service_name=\"${google_cloud_run_v2_service.function["watch"].name}\""
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
