# The functions that are fed by subscriptions and the schedule: one bundle, one account each. console.tf has the console.
#
# publishes: the topics its flow writes to; images: what it may do in the bucket; key: whether it is given the Gemini key;
# roles: what else it may do in the project.

locals {
  functions = {
    intake = {
      concurrency = 80, max_instances = 20, min_instances = var.min_instances.intake, memory_mib = 512
      publishes   = ["pump-kicks", "render-results"], images = "none", key = false, roles = []
    }
    # One instance with many requests: a kick meets the running loop inside its own process and just wakes it.
    pump = {
      concurrency = 250, max_instances = 1, min_instances = var.min_instances.pump, memory_mib = 1024
      publishes   = ["pump-kicks", "render-releases", "render-results"], images = "none", key = false, roles = []
    }
    render = {
      concurrency   = var.render.concurrency, max_instances = var.render.max_instances
      min_instances = var.min_instances.render, memory_mib = var.render.memory_mib
      publishes     = ["pump-kicks", "render-results"], images = "writer", key = true, roles = []
    }
    # It tends batches too: reads references, hands them over with the key, stores what comes back.
    watch = {
      concurrency = 10, max_instances = 1, min_instances = 0, memory_mib = 1024
      publishes   = ["pump-kicks", "render-results"], images = "writer", key = true
      roles       = ["roles/cloudquotas.viewer", "roles/monitoring.viewer"]
    }
    bury = {
      concurrency = 10, max_instances = 2, min_instances = 0, memory_mib = 512
      publishes   = ["pump-kicks", "render-results"], images = "reader", key = false, roles = []
    }
  }

  environment = { for name, value in {
    GOOGLE_CLOUD_PROJECT        = var.project_id
    GOOGLE_GEMINI_BASE_URL      = var.gemini_base_url
    RENDERLANE_STORE            = "firestore://${var.project_id}/${google_firestore_database.this.name}"
    RENDERLANE_TOPICS           = "pubsub://${var.project_id}"
    RENDERLANE_IMAGES           = "gs://${google_storage_bucket.images.name}"
    RENDERLANE_SPOOL            = "gs://${google_storage_bucket.spool.name}"
    RENDERLANE_KEEP_PAID_HOURS  = tostring(var.keep_paid_hours)
    RENDERLANE_REFERENCES       = join(",", [for bucket in sort(var.reference_buckets) : "gs://${bucket}/"])
    RENDERLANE_CATALOGUE        = var.catalogue
    RENDERLANE_QUOTA            = var.quota
    RENDERLANE_LIVE_QUOTA       = var.live_quota
    RENDERLANE_CAPACITY         = tostring(var.capacity)
    RENDERLANE_GATEWAYS         = join(",", sort(keys(var.gateway_keys)))
    RENDERLANE_FLAG_PROVIDER    = var.flag_provider
    OTEL_EXPORTER_OTLP_ENDPOINT = var.otlp_endpoint
  } : name => value if value != "" }
}

resource "google_cloudfunctions2_function" "function" {
  for_each = local.functions

  name     = "renderlane-${each.key}"
  location = var.region

  build_config {
    runtime           = "python311"
    entry_point       = each.key
    docker_repository = google_artifact_registry_repository.builds.id
    service_account   = google_service_account.build.id

    source {
      storage_source {
        bucket = google_storage_bucket_object.bundle.bucket
        object = google_storage_bucket_object.bundle.name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.function[each.key].email
    ingress_settings                 = "ALLOW_INTERNAL_ONLY"
    timeout_seconds                  = var.timeout_seconds[each.key]
    max_instance_count               = each.value.max_instances
    min_instance_count               = each.value.min_instances
    max_instance_request_concurrency = each.value.concurrency
    available_cpu                    = "1"
    available_memory                 = "${each.value.memory_mib}Mi"
    all_traffic_on_latest_revision   = true
    environment_variables            = merge(local.environment, { OTEL_SERVICE_NAME = "renderlane-${each.key}" }, var.otel)

    dynamic "secret_environment_variables" {
      for_each = merge(
        each.value.key ? { GEMINI_API_KEY = { secret = google_secret_manager_secret.gemini_key.secret_id, version = var.gemini_key_version } } : {},
        each.key == "render" ? { for name, held in var.gateway_keys : "RENDERLANE_GATEWAY_KEY_${name}" => held } : {},
      )

      content {
        key        = secret_environment_variables.key
        project_id = var.project_id
        secret     = secret_environment_variables.value.secret
        version    = secret_environment_variables.value.version
      }
    }
  }

  # Topics with their schemas first: a function must not publish a field that no revision knows.
  depends_on = [
    google_project_service.api,
    google_pubsub_topic.topic,
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_iam_member.gateway,
    google_storage_bucket_iam_member.build,
    google_artifact_registry_repository_iam_member.build,
    google_project_iam_member.build_logs,
  ]
}
