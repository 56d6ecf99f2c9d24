# The source that scripts/bundle made, named by its content. Earlier bundles stay in the bucket: they are the way back. None is
# deleted by age, or the bundle of a system that nobody deploys for a year would go while it runs.

locals {
  bundle_digest = filesha256(var.bundle)
}

resource "google_storage_bucket" "source" {
  name                        = "${var.project_id}-renderlane-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket_object" "bundle" {
  bucket          = google_storage_bucket.source.name
  name            = "bundles/${local.bundle_digest}.zip"
  source          = var.bundle
  content_type    = "application/zip"
  deletion_policy = "ABANDON"
}

resource "google_artifact_registry_repository" "builds" {
  location      = var.region
  repository_id = "renderlane"
  format        = "DOCKER"
  description   = "The functions' built images."

  cleanup_policies {
    id     = "keep-ten"
    action = "KEEP"

    most_recent_versions {
      keep_count = 10
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}

# Cloud Build fetches the source from the Functions API's own copy, in a bucket that does not exist before the first function.
# https://cloud.google.com/functions/docs/building; hashicorp/terraform-provider-google#20571 has the error without this grant.
resource "google_project_iam_member" "build_sources" {
  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member

  condition {
    title       = "functions-sources-only"
    description = "The Functions API's copies of the source, and no other bucket."
    expression  = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${var.region}\")"
  }
}

resource "google_artifact_registry_repository_iam_member" "build" {
  location   = var.region
  repository = google_artifact_registry_repository.builds.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

resource "google_project_iam_member" "build_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}
