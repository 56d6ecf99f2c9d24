# The images. Nothing here can be made public, and what was stored is not overwritten.

resource "google_storage_bucket" "images" {
  name                        = "${var.project_id}-renderlane-images"
  location                    = var.images_location == "" ? var.region : var.images_location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  lifecycle_rule {
    condition {
      age = var.image_retention_days
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  depends_on = [google_project_service.api]
}
