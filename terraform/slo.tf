# What we promise, and when the promise burns. The alerts of alerts.tf name causes; these name what a user feels.
#
# A request ends well when it has its image or the provider refused it: a refusal is an answer. Expired, failed and cancelled by budget
# count against us; a request that its caller cancels counts for neither side.

locals {
  finished   = "metric.type=\"${local.log_metric}/finished\" resource.type=${length(local.log_resources) == 1 ? "\"cloud_run_revision\"" : "one_of(${join(",", [for each in local.log_resources : "\"${each}\""])})"}"
  ended_well = "metric.labels.status=monitoring.regex.full_match(\"succeeded|refused\")"
  ended_ill  = "metric.labels.status=monitoring.regex.full_match(\"failed|expired\")"
  # Multi-window burn rates: both windows must burn, so an alert comes fast and goes when the burning ends.
  # https://sre.google/workbook/alerting-on-slos/
  burns = {
    slo-fast-burn = { rate = 14.4, long = "3600s", short = "300s", severity = "CRITICAL", says = "2 % of a month's error budget burns in an hour." }
    slo-slow-burn = { rate = 6, long = "21600s", short = "1800s", severity = "ERROR", says = "5 % of a month's error budget burns in six hours." }
  }
}

resource "google_monitoring_custom_service" "renderlane" {
  service_id   = "renderlane"
  display_name = "Renderlane"
  depends_on   = [google_project_service.api]
}

resource "google_monitoring_slo" "ends_well" {
  service             = google_monitoring_custom_service.renderlane.service_id
  slo_id              = "requests-end-well"
  display_name        = "${var.slo.ends_well * 100} % of requests end with an image or a refusal"
  goal                = var.slo.ends_well
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      good_service_filter = "${local.finished} ${local.ended_well}"
      bad_service_filter  = "${local.finished} ${local.ended_ill}"
    }
  }

  depends_on = [google_logging_metric.event]
}

resource "google_monitoring_alert_policy" "burn" {
  for_each = local.burns

  display_name          = "Renderlane: ${each.key}"
  combiner              = "AND"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = { runbook = each.key }

  dynamic "conditions" {
    for_each = [each.value.long, each.value.short]

    content {
      display_name = "burn rate over ${conditions.value}"

      condition_threshold {
        filter          = "select_slo_burn_rate(\"${google_monitoring_slo.ends_well.name}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.rate
        duration        = "0s"
      }
    }
  }

  alert_strategy {
    auto_close = "1800s"
  }

  documentation {
    content   = "${each.value.says}\n\nWhat to do: ${local.runbook_url}#${each.key}"
    mime_type = "text/markdown"
  }
}
