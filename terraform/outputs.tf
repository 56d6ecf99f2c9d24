output "functions" {
  description = "The address of each function."
  value       = { for name, each in google_cloudfunctions2_function.function : name => each.service_config[0].uri }
}

output "console" {
  description = "The console's address; null where there is none."
  value       = one([for each in google_cloud_run_v2_service.console : each.uri])
}

output "entry_points" {
  description = "The functions that the bundle must have."
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

output "source_bucket" {
  description = "The bundles, the earlier ones too."
  value       = google_storage_bucket.source.name
}

output "bundle" {
  description = "The SHA-256 of the bundle that runs."
  value       = local.bundle_digest
}

output "key_secret" {
  description = "Where the Gemini key goes: `gcloud secrets versions add`."
  value       = google_secret_manager_secret.gemini_key.secret_id
}

output "dashboard" {
  description = "The dashboard's resource name."
  value       = google_monitoring_dashboard.this.id
}
