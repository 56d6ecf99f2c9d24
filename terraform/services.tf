# The functions that are fed by subscriptions and the schedule: one image, one Cloud Run service and one account each.
# functions-framework is the image's entry point; FUNCTION_TARGET names the function. console.tf has the console.
#
# publishes: the topics its flow writes to; images: what it may do in the bucket; key: whether it is given the Gemini key;
# roles: what else it may do in the project. All max_instances together must fit the platform's quota (quotas.tf): 20 in a new project.

locals {
  functions = {
    intake = {
      concurrency = 80, max_instances = 3, min_instances = var.min_instances.intake, memory_mib = 512
      publishes   = ["pump-kicks", "render-arrivals", "render-results"], images = "none", key = false, roles = []
    }
    # One instance with many requests: a kick meets the running loop inside its own process and just wakes it.
    pump = {
      concurrency = 250, max_instances = 1, min_instances = var.min_instances.pump, memory_mib = 1024
      publishes   = ["pump-kicks", "render-arrivals", "render-releases", "render-results"], images = "none", key = false, roles = []
    }
    render = {
      concurrency   = var.render.concurrency, max_instances = var.render.max_instances
      min_instances = var.min_instances.render, memory_mib = var.render.memory_mib
      publishes     = ["pump-kicks", "render-arrivals", "render-results"], images = "writer", key = true, roles = []
    }
    # It holds a delivery while a picture is fetched and stored, a second or two; memory is for that many pictures at once.
    collect = {
      concurrency   = var.collect.concurrency, max_instances = var.collect.max_instances
      min_instances = var.min_instances.collect, memory_mib = var.collect.memory_mib
      publishes     = ["pump-kicks", "render-results"], images = "writer", key = true, roles = []
    }
    # It tends batches too: reads references, hands them over with the key, stores what comes back.
    watch = {
      concurrency = 10, max_instances = 1, min_instances = 0, memory_mib = 1024
      publishes   = concat(["pump-kicks", "render-arrivals", "render-results", "webhook-deliveries"], var.probe_minutes > 0 ? ["render-requests"] : []), images = "writer", key = true
      roles       = ["roles/cloudquotas.viewer", "roles/monitoring.viewer"]
    }
    bury = {
      concurrency = 10, max_instances = 1, min_instances = 0, memory_mib = 512
      publishes   = ["pump-kicks", "render-arrivals", "render-results", "webhook-deliveries"], images = "reader", key = false, roles = []
    }
    # It waits for the endpoints of tenants: many requests at a time, little work in each.
    deliver = {
      concurrency = 250, max_instances = 2, min_instances = 0, memory_mib = 512
      publishes   = ["webhook-deliveries"], images = "none", key = false, roles = []
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
    RENDERLANE_DEFAULT_BUDGET   = var.default_budget
    RENDERLANE_QUOTA            = var.quota
    RENDERLANE_TIER             = var.billing_tier
    RENDERLANE_MONTHLY_CAP      = var.monthly_cap_usd > 0 ? tostring(var.monthly_cap_usd) : ""
    RENDERLANE_LIVE_QUOTA       = var.live_quota
    RENDERLANE_CAPACITY         = tostring(var.capacity)
    RENDERLANE_PROBE_MINUTES    = var.probe_minutes > 0 ? tostring(var.probe_minutes) : ""
    RENDERLANE_DELIVERIES       = tostring(var.render.concurrency)
    RENDERLANE_GATEWAYS         = join(",", sort(keys(var.gateway_keys)))
    RENDERLANE_FLAG_PROVIDER    = var.flag_provider
    RENDERLANE_BACKGROUND       = var.background
    RENDERLANE_WEBHOOK_URL      = local.has_webhooks ? local.arrive_url : ""
    RENDERLANE_WEBHOOK_AUDIENCE = join(",", var.webhooks.audiences)
    RENDERLANE_WEBHOOK_ISSUER   = join(",", var.webhooks.issuers)
    OTEL_EXPORTER_OTLP_ENDPOINT = var.otlp_endpoint

    RENDERLANE_INTERACTIVE_PER_MINUTE = var.interactive_per_minute > 0 ? tostring(var.interactive_per_minute) : ""
  } : name => value if value != "" }
}

