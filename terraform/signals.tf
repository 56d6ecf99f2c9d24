# What the worker's own metrics show, where they are sent (var.otlp_endpoint): a dashboard, and two alerts on what users feel before an
# SLO burns. The Telemetry API keeps the names of metrics and labels with their dots, so PromQL has them in braces and quotes:
# https://docs.cloud.google.com/stackdriver/docs/otlp-metrics/overview. dashboards/signals.json is written by
# `python -m scripts.dashboards`, from the same source as the dashboard for Grafana.

locals {
  signals = {
    queue-is-old = {
      says     = "An interactive request has waited for more than ${var.signals.interactive_wait_s} s, for five minutes."
      query    = "max({\"renderlane.queue.age\", \"renderlane.priority\"=\"interactive\"}) > ${var.signals.interactive_wait_s}"
      severity = "ERROR"
    }
    attempts-fail = {
      says     = "More than ${var.signals.failing_share * 100} % of the attempts on a route have failed, for five minutes."
      query    = "sum by (\"renderlane.lane\", \"renderlane.model\") (rate({\"renderlane.renders\", \"renderlane.outcome\"!~\"succeeded|refused|quota_.*|late\"}[5m])) / sum by (\"renderlane.lane\", \"renderlane.model\") (rate({\"renderlane.renders\"}[5m])) > ${var.signals.failing_share}"
      severity = "ERROR"
    }
  }
}

resource "google_monitoring_dashboard" "signals" {
  dashboard_json = file("${path.module}/dashboards/signals.json")
  depends_on     = [google_project_service.api]
}

resource "google_monitoring_alert_policy" "signal" {
  for_each = local.signals

  display_name          = "Renderlane: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = { runbook = each.key }

  conditions {
    display_name = each.key

    condition_prometheus_query_language {
      query               = each.value.query
      duration            = "300s"
      evaluation_interval = "60s"
      # On a first apply no worker has sent the metric yet.
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = "1800s"
  }

  documentation {
    content   = "${each.value.says}\n\nWhat to do: ${local.runbook_url}#${each.key}"
    mime_type = "text/markdown"
    subject   = "Renderlane ${lower(each.value.severity)}: ${each.value.says}"
  }

  depends_on = [google_project_service.api]
}
