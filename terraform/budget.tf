# The project's bill. It comes hours late: what stops spending is max_cost_usd and spend10m_usd, not this.

resource "google_billing_budget" "month" {
  count = var.billing_account == "" ? 0 : 1

  billing_account = var.billing_account
  display_name    = "Renderlane ${var.project_id}"

  budget_filter {
    projects        = ["projects/${data.google_project.this.number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      # Without a currency it is the billing account's own; another one is refused.
      units = tostring(coalesce(var.monthly_budget, var.monthly_budget_usd))
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]

    content {
      threshold_percent = threshold_rules.value
    }
  }

  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    # Budgets reach e-mail channels only: https://cloud.google.com/billing/docs/how-to/budgets-notification-recipients
    monitoring_notification_channels = slice(local.email_channels, 0, min(5, length(local.email_channels)))
  }

  depends_on = [google_project_service.api]
}
