# Firestore can go back, indexes no prompt, forgets what has expired. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  image        = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "documents" {
  command = plan

  assert {
    condition     = google_firestore_database.this.point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_ENABLED"
    error_message = "Firestore cannot go back in time."
  }

  assert {
    condition     = google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED"
    error_message = "The database can be deleted by mistake."
  }

  assert {
    condition     = contains(keys(google_firestore_field.field), "requests *") && alltrue([for each in google_firestore_field.field : length(each.index_config[0].indexes) == 0 if each.field == "*"])
    error_message = "Prompts are indexed."
  }

  assert {
    condition     = toset([for each in google_firestore_field.field : each.collection if length(each.ttl_config) > 0]) == toset(local.firestore.expiring)
    error_message = "A collection whose documents expire has no TTL policy."
  }

  assert {
    condition     = length(google_firestore_field.field) <= 200
    error_message = "Firestore takes 200 single-field configurations in a database."
  }
}
