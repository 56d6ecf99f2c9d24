# The door for the provider's webhooks: the image's function `arrive`, and the one service here that anybody can call. Unless
# webhooks.public says so, nothing of it exists, and interactions are found by polling.
#
# What stands between it and the world: the signature of each call, judged before its body is read; a body of at most 16 KiB; and the
# number of instances, which bounds what a crowd of strangers can cost. Its account may publish to render-arrivals and keep documents;
# it has neither the Gemini key nor the images.

locals {
  has_webhooks = var.webhooks.public
  arrive_name  = "renderlane-arrive"
  # Cloud Run's deterministic address: the function must know its own, the audience of what it is sent.
  # https://cloud.google.com/run/docs/triggering/https-request#deterministic
  arrive_url = "https://${local.arrive_name}-${data.google_project.this.number}.${var.region}.run.app"
  # As in local.functions.
  arrive = { for name, each in {
    arrive = { publishes = ["render-arrivals"], images = "none", key = false, roles = [] }
  } : name => each if local.has_webhooks }
  # The secret of a static webhook; a dynamic one is signed by Google's own keys.
  webhook_secret = var.webhooks.secret == null || !local.has_webhooks ? {} : { RENDERLANE_WEBHOOK_SECRET = var.webhooks.secret }

  arrive_environment = merge(local.environment, local.telemetry, { OTEL_SERVICE_NAME = local.arrive_name, FUNCTION_TARGET = "arrive" }, var.otel)
}

resource "google_cloud_run_v2_service" "arrive" {
  for_each = local.arrive

  name     = local.arrive_name
  location = var.region
  ingress  = "INGRESS_TRAFFIC_ALL"
  # Not a grant to allUsers, which an organisation's policy may forbid: the signature is the check.
  iap_enabled          = false
  invoker_iam_disabled = true
  deletion_protection  = false
  labels               = { release = local.release }

  template {
    service_account                  = google_service_account.function[each.key].email
    timeout                          = "${var.timeout_seconds.arrive}s"
    max_instance_request_concurrency = 80
    labels                           = { release = local.release }

    scaling {
      max_instance_count = var.webhooks.max_instances
    }

    containers {
      image = var.image

      resources {
        limits            = { cpu = "1", memory = "512Mi" }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      ports {
        container_port = 8080
      }

      dynamic "env" {
        for_each = local.arrive_environment

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = local.webhook_secret

        content {
          name = env.key

          value_source {
            secret_key_ref {
              secret  = env.value.name
              version = env.value.version
            }
          }
        }
      }
    }
  }

  depends_on = [google_project_service.api, google_pubsub_topic.topic, google_secret_manager_secret_iam_member.webhook]
}

# The secret exists already: `renderlane doctor` and docs/webhooks.md say how it is made.
resource "google_secret_manager_secret_iam_member" "webhook" {
  for_each = local.webhook_secret

  secret_id = each.value.name
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function["arrive"].member
}
