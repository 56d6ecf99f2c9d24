# Who read the key or the requests. Data access logs are off by default; Firestore's are large, so they are a choice.
# https://cloud.google.com/logging/docs/audit/configure-data-access

locals {
  audited = merge(
    { "secretmanager.googleapis.com" = ["DATA_READ", "ADMIN_READ"] },
    var.audit_documents ? { "datastore.googleapis.com" = ["DATA_READ", "DATA_WRITE"] } : {},
  )
}

resource "google_project_iam_audit_config" "service" {
  for_each = local.audited

  project = var.project_id
  service = each.key

  dynamic "audit_log_config" {
    for_each = each.value

    content {
      log_type = audit_log_config.value
    }
  }
}
