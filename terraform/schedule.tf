# Once a minute: a kick for the pump, and a run of watch.

resource "google_cloud_scheduler_job" "kick" {
  name        = "renderlane-kick"
  description = "Wakes the pump."
  region      = var.region
  schedule    = "* * * * *"
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.topic["pump-kicks"].id
    data       = base64encode(jsonencode({ queues = [] }))
  }

  depends_on = [google_project_service.api]
}

resource "google_cloud_scheduler_job" "watch" {
  name             = "renderlane-watch"
  description      = "Handles live limits, lapsed leases, passed deadlines and unannounced results."
  region           = var.region
  schedule         = "* * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "${var.timeout_seconds.watch}s"

  # The next minute's call is the repetition.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = google_cloud_run_v2_service.function["watch"].uri
    body        = base64encode("{}")
    headers     = { "Content-Type" = "application/json" }

    oidc_token {
      service_account_email = google_service_account.caller["schedule"].email
      audience              = google_cloud_run_v2_service.function["watch"].uri
    }
  }
}
