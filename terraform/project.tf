# The APIs, and the agents by which Google's own services act in this project.

locals {
  # apis.json is read by scripts/deploy too: it enables them before the first plan, since a new project needs minutes to notice.
  apis         = toset(concat(jsondecode(file("${path.module}/apis.json")).always, local.has_console ? jsondecode(file("${path.module}/apis.json")).console : []))
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  secret_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
  iap_agent    = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-iap.iam.gserviceaccount.com"
}

data "google_project" "this" {
  project_id = var.project_id
}

resource "google_project_service" "api" {
  for_each = local.apis

  service            = each.key
  disable_on_destroy = false
}
