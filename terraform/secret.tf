# The Gemini key. Terraform makes the secret, never its value: `gcloud secrets versions add renderlane-gemini-key --data-file=-`.

resource "google_secret_manager_secret" "gemini_key" {
  secret_id           = "renderlane-gemini-key"
  version_destroy_ttl = "604800s"
  deletion_protection = true

  # Cannot be changed later. An organisation that allows only some locations refuses `auto`: name them in secret_locations.
  replication {
    dynamic "auto" {
      for_each = length(var.secret_locations) == 0 ? [1] : []

      content {}
    }

    dynamic "user_managed" {
      for_each = length(var.secret_locations) == 0 ? [] : [1]

      content {
        dynamic "replicas" {
          for_each = sort(var.secret_locations)

          content {
            location = replicas.value
          }
        }
      }
    }
  }

  # Secret Manager changes nothing by itself: it reminds, by a message on a topic. The subscription takes only SECRET_ROTATE: the
  # same topic gets every change of the secret. https://cloud.google.com/secret-manager/docs/event-notifications
  rotation {
    rotation_period    = "${var.key_rotation.days * 86400}s"
    next_rotation_time = coalesce(var.key_rotation.first_at, timeadd(plantimestamp(), "${var.key_rotation.days * 24}h"))
  }

  topics {
    name = google_pubsub_topic.key_rotation.id
  }

  lifecycle {
    ignore_changes = [rotation[0].next_rotation_time]
  }

  depends_on = [google_pubsub_topic_iam_member.key_rotation]
}

resource "google_pubsub_topic" "key_rotation" {
  name                       = "renderlane-key-rotation"
  message_retention_duration = "604800s"
  depends_on                 = [google_project_service.api]
}

resource "google_pubsub_topic_iam_member" "key_rotation" {
  topic  = google_pubsub_topic.key_rotation.name
  role   = "roles/pubsub.publisher"
  member = local.secret_agent
}

# What is due for rotation waits here until somebody has rotated the key and acknowledged it; the alert `key-rotation` counts it.
resource "google_pubsub_subscription" "key_rotation" {
  name                       = "renderlane-key-rotation"
  topic                      = google_pubsub_topic.key_rotation.id
  filter                     = "attributes.eventType = \"SECRET_ROTATE\""
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}
