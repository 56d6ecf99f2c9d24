# What an SRE looks at first: what waits, what fails, what it costs. Counts are ALIGN_DELTA over 60 s: ALIGN_RATE would be per second.

locals {
  tiles = [
    { title = "Finished a minute, by status", metric = "${local.log_metric}/finished", resource = "cloud_run_revision", group = "metric.label.status", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM" },
    { title = "Attempts a minute, by outcome", metric = "${local.log_metric}/attempts", resource = "cloud_run_revision", group = "metric.label.outcome", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM" },
    { title = "Latency of attempts, 95th percentile, ms", metric = "${local.log_metric}/latency_ms", resource = "cloud_run_revision", group = "metric.label.route", aligner = "ALIGN_PERCENTILE_95", reducer = "REDUCE_MAX" },
    { title = "Cost of a request, mean, micro-dollars", metric = "${local.log_metric}/cost_micros", resource = "cloud_run_revision", group = "metric.label.status", aligner = "ALIGN_DELTA", reducer = "REDUCE_MEAN" },
    { title = "Escalations a minute, by heading", metric = "${local.log_metric}/escalations", resource = "cloud_run_revision", group = "metric.label.runbook", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM" },
    { title = "Calendars closed a minute, by model", metric = "${local.log_metric}/closed", resource = "cloud_run_revision", group = "metric.label.model", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM" },
    { title = "Age of the oldest message, s", metric = "pubsub.googleapis.com/subscription/oldest_unacked_message_age", resource = "pubsub_subscription", group = "resource.label.subscription_id", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
    { title = "Messages not yet acknowledged", metric = "pubsub.googleapis.com/subscription/num_undelivered_messages", resource = "pubsub_subscription", group = "resource.label.subscription_id", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
    { title = "Dead letters a minute, by subscription", metric = "pubsub.googleapis.com/subscription/dead_letter_message_count", resource = "pubsub_subscription", group = "resource.label.subscription_id", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM" },
    { title = "Requests that wait again a minute, by reason", metric = "${local.log_metric}/requeued", resource = "cloud_run_revision", group = "metric.label.reason", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM" },
    { title = "Answers of functions a minute, by class", metric = "run.googleapis.com/request_count", resource = "cloud_run_revision", group = "metric.label.response_code_class", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM" },
    { title = "Instances, by function", metric = "run.googleapis.com/container/instance_count", resource = "cloud_run_revision", group = "resource.label.service_name", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM" },
  ]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName = "Renderlane"
    mosaicLayout = {
      columns = 12
      tiles = [for at, tile in local.tiles : {
        xPos = (at % 2) * 6, yPos = floor(at / 2) * 4, width = 6, height = 4
        widget = {
          title = tile.title
          xyChart = {
            dataSets = [{
              plotType = "LINE"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = "metric.type=\"${tile.metric}\" resource.type=\"${tile.resource}\""
                  aggregation = {
                    alignmentPeriod    = "60s", perSeriesAligner = tile.aligner
                    crossSeriesReducer = tile.reducer, groupByFields = [tile.group]
                  }
                }
              }
            }]
          }
        }
      }]
    }
  })

  depends_on = [google_logging_metric.event]
}
