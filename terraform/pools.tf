# Functions that pull (var.render.delivery): the same image, account and settings as a service, without an address.
#
# Pull has no push window, no back-off of the whole subscription and no 429: right where a delivery is held for a whole call. Its price
# is an instance that never sleeps. https://cloud.google.com/run/docs/deploy-worker-pools

resource "google_cloud_run_v2_worker_pool" "function" {
  for_each = local.pulling

  name                = "renderlane-${each.key}"
  location            = var.region
  deletion_protection = false
  labels              = { release = local.release }

  # It scales by processor time, and never to nothing: nobody would pull.
  scaling {
    scaling_mode       = "AUTOMATIC"
    min_instance_count = max(1, local.functions[each.key].min_instances)
    max_instance_count = local.functions[each.key].max_instances
  }

  template {
    service_account = google_service_account.function[each.key].email
    labels          = { release = local.release }

    containers {
      image   = var.image
      command = ["python"]
      args    = ["-m", "functions.pull", each.key]

      resources {
        limits = { cpu = "1", memory = "${local.functions[each.key].memory_mib}Mi" }
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

  depends_on = [
    google_project_service.api,
    google_pubsub_topic.topic,
    google_firestore_index.composite,
    google_firestore_field.field,
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_iam_member.gateway,
    google_project_service.vertex,
    google_project_iam_member.vertex,
  ]
}

# Who pulls may take messages off its own subscription, and no other.
resource "google_pubsub_subscription_iam_member" "puller" {
  for_each = { for name, each in local.subscriptions : name => each.function if contains(local.pulling, each.function) }

  subscription = google_pubsub_subscription.push[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.function[each.value].member
}
