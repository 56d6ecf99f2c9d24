# Where the image is built and kept. scripts/deploy hands the bundle to Cloud Build once; every service runs that image by its digest.

resource "google_storage_bucket" "source" {
  name                        = "${var.project_id}-renderlane-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # What was built is in the registry; the source is in git.
  lifecycle_rule {
    condition {
      age = 30
    }
    action {
      type = "Delete"
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_artifact_registry_repository" "images" {
  location      = var.region
  repository_id = "renderlane"
  format        = "DOCKER"
  description   = "Container images of the worker, one per release. Earlier ones are kept for rollback."

  # A tag names one image for good: what was tested is what runs.
  docker_config {
    immutable_tags = true
  }

  cleanup_policies {
    id     = "keep-twenty"
    action = "KEEP"

    most_recent_versions {
      keep_count = 20
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "7776000s"
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}

resource "google_artifact_registry_repository_iam_member" "build" {
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

resource "google_project_iam_member" "build_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}
