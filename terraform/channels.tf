# Where alerts go: an address each, and channels that the team already has.

locals {
  email_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  channels       = concat(local.email_channels, var.alert_channels)
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  display_name = "Renderlane: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
  depends_on   = [google_project_service.api]
}
