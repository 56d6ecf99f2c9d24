# Who deploys from GitHub, without a key: Workload Identity Federation for one repository. Without github_repository nothing exists.
#
# Two accounts: `planner` may look (pull requests, the daily drift check), `deployer` may change, and only from the environment that
# needs an approval. The first apply is made by a person: scripts/deploy.

locals {
  has_pipeline = var.github_repository != ""
  pipeline = { for name, each in {
    planner = {
      says     = "GitHub plans as this account (read only)."
      subjects = ["attribute.repository/${var.github_repository}"]
      roles    = ["roles/viewer", "roles/iam.securityReviewer"]
      state    = "roles/storage.objectUser" # the state's lock is an object
    }
    deployer = {
      says     = "GitHub applies as this account, after an approval."
      subjects = ["attribute.environment/${var.github_repository}/${var.github_environment}"]
      roles = concat(var.request_platform_quota == "" ? [] : ["roles/cloudquotas.admin"], [
        "roles/artifactregistry.admin", "roles/cloudbuild.builds.editor", "roles/cloudscheduler.admin", "roles/datastore.owner",
        "roles/iam.serviceAccountAdmin", "roles/iam.serviceAccountUser", "roles/logging.configWriter", "roles/monitoring.admin",
        "roles/pubsub.admin", "roles/resourcemanager.projectIamAdmin", "roles/run.admin", "roles/secretmanager.admin",
        "roles/serviceusage.serviceUsageAdmin", "roles/storage.admin",
      ])
      state = "roles/storage.objectUser"
    }
  } : name => each if local.has_pipeline }
  pipeline_roles = merge([for name, each in local.pipeline : { for role in each.roles : "${name} ${role}" => { account = name, role = role } }]...)
}

resource "google_iam_workload_identity_pool" "github" {
  count = local.has_pipeline ? 1 : 0

  workload_identity_pool_id = "renderlane-github"
  display_name              = "Renderlane GitHub"
  depends_on                = [google_project_service.api]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  count = local.has_pipeline ? 1 : 0

  workload_identity_pool_id          = google_iam_workload_identity_pool.github[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  attribute_mapping = {
    "google.subject"        = "assertion.sub"
    "attribute.repository"  = "assertion.repository"
    "attribute.environment" = "assertion.repository + \"/\" + (has(assertion.environment) ? assertion.environment : \"\")"
  }
  # Without a condition every repository on GitHub could ask.
  attribute_condition = "assertion.repository == \"${var.github_repository}\""

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account" "pipeline" {
  for_each = local.pipeline

  account_id   = "renderlane-${each.key}"
  display_name = "Renderlane ${each.key}"
  description  = each.value.says
  depends_on   = [google_project_service.api]
}

resource "google_service_account_iam_member" "pipeline" {
  for_each = merge([for name, each in local.pipeline : { for subject in each.subjects : "${name} ${subject}" => { account = name, subject = subject } }]...)

  service_account_id = google_service_account.pipeline[each.value.account].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github[0].name}/${each.value.subject}"
}

resource "google_project_iam_member" "pipeline" {
  for_each = local.pipeline_roles

  project = var.project_id
  role    = each.value.role
  member  = google_service_account.pipeline[each.value.account].member
}

resource "google_storage_bucket_iam_member" "pipeline_state" {
  for_each = local.pipeline

  bucket = "${var.project_id}-renderlane-terraform"
  role   = each.value.state
  member = google_service_account.pipeline[each.key].member
}
