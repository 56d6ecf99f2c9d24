# Who acts: an account for each function, for those who call functions, and for the build. Nobody holds a key file.

locals {
  callers = {
    push     = "Pub/Sub pushes as this account: it may call the functions that are fed by subscriptions."
    schedule = "Cloud Scheduler calls watch as this account."
  }
  pushed_to = setsubtract(toset([for each in local.subscriptions : each.function]), local.pulling)
  # What has an account of its own: the functions and, where they exist, the console and the API.
  acting = merge(local.functions, local.console, local.arrive, local.api)
}

resource "google_service_account" "function" {
  for_each = local.acting

  account_id   = "renderlane-${each.key}"
  display_name = "Renderlane ${each.key}"
  description  = "The function ${each.key} runs as this account."
  depends_on   = [google_project_service.api]
}

resource "google_service_account" "caller" {
  for_each = local.callers

  account_id   = "renderlane-${each.key}"
  display_name = "Renderlane ${each.key}"
  description  = each.value
  depends_on   = [google_project_service.api]
}

resource "google_service_account" "build" {
  account_id   = "renderlane-build"
  display_name = "Renderlane build"
  description  = "Cloud Build makes the image as this account."
  depends_on   = [google_project_service.api]
}

resource "google_cloud_run_service_iam_member" "push" {
  for_each = local.pushed_to

  location = var.region
  service  = google_cloud_run_v2_service.function[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.caller["push"].member

  # A service that is created again has lost its callers.
  lifecycle {
    replace_triggered_by = [google_cloud_run_v2_service.function[each.key].id]
  }
}

resource "google_cloud_run_service_iam_member" "schedule" {
  location = var.region
  service  = google_cloud_run_v2_service.function["watch"].name
  role     = "roles/run.invoker"
  member   = google_service_account.caller["schedule"].member

  lifecycle {
    replace_triggered_by = [google_cloud_run_v2_service.function["watch"].id]
  }
}

# Pub/Sub's agent signs the tokens that prove a push.
resource "google_service_account_iam_member" "push_tokens" {
  service_account_id = google_service_account.caller["push"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}
