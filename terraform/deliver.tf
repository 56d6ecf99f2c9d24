# What `deliver` does beside its flow's topics and documents: it gives receivers of result webhooks an address of the image for an hour.

resource "google_storage_bucket_iam_member" "deliver_images" {
  bucket = google_storage_bucket.images.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.function["deliver"].member
}

# It signs addresses of images as itself, without a key file (iam.serviceAccounts.signBlob).
resource "google_service_account_iam_member" "deliver_signs" {
  service_account_id = google_service_account.function["deliver"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.function["deliver"].member
}
