output "functions" {
  description = "The address of each function."
  value       = { for name, each in google_cloud_run_v2_service.function : name => each.uri }
}

output "console" {
  description = "The address of the console; null if there is none."
  value       = one([for each in google_cloud_run_v2_service.console : each.uri])
}

output "api" {
  description = "The address of the HTTP API and the audience of its callers' identity tokens; null if there is none."
  value       = one([for each in google_cloud_run_v2_service.api : { address = each.uri, audience = local.api_audience }])
}

output "webhooks" {
  description = "The address that the provider's webhooks are sent to; null if there is none."
  value       = local.has_webhooks ? local.arrive_url : null
}

output "entry_points" {
  description = "The functions that the image must contain."
  value       = concat(keys(local.functions), keys(local.console), keys(local.arrive), keys(local.api))
}

output "fleet" {
  description = "What all instances together may need of Cloud Run's quota in the region, as `renderlane doctor --fleet` takes it."
  value       = "${local.fleet_cpus}x${local.fleet_gib}@${var.region}"
}

output "pools" {
  description = "The worker pools: functions that pull."
  value       = [for each in google_cloud_run_v2_worker_pool.function : each.name]
}

output "request_topic" {
  description = "Topic to which upstream apps publish."
  value       = google_pubsub_topic.topic["render-requests"].id
}

output "result_topic" {
  description = "Topic of the results; a webhook is a filtered push subscription to it."
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
  description = "The deployed image."
  value       = var.image
}

output "release" {
  description = "The deployed release, as named in logs, traces and labels."
  value       = local.release
}

output "revisions" {
  description = "The newest revision of each function, which a canary is compared with."
  value       = { for name, each in google_cloud_run_v2_service.function : name => each.latest_ready_revision }
}

output "key_secret" {
  description = "Secret for the Gemini key; add it with `gcloud secrets versions add`."
  value       = google_secret_manager_secret.gemini_key.secret_id
}

output "dashboard" {
  description = "The dashboard's resource name."
  value       = google_monitoring_dashboard.this.id
}
