# Alerts and budgets reach somebody. No credentials are needed: the provider is mocked.

mock_provider "google" {
  override_during = plan
}

variables {
  project_id   = "render-test"
  alert_emails = ["oncall@example.com"]
  image        = "europe-west1-docker.pkg.dev/render-test/renderlane/worker@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
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

run "a_budget_in_the_accounts_own_currency" {
  command = plan

  variables {
    billing_account = "012345-6789AB-CDEF01"
    monthly_budget  = 900
    alert_channels  = ["projects/render-test/notificationChannels/1"]
  }

  assert {
    condition     = google_billing_budget.month[0].amount[0].specified_amount[0].currency_code == null && google_billing_budget.month[0].amount[0].specified_amount[0].units == "900"
    error_message = "The budget names a currency: an account in another one refuses it."
  }

  assert {
    condition     = length(google_billing_budget.month[0].all_updates_rule[0].monitoring_notification_channels) == 1
    error_message = "A budget is told to a channel other than e-mail, which the Budget API refuses."
  }
}

run "alerts_close_by_themselves" {
  command = plan

  assert {
    condition     = alltrue([for each in google_monitoring_alert_policy.threshold : each.alert_strategy[0].auto_close == "1800s"])
    error_message = "An incident over a sparse metric stays open for days, and the next one notifies nobody."
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.threshold["function-saturated"].conditions[0].condition_threshold[0].filter, "response_code=\"429\"")
    error_message = "Nobody hears that Cloud Run turns deliveries away."
  }

  assert {
    condition     = !strcontains(google_monitoring_alert_policy.threshold["messages-wait"].conditions[0].condition_threshold[0].filter, "releases-render")
    error_message = "A release that is being rendered counts as one that waits."
  }
}

run "counts_are_per_minute" {
  command = plan

  assert {
    condition     = !strcontains(google_monitoring_dashboard.this.dashboard_json, "ALIGN_RATE")
    error_message = "A tile that says `a minute` shows a rate per second."
  }
}
