# What each function, and the console, may do: exactly what its flow does.

locals {
  publishing = merge([
    for name, each in local.acting : { for topic in each.publishes : "${name} to ${topic}" => { function = name, topic = topic } }
  ]...)
  project_roles = merge([
    for name, each in local.acting : { for role in each.roles : "${name} ${role}" => { function = name, role = role } }
  ]...)
  # An image once stored is never overwritten or deleted by a function: no role here can.
  image_roles = {
    none   = []
    reader = ["roles/storage.objectViewer"]
    writer = ["roles/storage.objectCreator", "roles/storage.objectViewer"]
  }
  imaging = merge([
    for name, each in local.acting : {
      for role in local.image_roles[each.images] : "${name} ${role}" => { function = name, role = role }
    }
  ]...)
  key_readers = toset([for name, each in local.acting : name if each.key])
  # collect looks at what was ordered long ago, and orders nothing.
  reference_readers = setsubtract(local.key_readers, ["collect"])
}

resource "google_pubsub_topic_iam_member" "function" {
  for_each = local.publishing

  topic  = google_pubsub_topic.topic[each.value.topic].name
  role   = "roles/pubsub.publisher"
  member = google_service_account.function[each.value.function].member
}

resource "google_project_iam_member" "documents" {
  for_each = local.acting

  project = var.project_id
  role    = "roles/datastore.user"
  member  = google_service_account.function[each.key].member

  condition {
    title       = "renderlane-database-only"
    description = "No other Firestore database of the project."
    expression  = "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.this.name}\""
  }
}

resource "google_project_iam_member" "traces" {
  for_each = local.acting

  project = var.project_id
  role    = "roles/telemetry.writer"
  member  = google_service_account.function[each.key].member
}

resource "google_project_iam_member" "function" {
  for_each = local.project_roles

  project = var.project_id
  role    = each.value.role
  member  = google_service_account.function[each.value.function].member
}

resource "google_storage_bucket_iam_member" "images" {
  for_each = local.imaging

  bucket = google_storage_bucket.images.name
  role   = each.value.role
  member = google_service_account.function[each.value.function].member
}

# References are read by the functions that put them into a call.
resource "google_storage_bucket_iam_member" "references" {
  for_each = { for pair in setproduct(local.reference_readers, var.reference_buckets) : join(" ", pair) => { function = pair[0], bucket = pair[1] } }

  bucket = each.value.bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.function[each.value.function].member
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.key_readers

  secret_id = google_secret_manager_secret.gemini_key.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.key].member
}

# Keys of gateways: secrets that exist already.
resource "google_secret_manager_secret_iam_member" "gateway" {
  for_each = var.gateway_keys

  secret_id = each.value.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function["render"].member
}

# People and apps outside the functions.
resource "google_storage_bucket_iam_member" "image_reader" {
  for_each = setunion(var.image_readers, var.operators)

  bucket = google_storage_bucket.images.name
  role   = "roles/storage.objectViewer"
  member = each.key
}

resource "google_project_iam_member" "operator" {
  for_each = var.operators

  project = var.project_id
  role    = "roles/datastore.user"
  member  = each.key

  condition {
    title       = "renderlane-database-only"
    description = "No other Firestore database of the project."
    expression  = "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.this.name}\""
  }
}

resource "google_pubsub_topic_iam_member" "operator" {
  for_each = { for pair in setproduct(var.operators, ["pump-kicks", "render-requests"]) : join(" ", pair) => { member = pair[0], topic = pair[1] } }

  topic  = google_pubsub_topic.topic[each.value.topic].name
  role   = "roles/pubsub.publisher"
  member = each.value.member
}
