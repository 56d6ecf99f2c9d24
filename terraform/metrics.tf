# Log-based metrics of the events in shared/core/signals.py.

locals {
  our_logs = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"^renderlane-\""
  counted = {
    escalations = { event = "escalation", labels = ["runbook"] }
    attempts    = { event = "attempt_ended", labels = ["outcome", "route", "http_status"] }
    finished    = { event = "request_finished", labels = ["status", "outcome"] }
    rejected    = { event = "request_rejected", labels = [] }
    requeued    = { event = "request_requeued", labels = ["reason"] }
    closed      = { event = "calendar_closed", labels = ["model", "why"] }
  }
  # value: the field that is measured.
  measured = {
    cost_micros = { event = "request_finished", value = "cost_micros", labels = ["status"] }
    latency_ms  = { event = "attempt_ended", value = "latency_ms", labels = ["outcome", "route"] }
  }
}

resource "google_logging_metric" "counted" {
  for_each = local.counted

  name             = "renderlane/${each.key}"
  description      = "Events ${each.value.event}."
  filter           = "${local.our_logs} AND jsonPayload.message=\"${each.value.event}\""
  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    dynamic "labels" {
      for_each = each.value.labels

      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "measured" {
  for_each = local.measured

  name             = "renderlane/${each.key}"
  description      = "${each.value.value} of events ${each.value.event}."
  filter           = "${local.our_logs} AND jsonPayload.message=\"${each.value.event}\""
  value_extractor  = "EXTRACT(jsonPayload.${each.value.value})"
  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"

    dynamic "labels" {
      for_each = each.value.labels

      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }

  bucket_options {
    exponential_buckets {
      num_finite_buckets = 40
      growth_factor      = 1.5
      scale              = 10
    }
  }

  depends_on = [google_project_service.api]
}
