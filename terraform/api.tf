# The HTTP API: the image's function `api` as a private service, for the accounts that `api_callers` names. Without one nothing of it exists.
#
# Cloud Run checks the caller's identity token and the role; the function reads the account from it and knows its tenants. So the service
# is never open to everybody: it would then be handed tokens that nobody has checked.

locals {
  has_api      = length(var.api_callers) > 0
  api_name     = "renderlane-api"
  api_audience = coalesce(var.api_audience, "https://${local.api_name}.${var.project_id}")
  # As in local.functions. It publishes to the same topic as every publisher, and signs addresses of images that it may read.
  api = { for name, each in {
    api = { publishes = ["render-requests"], images = "reader", key = false, roles = [] }
  } : name => each if local.has_api }

  api_environment = merge(
    local.environment,
    local.telemetry,
    {
      OTEL_SERVICE_NAME       = local.api_name
      FUNCTION_TARGET         = "api"
      RENDERLANE_API_AUDIENCE = local.api_audience
      RENDERLANE_API_CALLERS  = jsonencode({ for member, tenants in var.api_callers : element(split(":", member), 1) => tenants })
    },
    length(var.api_origins) == 0 ? {} : { RENDERLANE_API_ORIGINS = join(",", var.api_origins) },
    var.otel,
  )
}

resource "google_cloud_run_v2_service" "api" {
  for_each = local.api

  name                 = local.api_name
  location             = var.region
  ingress              = "INGRESS_TRAFFIC_ALL"
  iap_enabled          = false
  invoker_iam_disabled = false
  custom_audiences     = [local.api_audience]
  deletion_protection  = false
  labels               = { release = local.release }

  template {
    service_account                  = google_service_account.function[each.key].email
    timeout                          = "${var.timeout_seconds.api}s"
    max_instance_request_concurrency = 250
    labels                           = { release = local.release }

    scaling {
      min_instance_count = var.min_instances.api
      max_instance_count = 10
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
        for_each = local.api_environment

        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  depends_on = [
    google_project_service.api,
    google_pubsub_topic.topic,
    google_firestore_index.composite,
    google_firestore_field.field,
  ]
}

# Who may call: the accounts that have tenants, and nobody else.
resource "google_cloud_run_service_iam_member" "api" {
  for_each = toset(keys(var.api_callers))

  location = google_cloud_run_v2_service.api["api"].location
  service  = google_cloud_run_v2_service.api["api"].name
  role     = "roles/run.invoker"
  member   = each.key

  # A service that is created again has lost its callers.
  lifecycle {
    replace_triggered_by = [google_cloud_run_v2_service.api["api"].id]
  }
}

# It signs addresses of images as itself, without a key file (iam.serviceAccounts.signBlob).
resource "google_service_account_iam_member" "api_signs" {
  for_each = local.api

  service_account_id = google_service_account.function[each.key].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.function[each.key].member
}