locals {
  telemetry = {
    # Metrics without a location are refused: https://cloud.google.com/stackdriver/docs/reference/telemetry/v1.metrics
    OTEL_RESOURCE_ATTRIBUTES = "cloud.platform=gcp_cloud_run,cloud.region=${var.region},service.namespace=renderlane,service.version=${local.release}"
    # The framework would put Cloud Run's own span id beside our trace id.
    LOG_EXECUTION_ID   = "false"
    RENDERLANE_RELEASE = local.release
  }
  # What runs, in every log line, span, label and revision: the image's digest and, where it is known, the commit.
  image_digest = substr(element(split("@sha256:", var.image), 1), 0, 12)
  release      = join("-", compact([var.commit, local.image_digest]))

  # What each function is given: variables, and secrets by their version.
  plain = { for name, each in local.functions : name => merge(
    local.environment, local.vertex_environment, local.telemetry, { OTEL_SERVICE_NAME = "renderlane-${name}", FUNCTION_TARGET = name }, var.otel,
  ) }
  secrets = { for name, each in local.functions : name => merge(
    each.key && !local.only_vertex ? { GEMINI_API_KEY = { secret = google_secret_manager_secret.gemini_key.secret_id, version = var.gemini_key_version } } : {},
    name == "render" ? { for name, held in var.gateway_keys : "RENDERLANE_GATEWAY_KEY_${name}" => held } : {},
  ) }
  # Functions that take their messages by pull run in a worker pool (pools.tf), the others as services.
  pulling = toset(var.render.delivery == "pull" ? ["render"] : [])
  served  = { for name, each in local.functions : name => each if !contains(local.pulling, name) }
}

resource "google_cloud_run_v2_service" "function" {
  for_each = local.served

  name                 = "renderlane-${each.key}"
  location             = var.region
  ingress              = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  iap_enabled          = false
  invoker_iam_disabled = false
  deletion_protection  = false
  labels               = { release = local.release }

  template {
    service_account                  = google_service_account.function[each.key].email
    timeout                          = "${var.timeout_seconds[each.key]}s"
    max_instance_request_concurrency = each.value.concurrency
    labels                           = { release = local.release }

    scaling {
      min_instance_count = each.value.min_instances
      max_instance_count = each.value.max_instances
    }

    containers {
      image = var.image

      resources {
        limits            = { cpu = "1", memory = "${each.value.memory_mib}Mi" }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      ports {
        container_port = 8080
      }

      # The port opens when the function's flow is imported.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 60

        tcp_socket {
          port = 8080
        }
      }

      dynamic "env" {
        for_each = local.plain[each.key]

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = local.secrets[each.key]

        content {
          name = env.key

          value_source {
            secret_key_ref {
              secret  = env.value.secret
              version = env.value.version
            }
          }
        }
      }
    }
  }

  # All traffic to the newest revision; with a canary, a part of it to that and the rest to the revision that ran before. The pump is one
  # process and cannot be split: it stays with the revision before until the canary has gone well.
  dynamic "traffic" {
    for_each = contains(keys(var.stable_revisions), each.key) ? [1] : []

    content {
      type     = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
      revision = var.stable_revisions[each.key]
      percent  = 100 - (each.key == "pump" ? 0 : var.canary_percent)
    }
  }

  dynamic "traffic" {
    for_each = contains(keys(var.stable_revisions), each.key) && each.key == "pump" ? [] : [1]

    content {
      type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
      percent = contains(keys(var.stable_revisions), each.key) ? var.canary_percent : 100
    }
  }

  # Topics with their schemas first: a function must not publish a field that no revision knows. Indexes first: a query without its
  # index fails until the index is built, which takes longer than a revision.
  depends_on = [
    google_project_service.api,
    google_project_service.vertex,
    google_project_iam_member.vertex,
    google_pubsub_topic.topic,
    google_firestore_index.composite,
    google_firestore_field.field,
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_iam_member.gateway,
  ]
}
