# Indexes for the queries of shared/core/lifecycle/queries.py, and no others: firestore.json is written by ./scripts/firestore-layout.
#
# Firestore indexes every field of every document, unless it is told otherwise. `unindexed` are all collections: the field `*`
# takes that from each of their fields, prompts first, those of later versions too. `alone` are the fields that a query searches by
# themselves, which take precedence over `*`. So there are as many single-field configurations as collections and such fields
# (a database may have 200), and not one for each field.
#
# What stays is a ceiling: a collection takes 500 writes a second where an indexed field grows with time. Of those that every request
# writes, `requests` has such fields (created_at, updated_at, queued_at, slot_at, lease_until, expire_at). A request is written about six
# times there, so that is some 80 requests a second, 4,800 a minute. `attempts`, `calendars` and `pump` have none, and `ledger` and
# `budget_shards` are increments that leave their indexed fields as they are.

locals {
  firestore = jsondecode(file("${path.module}/firestore.json"))
  composite = {
    for each in local.firestore.composite :
    "${each.collection} ${join(" ", [for field in each.fields : field[0]])}" => each
  }
  # One entry for each field, `*` being all others: the order it is searched in alone, or none.
  fields = merge(
    { for collection in local.firestore.unindexed : "${collection} *" => { collection = collection, field = "*", order = null } },
    merge([for collection, names in local.firestore.alone : {
      for name, order in names : "${collection} ${name}" => { collection = collection, field = name, order = order }
    }]...),
  )
}

resource "google_firestore_index" "composite" {
  for_each = local.composite

  database   = google_firestore_database.this.name
  collection = each.value.collection

  dynamic "fields" {
    for_each = each.value.fields

    content {
      field_path = fields.value[0]
      order      = fields.value[1]
    }
  }
}

resource "google_firestore_field" "field" {
  for_each = local.fields

  database   = google_firestore_database.this.name
  collection = each.value.collection
  field      = each.value.field

  index_config {
    dynamic "indexes" {
      for_each = each.value.order == null ? [] : [each.value.order]

      content {
        order       = indexes.value
        query_scope = "COLLECTION"
      }
    }
  }

  dynamic "ttl_config" {
    for_each = each.value.field == "expire_at" && contains(local.firestore.expiring, each.value.collection) ? [1] : []

    content {}
  }
}
