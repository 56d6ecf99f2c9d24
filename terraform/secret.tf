# The Gemini key. Terraform makes the secret, never its value: `gcloud secrets versions add renderlane-gemini-key --data-file=-`.

resource "google_secret_manager_secret" "gemini_key" {
  secret_id           = "renderlane-gemini-key"
  version_destroy_ttl = "604800s"
  deletion_protection = true

  replication {
    auto {}
  }

  # Secret Manager changes nothing by itself: it reminds, by a message that the alert `key-rotation` counts.
  rotation {
    rotation_period    = "${var.key_rotation.days * 86400}s"
    next_rotation_time = var.key_rotation.first_at
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
