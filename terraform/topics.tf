# The topics of shared/core/messages/topics.py. A topic that only our functions write to has a schema.
#
# render-requests has none: a wrong request is answered with every problem named (`rejected`), not refused at publish.
# render-dead-letters carries all messages that were given up, as they are.

locals {
  topics = {
    render-requests     = { retention = "604800s", schema = null }
    render-releases     = { retention = "86400s", schema = "release" }
    render-arrivals     = { retention = "86400s", schema = "arrival" }
    render-results      = { retention = "604800s", schema = "result" }
    pump-kicks          = { retention = "600s", schema = "kick" }
    render-dead-letters = { retention = "604800s", schema = null }
    webhook-deliveries  = { retention = "86400s", schema = "delivery" }
  }
  schemas = toset([for topic in local.topics : topic.schema if topic.schema != null])
}

resource "google_pubsub_schema" "message" {
  for_each = local.schemas

  name       = "renderlane-${each.key}"
  type       = "PROTOCOL_BUFFER"
  definition = file("${path.module}/schemas/${each.key}.proto")
  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic" "topic" {
  for_each = local.topics

  name                       = each.key
  message_retention_duration = each.value.retention
  depends_on                 = [google_project_service.api]

  dynamic "message_storage_policy" {
    for_each = length(var.message_regions) == 0 ? [] : [1]

    content {
      allowed_persistence_regions = sort(var.message_regions)
    }
  }

  dynamic "schema_settings" {
    for_each = each.value.schema == null ? [] : [each.value.schema]

    content {
      schema   = google_pubsub_schema.message[schema_settings.value].id
      encoding = "JSON"
    }
  }
}

resource "google_pubsub_topic_iam_member" "upstream" {
  for_each = var.publishers

  topic  = google_pubsub_topic.topic["render-requests"].name
  role   = "roles/pubsub.publisher"
  member = each.key
}

resource "google_pubsub_topic_iam_member" "downstream" {
  for_each = var.result_subscribers

  topic  = google_pubsub_topic.topic["render-results"].name
  role   = "roles/pubsub.subscriber"
  member = each.key
}
