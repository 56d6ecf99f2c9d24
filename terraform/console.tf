# The console: the image's function `console` behind Identity-Aware Proxy (IAP), for one named group. Without a group nothing of it exists.
#
# IAP looks who asks and calls the service as its own agent, the only one that may; the function checks IAP's signature once more
# against RENDERLANE_CONSOLE_AUDIENCE, so that no other way in is trusted.

locals {
  has_console  = var.console_group != ""
  console_name = "renderlane-console"
  # The service's address as Cloud Run makes it of name, project and region: known before the service is there.
  console_url = "https://${local.console_name}-${data.google_project.this.number}.${var.region}.run.app"
  runbook_url = var.runbook_url != "" ? var.runbook_url : local.has_console ? "${local.console_url}/console/runbook" : "RUNBOOK.md"
  # As in local.functions: what it publishes (kicks after a flag, revived and cancelled requests), what it may do with images.
  console = { for name, each in {
    console = { publishes = ["pump-kicks", "render-requests"], images = "reader", key = false, roles = [] }
  } : name => each if local.has_console }

  console_environment = merge(
    local.environment,
    local.telemetry,
    {
      OTEL_SERVICE_NAME           = local.console_name
      FUNCTION_TARGET             = "console"
      RENDERLANE_CONSOLE_AUDIENCE = "/projects/${data.google_project.this.number}/locations/${var.region}/services/${local.console_name}"
    },
    var.otel,
  )
}

resource "google_cloud_run_v2_service" "console" {
  for_each = local.console

  name                 = local.console_name
  location             = var.region
  ingress              = "INGRESS_TRAFFIC_ALL"
  iap_enabled          = true
  invoker_iam_disabled = false
  deletion_protection  = false
  labels               = { release = local.release }

  template {
    service_account                  = google_service_account.function[each.key].email
    timeout                          = "${var.timeout_seconds.console}s"
    max_instance_request_concurrency = 40

    scaling {
      max_instance_count = 2
    }

    containers {
      image = var.image

      resources {
        limits            = { cpu = "1", memory = "512Mi" }
        startup_cpu_boost = true
      }

      ports {
        container_port = 8080
      }

      dynamic "env" {
        for_each = local.console_environment

        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  depends_on = [google_project_service.api, google_pubsub_topic.topic]
}

# Who may pass: the group. Who may call: IAP's own agent, and nobody else.
resource "google_iap_web_cloud_run_service_iam_member" "console" {
  for_each = google_cloud_run_v2_service.console

  location               = each.value.location
  cloud_run_service_name = each.value.name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = "group:${var.console_group}"
}

resource "google_cloud_run_service_iam_member" "console" {
  for_each = google_cloud_run_v2_service.console

  location = each.value.location
  service  = each.value.name
  role     = "roles/run.invoker"
  member   = local.iap_agent
}
