output "functions" {
  description = "The address of each function."
  value       = { for name, each in google_cloud_run_v2_service.function : name => each.uri }
}

output "console" {
  description = "The console's address; null where there is none."
  value       = one([for each in google_cloud_run_v2_service.console : each.uri])
}

output "entry_points" {
  description = "The functions that the image must have."
  value       = concat(keys(local.functions), keys(local.console))
}

output "request_topic" {
  description = "Where upstream apps publish."
  value       = google_pubsub_topic.topic["render-requests"].id
}

output "result_topic" {
  description = "Where results come; a webhook is a filtered push subscription of it."
  value       = google_pubsub_topic.topic["render-results"].id
}

output "store" {
  description = "RENDERLANE_STORE of the functions, for the command line."
  value       = local.environment["RENDERLANE_STORE"]
}

output "images" {
  description = "RENDERLANE_IMAGES of the functions, for the command line."
  value       = local.environment["RENDERLANE_IMAGES"]
}

output "image" {
  description = "The image that runs."
  value       = var.image
}

output "release" {
  description = "The release that runs, as logs, traces and labels name it."
  value       = local.release
}

output "revisions" {
  description = "The newest revision of each function: what a canary is measured against."
  value       = { for name, each in google_cloud_run_v2_service.function : name => each.latest_ready_revision }
}

output "key_secret" {
  description = "Where the Gemini key goes: `gcloud secrets versions add`."
  value       = google_secret_manager_secret.gemini_key.secret_id
}

output "dashboard" {
  description = "The dashboard's resource name."
  value       = google_monitoring_dashboard.this.id
}
