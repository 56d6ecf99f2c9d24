# Log-based metrics of the events in shared/core/observability/events.py.

locals {
  # Of services and of worker pools alike.
  our_logs = "((resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"^renderlane-\") OR (resource.type=\"cloud_run_worker_pool\" AND resource.labels.worker_pool_name=~\"^renderlane-\"))"
  # A metric of log lines belongs to the resource that wrote them; a condition looks at one.
  log_resources = length(local.pulling) == 0 ? ["cloud_run_revision"] : ["cloud_run_revision", "cloud_run_worker_pool"]
  log_metric    = "logging.googleapis.com/user/renderlane"
  # value: the field that is measured; null where events are counted.
  events_measured = {
    escalations = { event = "escalation", value = null, labels = ["runbook"] }
    attempts    = { event = "attempt_ended", value = null, labels = ["outcome", "route", "http_status"] }
    finished    = { event = "request_finished", value = null, labels = ["status", "outcome"] }
    rejected    = { event = "request_rejected", value = null, labels = [] }
    requeued    = { event = "request_requeued", value = null, labels = ["reason"] }
    deferred    = { event = "delivery_deferred", value = null, labels = ["function", "http_status"] }
    crashed     = { event = "delivery_crashed", value = null, labels = ["function"] }
    webhooks    = { event = "webhook_taken", value = null, labels = ["event", "way", "effect"] }
    unsigned    = { event = "webhook_refused", value = null, labels = ["why"] }
    closed      = { event = "calendar_closed", value = null, labels = ["model", "why"] }
    cost_micros = { event = "request_finished", value = "cost_micros", labels = ["status"] }
    latency_ms  = { event = "attempt_ended", value = "latency_ms", labels = ["outcome", "route"] }
  }
}

resource "google_logging_metric" "event" {
  for_each = local.events_measured

  name             = "renderlane/${each.key}"
  description      = each.value.value == null ? "Events ${each.value.event}." : "${each.value.value} of events ${each.value.event}."
  filter           = "${local.our_logs} AND jsonPayload.message=\"${each.value.event}\""
  value_extractor  = each.value.value == null ? null : "EXTRACT(jsonPayload.${each.value.value})"
  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = each.value.value == null ? "INT64" : "DISTRIBUTION"

    dynamic "labels" {
      for_each = each.value.labels

      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }

  dynamic "bucket_options" {
    for_each = each.value.value == null ? [] : [1]

    content {
      exponential_buckets {
        num_finite_buckets = 40
        growth_factor      = 1.5
        scale              = 10
      }
    }
  }

  depends_on = [google_project_service.api]
}
