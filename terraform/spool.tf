# Images that are paid for and could not be stored: a bucket of their own, since what keeps one bucket from taking them may
# spare another. They are taken away when they are stored.

resource "google_storage_bucket" "spool" {
  name                        = "${var.project_id}-renderlane-spool"
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

  depends_on = [google_project_service.api]
}

resource "google_storage_bucket_iam_member" "spool" {
  for_each = { for name, each in local.acting : name => each.images == "writer" ? "roles/storage.objectUser" : "roles/storage.objectViewer" if contains(keys(local.functions), name) && each.images != "none" }

  bucket = google_storage_bucket.spool.name
  role   = each.value
  member = google_service_account.function[each.key].member
}
