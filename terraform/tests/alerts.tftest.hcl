# Alerts and budgets reach somebody. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  bundle       = "bundle.zip"
}

run "alerts_reach_somebody" {
  command = plan

  assert {
    condition     = length(google_monitoring_notification_channel.email) == 1
    error_message = "No channel is made of alert_emails."
  }

  assert {
    condition     = length(google_billing_budget.month) == 0
    error_message = "A budget is made without a billing account."
  }
}

run "a_budget" {
  command = plan

  variables {
    billing_account = "012345-6789AB-CDEF01"
  }

  assert {
    condition     = [for each in google_billing_budget.month[0].threshold_rules : each.threshold_percent] == [0.5, 0.9, 1, 1]
    error_message = "The budget does not warn at 50, 90 and 100 % and of a forecast."
  }
}
